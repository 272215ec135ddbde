using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    // The squares are added a block at a time; blocks depend on the length alone, so the norm has the same bits for every thread count.
    private const int NormBlock = 4096;

    public double SumOfSquares(DeviceBuffer x)
    {
        var blocks = (x.Length + NormBlock - 1) / NormBlock;
        var partial = new double[blocks];
        fixed (double* p = partial)
        {
            _team.For(blocks, 4, (x: (Ptr)Data(x), length: x.Length, partial: (nint)p), static (s, from, to) =>
            {
                for (var block = from; block < to; block++)
                {
                    var start = block * NormBlock;
                    ((double*)s.partial)[block] = BlockSumOfSquares(s.x + start, Math.Min(NormBlock, s.length - start));
                }
            });
        }
        double total = 0;
        foreach (var value in partial)
        {
            total += value;
        }
        return total;
    }

    public void AdamW(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer m, DeviceBuffer v, AdamWStep step)
    {
        RequireLength(gradient, parameter.Length);
        RequireLength(m, parameter.Length);
        RequireLength(v, parameter.Length);
        var state = (p: (Ptr)Data(parameter), g: (Ptr)Data(gradient), m: (Ptr)Data(m), v: (Ptr)Data(v), gradientScale, step);
        _team.For(parameter.Length, ElementGrain / 4, state, static (s, from, to) =>
        {
            Real* p = s.p, g = s.g, m = s.m, v = s.v;
            var step = s.step;
            var keep = Vector256.Create(1 - (step.LearningRate * step.WeightDecay));
            var rate = step.LearningRate / step.Correction1;
            var root = 1 / Real.Sqrt(step.Correction2);
            var epsilon = Vector256.Create(step.Epsilon);
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var gradient = VectorRow.Load(g + i, count) * s.gradientScale;
                var first = (VectorRow.Load(m + i, count) * step.Beta1) + (gradient * (1 - step.Beta1));
                var second = (VectorRow.Load(v + i, count) * step.Beta2) + (gradient * gradient * (1 - step.Beta2));
                var update = first * rate / ((Vector256.Sqrt(second) * root) + epsilon);
                VectorRow.Store(first, m + i, count);
                VectorRow.Store(second, v + i, count);
                VectorRow.Store((VectorRow.Load(p + i, count) * keep) - update, p + i, count);
            }
        });
    }

    public void Sgd(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer? velocity, Real learningRate, Real momentum)
    {
        RequireLength(gradient, parameter.Length);
        var state = (p: (Ptr)Data(parameter), g: (Ptr)Data(gradient), v: (Ptr)(velocity is null ? null : Data(velocity)), gradientScale, learningRate, momentum);
        _team.For(parameter.Length, ElementGrain, state, static (s, from, to) =>
        {
            Real* p = s.p, g = s.g, v = s.v;
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var change = VectorRow.Load(g + i, count) * s.gradientScale;
                if (v is not null)
                {
                    change += VectorRow.Load(v + i, count) * s.momentum;
                    VectorRow.Store(change, v + i, count);
                }
                VectorRow.Store(VectorRow.Load(p + i, count) - (change * s.learningRate), p + i, count);
            }
        });
    }

    public void RmsProp(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer square, Real learningRate, Real alpha, Real epsilon)
    {
        RequireLength(gradient, parameter.Length);
        RequireLength(square, parameter.Length);
        var state = (p: (Ptr)Data(parameter), g: (Ptr)Data(gradient), q: (Ptr)Data(square), gradientScale, learningRate, alpha, epsilon);
        _team.For(parameter.Length, ElementGrain / 2, state, static (s, from, to) =>
        {
            Real* p = s.p, g = s.g, q = s.q;
            var epsilon = Vector256.Create(s.epsilon);
            for (var i = from; i < to; i += Lanes)
            {
                var count = to - i;
                var gradient = VectorRow.Load(g + i, count) * s.gradientScale;
                var square = (VectorRow.Load(q + i, count) * s.alpha) + (gradient * gradient * (1 - s.alpha));
                VectorRow.Store(square, q + i, count);
                VectorRow.Store(VectorRow.Load(p + i, count) - (gradient * s.learningRate / (Vector256.Sqrt(square) + epsilon)), p + i, count);
            }
        });
    }

    private static double BlockSumOfSquares(Real* x, int length)
    {
        double total = 0;
        for (var i = 0; i < length; i++)
        {
            total += (double)x[i] * x[i];
        }
        return total;
    }
}
