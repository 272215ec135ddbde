using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    private static int Lanes => Vector256<Real>.Count;

    public void Unary(UnaryFunction f, DeviceBuffer x, DeviceBuffer y)
    {
        switch (f)
        {
            case UnaryFunction.Negate: Map<NegateKernel>(x, y); break;
            case UnaryFunction.Exp: Map<ExpKernel>(x, y); break;
            case UnaryFunction.Log: Map<LogKernel>(x, y); break;
            case UnaryFunction.Sigmoid: Map<SigmoidKernel>(x, y); break;
            case UnaryFunction.LogSigmoid: Map<LogSigmoidKernel>(x, y); break;
            case UnaryFunction.Relu: Map<ReluKernel>(x, y); break;
            case UnaryFunction.Square: Map<SquareKernel>(x, y); break;
            case UnaryFunction.Tanh: Map<TanhKernel>(x, y); break;
            case UnaryFunction.Abs: Map<AbsKernel>(x, y); break;
            case UnaryFunction.Gelu: Map<GeluKernel>(x, y); break;
            default: throw new ArgumentOutOfRangeException(nameof(f));
        }
    }

    public void UnaryBackward(UnaryFunction f, DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate)
    {
        switch (f)
        {
            case UnaryFunction.Negate: MapBackward<NegateKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Exp: MapBackward<ExpKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Log: MapBackward<LogKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Sigmoid: MapBackward<SigmoidKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.LogSigmoid: MapBackward<LogSigmoidKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Relu: MapBackward<ReluKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Square: MapBackward<SquareKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Tanh: MapBackward<TanhKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Abs: MapBackward<AbsKernel>(x, y, dy, dx, accumulate); break;
            case UnaryFunction.Gelu: MapBackward<GeluKernel>(x, y, dy, dx, accumulate); break;
            default: throw new ArgumentOutOfRangeException(nameof(f));
        }
    }

    public void Binary(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer y)
    {
        switch (f)
        {
            case BinaryFunction.Add: Map<AddKernel>(a, b, y); break;
            case BinaryFunction.Subtract: Map<SubtractKernel>(a, b, y); break;
            case BinaryFunction.Multiply: Map<MultiplyKernel>(a, b, y); break;
            case BinaryFunction.Divide: Map<DivideKernel>(a, b, y); break;
            default: throw new ArgumentOutOfRangeException(nameof(f));
        }
    }

    public void BinaryBackwardFirst(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate)
    {
        switch (f)
        {
            case BinaryFunction.Add: MapBackwardFirst<AddKernel>(a, b, dy, da, accumulate); break;
            case BinaryFunction.Subtract: MapBackwardFirst<SubtractKernel>(a, b, dy, da, accumulate); break;
            case BinaryFunction.Multiply: MapBackwardFirst<MultiplyKernel>(a, b, dy, da, accumulate); break;
            case BinaryFunction.Divide: MapBackwardFirst<DivideKernel>(a, b, dy, da, accumulate); break;
            default: throw new ArgumentOutOfRangeException(nameof(f));
        }
    }

    public void BinaryBackwardSecond(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate)
    {
        switch (f)
        {
            case BinaryFunction.Add: MapBackwardSecond<AddKernel>(a, b, dy, db, accumulate); break;
            case BinaryFunction.Subtract: MapBackwardSecond<SubtractKernel>(a, b, dy, db, accumulate); break;
            case BinaryFunction.Multiply: MapBackwardSecond<MultiplyKernel>(a, b, dy, db, accumulate); break;
            case BinaryFunction.Divide: MapBackwardSecond<DivideKernel>(a, b, dy, db, accumulate); break;
            default: throw new ArgumentOutOfRangeException(nameof(f));
        }
    }

    public void Affine(DeviceBuffer x, Real scale, Real shift, DeviceBuffer y, bool accumulate)
    {
        RequireLength(y, x.Length);
        _team.For(x.Length, ElementGrain, (x: (Ptr)Data(x), y: (Ptr)Data(y), scale, shift, accumulate), static (s, from, to) =>
        {
            Real* x = s.x, y = s.y;
            var scale = Vector256.Create(s.scale);
            var shift = Vector256.Create(s.shift);
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var value = Vector256.FusedMultiplyAdd(scale, VectorRow.Load(x + i, count), shift);
                VectorRow.Store(s.accumulate ? VectorRow.Load(y + i, count) + value : value, y + i, count);
            }
        });
    }

    public void SwiGlu(DeviceBuffer gate, DeviceBuffer up, DeviceBuffer y)
    {
        RequireLength(up, gate.Length);
        RequireLength(y, gate.Length);
        _team.For(gate.Length, ElementGrain / 4, (g: (Ptr)Data(gate), u: (Ptr)Data(up), y: (Ptr)Data(y)), static (s, from, to) =>
        {
            Real* g = s.g, u = s.u, y = s.y;
            var i = from;
            for (; Vector512.IsHardwareAccelerated && i + Vector512<Real>.Count <= to; i += Vector512<Real>.Count)
            {
                Prefetch.Stream(g + i);
                Prefetch.Stream(u + i);
                Prefetch.Stream(y + i);
                var z = Vector512.Load(g + i);
                (z * VectorMath.Sigmoid(z) * Vector512.Load(u + i)).Store(y + i);
            }
            for (; i < to; i += Lanes)
            {
                Prefetch.Stream(g + i);
                Prefetch.Stream(u + i);
                Prefetch.Stream(y + i);
                var count = to - i;
                var z = VectorRow.Load(g + i, count);
                VectorRow.Store(z * VectorMath.Sigmoid(z) * VectorRow.Load(u + i, count), y + i, count);
            }
        });
    }

    public void SwiGluBackward(
        DeviceBuffer gate, DeviceBuffer up, DeviceBuffer dy, DeviceBuffer dGate, bool accumulateGate, DeviceBuffer dUp, bool accumulateUp)
    {
        RequireLength(dGate, gate.Length);
        RequireLength(dUp, gate.Length);
        var state = (g: (Ptr)Data(gate), u: (Ptr)Data(up), dy: (Ptr)Data(dy), dg: (Ptr)Data(dGate), du: (Ptr)Data(dUp), accumulateGate, accumulateUp);
        _team.For(gate.Length, ElementGrain / 4, state, static (s, from, to) =>
        {
            Real* g = s.g, u = s.u, dy = s.dy, dg = s.dg, du = s.du;
            var i = from;
            for (; Vector512.IsHardwareAccelerated && i + Vector512<Real>.Count <= to; i += Vector512<Real>.Count)
            {
                Prefetch.Stream(g + i);
                Prefetch.Stream(u + i);
                Prefetch.Stream(dy + i);
                Prefetch.Stream(dg + i);
                Prefetch.Stream(du + i);
                var z = Vector512.Load(g + i);
                var d = Vector512.Load(dy + i);
                var sigmoid = VectorMath.Sigmoid(z);
                var silu = z * sigmoid;
                // d silu / dz = sigmoid + z sigmoid (1 - sigmoid)
                var slope = Vector512.FusedMultiplyAdd(silu, Vector512<Real>.One - sigmoid, sigmoid);
                var gateValue = d * Vector512.Load(u + i) * slope;
                var upValue = d * silu;
                (s.accumulateGate ? Vector512.Load(dg + i) + gateValue : gateValue).Store(dg + i);
                (s.accumulateUp ? Vector512.Load(du + i) + upValue : upValue).Store(du + i);
            }
            for (; i < to; i += Lanes)
            {
                Prefetch.Stream(g + i);
                Prefetch.Stream(u + i);
                Prefetch.Stream(dy + i);
                Prefetch.Stream(dg + i);
                Prefetch.Stream(du + i);
                var count = to - i;
                var z = VectorRow.Load(g + i, count);
                var d = VectorRow.Load(dy + i, count);
                var sigmoid = VectorMath.Sigmoid(z);
                var silu = z * sigmoid;
                var slope = Vector256.FusedMultiplyAdd(silu, Vector256<Real>.One - sigmoid, sigmoid);
                var gateValue = d * VectorRow.Load(u + i, count) * slope;
                var upValue = d * silu;
                VectorRow.Store(s.accumulateGate ? VectorRow.Load(dg + i, count) + gateValue : gateValue, dg + i, count);
                VectorRow.Store(s.accumulateUp ? VectorRow.Load(du + i, count) + upValue : upValue, du + i, count);
            }
        });
    }

    private void Map<TKernel>(DeviceBuffer x, DeviceBuffer y)
        where TKernel : IUnaryKernel
    {
        RequireLength(y, x.Length);
        _team.For(x.Length, ElementGrain, (x: (Ptr)Data(x), y: (Ptr)Data(y)), static (s, from, to) =>
        {
            Real* x = s.x, y = s.y;
            for (var i = from; i < to; i += Lanes)
            {
                VectorRow.Store(TKernel.Value(VectorRow.Load(x + i, to - i)), y + i, to - i);
            }
        });
    }

    private void MapBackward<TKernel>(DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate)
        where TKernel : IUnaryKernel
    {
        RequireLength(dx, x.Length);
        var state = (x: (Ptr)Data(x), y: (Ptr)Data(y), dy: (Ptr)Data(dy), dx: (Ptr)Data(dx), accumulate);
        _team.For(x.Length, ElementGrain, state, static (s, from, to) =>
        {
            Real* x = s.x, y = s.y, dy = s.dy, dx = s.dx;
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var value = TKernel.Derivative(VectorRow.Load(x + i, count), VectorRow.Load(y + i, count)) * VectorRow.Load(dy + i, count);
                VectorRow.Store(s.accumulate ? VectorRow.Load(dx + i, count) + value : value, dx + i, count);
            }
        });
    }

    private void Map<TKernel>(DeviceBuffer a, DeviceBuffer b, DeviceBuffer y)
        where TKernel : IBinaryKernel
    {
        RequireLength(b, a.Length);
        RequireLength(y, a.Length);
        _team.For(a.Length, ElementGrain, (a: (Ptr)Data(a), b: (Ptr)Data(b), y: (Ptr)Data(y)), static (s, from, to) =>
        {
            Real* a = s.a, b = s.b, y = s.y;
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                VectorRow.Store(TKernel.Value(VectorRow.Load(a + i, count), VectorRow.Load(b + i, count)), y + i, count);
            }
        });
    }

    private void MapBackwardFirst<TKernel>(DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate)
        where TKernel : IBinaryKernel
    {
        RequireLength(da, a.Length);
        var state = (a: (Ptr)Data(a), b: (Ptr)Data(b), dy: (Ptr)Data(dy), d: (Ptr)Data(da), accumulate);
        _team.For(a.Length, ElementGrain, state, static (s, from, to) =>
        {
            Real* a = s.a, b = s.b, dy = s.dy, d = s.d;
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var value = TKernel.DerivativeFirst(VectorRow.Load(a + i, count), VectorRow.Load(b + i, count)) * VectorRow.Load(dy + i, count);
                VectorRow.Store(s.accumulate ? VectorRow.Load(d + i, count) + value : value, d + i, count);
            }
        });
    }

    private void MapBackwardSecond<TKernel>(DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate)
        where TKernel : IBinaryKernel
    {
        RequireLength(db, b.Length);
        var state = (a: (Ptr)Data(a), b: (Ptr)Data(b), dy: (Ptr)Data(dy), d: (Ptr)Data(db), accumulate);
        _team.For(b.Length, ElementGrain, state, static (s, from, to) =>
        {
            Real* a = s.a, b = s.b, dy = s.dy, d = s.d;
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var value = TKernel.DerivativeSecond(VectorRow.Load(a + i, count), VectorRow.Load(b + i, count)) * VectorRow.Load(dy + i, count);
                VectorRow.Store(s.accumulate ? VectorRow.Load(d + i, count) + value : value, d + i, count);
            }
        });
    }
}
