using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CpuBackend
{
    public void LogSoftmaxGather(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logProb, DeviceBuffer logSumExp)
    {
        RequireLength(logits, (long)rows * vocabulary);
        RequireLength(logProb, (long)from + rows);
        RequireLength(logSumExp, (long)from + rows);
        RequireIndices(targets, from, rows, vocabulary);
        var state = (z: (Ptr)Data(logits), target: (nint)(Data(targets) + from), p: (Ptr)(Data(logProb) + from), l: (Ptr)(Data(logSumExp) + from), vocabulary);
        _team.For(rows, RowGrain(vocabulary), state, static (s, from, to) =>
        {
            Real* logProb = s.p, logSumExp = s.l;
            for (var r = from; r < to; r++)
            {
                Real* z = s.z + ((long)r * s.vocabulary);
                logSumExp[r] = LogSumExp(z, s.vocabulary);
                logProb[r] = z[((int*)s.target)[r]] - logSumExp[r];
            }
        });
    }

    public void LogSoftmaxGatherBackward(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logSumExp, DeviceBuffer dLogProb)
    {
        RequireLength(logits, (long)rows * vocabulary);
        RequireLength(logSumExp, (long)from + rows);
        RequireLength(dLogProb, (long)from + rows);
        RequireIndices(targets, from, rows, vocabulary);
        var state = (z: (Ptr)Data(logits), target: (nint)(Data(targets) + from), l: (Ptr)(Data(logSumExp) + from), d: (Ptr)(Data(dLogProb) + from), vocabulary);
        _team.For(rows, RowGrain(vocabulary), state, static (s, from, to) =>
        {
            Real* logSumExp = s.l, d = s.d;
            for (var r = from; r < to; r++)
            {
                Real* z = s.z + ((long)r * s.vocabulary);
                var shift = Vector256.Create(logSumExp[r]);
                var scale = Vector256.Create(-d[r]);
                var j = 0;
                for (; Vector512.IsHardwareAccelerated && j <= s.vocabulary - Vector512<Real>.Count; j += Vector512<Real>.Count)
                {
                    (VectorMath.Exp(Vector512.Load(z + j) - Vector512.Create(logSumExp[r])) * -d[r]).Store(z + j);
                }
                for (; j < s.vocabulary; j += Lanes)
                {
                    var count = s.vocabulary - j;
                    VectorRow.Store(VectorMath.Exp(VectorRow.Load(z + j, count) - shift) * scale, z + j, count);
                }
                z[((int*)s.target)[r]] += d[r];
            }
        });
    }

    // KL(P || Q) = sum_j p_j (log p_j - log q_j), with the log-probs from each row's own log-sum-exp.
    public void RowKl(DeviceBuffer p, DeviceBuffer q, int rows, int vocabulary, DeviceBuffer kl, int to)
    {
        RequireLength(p, (long)rows * vocabulary);
        RequireLength(q, (long)rows * vocabulary);
        RequireLength(kl, (long)to + rows);
        _team.For(rows, RowGrain(vocabulary), (p: (Ptr)Data(p), q: (Ptr)Data(q), kl: (Ptr)(Data(kl) + to), vocabulary), static (s, from, to) =>
        {
            Real* kl = s.kl;
            for (var r = from; r < to; r++)
            {
                var start = (long)r * s.vocabulary;
                Real* p = s.p + start, q = s.q + start;
                var pShift = Vector256.Create(LogSumExp(p, s.vocabulary));
                var qShift = Vector256.Create(LogSumExp(q, s.vocabulary));
                var total = Vector256<Real>.Zero;
                for (var j = 0; j < s.vocabulary; j += Lanes)
                {
                    var count = s.vocabulary - j;
                    var logP = VectorRow.Load(p + j, count) - pShift;
                    var logQ = VectorRow.Load(q + j, count) - qShift;
                    total += VectorRow.Mask(VectorMath.Exp(logP) * (logP - logQ), count);
                }
                kl[r] = VectorReduction.Sum(total);
            }
        });
    }

    public void Sample(
        DeviceBuffer logits, int rows, int vocabulary, SamplingOptions options, ulong seed, IndexBuffer sequence, IndexBuffer position,
        IndexBuffer token)
    {
        RequireLength(logits, (long)rows * vocabulary);
        RequireLength(sequence, rows);
        RequireLength(position, rows);
        RequireLength(token, rows);
        var state = (z: (Ptr)Data(logits), sequence: (nint)Data(sequence), position: (nint)Data(position), token: (nint)Data(token), vocabulary);
        _team.For(rows, 1, (state, options.Temperature, options.TopK, options.TopP, seed), static (s, from, to) =>
        {
            var ((z, sequence, position, token, vocabulary), temperature, topK, topP, seed) = s;
            var options = new SamplingOptions(temperature, topK, topP);
            for (var r = from; r < to; r++)
            {
                var uniform = Philox.Uniform(seed, RandomPurpose.Sample, 0, ((int*)sequence)[r], ((int*)position)[r]);
                ((int*)token)[r] = TokenSampler.Draw(new ReadOnlySpan<Real>(z + ((long)r * vocabulary), vocabulary), options, uniform);
            }
        });
    }

    /// <summary>log sum_j exp(z_j), shifted by the largest z so that nothing overflows. An infinite or NaN logit gives NaN.</summary>
    private static Real LogSumExp(Real* z, int length)
    {
        // Whether a NaN is taken for the highest or passed over: the sum has it.
        var highest = Vector256.Create(Real.NegativeInfinity);
        var wide = Vector512.IsHardwareAccelerated ? length - (length % Vector512<Real>.Count) : 0;
        if (wide > 0)
        {
            var highest512 = Vector512.Create(Real.NegativeInfinity);
            for (var i = 0; i < wide; i += Vector512<Real>.Count)
            {
                highest512 = Vector512.MaxNative(highest512, Vector512.Load(z + i));
            }
            highest = Vector256.MaxNative(highest512.GetLower(), highest512.GetUpper());
        }
        for (var j = wide; j < length; j += Lanes)
        {
            var count = length - j;
            highest = Vector256.MaxNative(highest, VectorRow.Load(z + j, count, Real.NegativeInfinity));
        }
        var max = VectorRow.Max(highest);
        var shift = Vector256.Create(max);
        var total = Vector256<Real>.Zero;
        for (var i = 0; i < wide; i += Vector512<Real>.Count)
        {
            var terms = VectorMath.Exp(Vector512.Load(z + i) - Vector512.Create(max));
            // The order of the narrower loop.
            total += terms.GetLower();
            total += terms.GetUpper();
        }
        for (var j = wide; j < length; j += Lanes)
        {
            var count = length - j;
            total += VectorRow.Mask(VectorMath.Exp(VectorRow.Load(z + j, count) - shift), count);
        }
        return max + VectorMath.Log(VectorReduction.Sum(total));
    }
}
