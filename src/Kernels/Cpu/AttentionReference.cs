namespace TinyDpo.Kernels;

internal static unsafe partial class SegmentAttention
{
    /// <summary><see cref="Forward"/> in plain loops, sums in double.</summary>
    public static void ForwardReference(SegmentLayout layout, int heads, int kvHeads, int headSize, Real scale,
        Real* q, int ldq, Real* k, int ldk, Real* v, int ldv, Real* o, int ldo, Real* lse, int? window = null)
    {
        foreach (var segment in layout.Segments)
        {
            for (var h = 0; h < heads; h++)
            {
                nint column = h * headSize, kvColumn = h / (heads / kvHeads) * headSize;
                for (var i = 0; i < segment.Length; i++)
                {
                    nint token = segment.Start + i;
                    var weights = WeightsReference(q + token * ldq + column, headSize, scale, segment.PrefixLength + i + 1, window,
                        j => (nint)(k + KeyToken(segment, j) * ldk + kvColumn), out var firstKey, out var logSumExp);
                    for (var d = 0; d < headSize; d++)
                    {
                        var sum = 0.0;
                        for (var j = firstKey; j < weights.Length; j++)
                        {
                            sum += weights[j] * v[KeyToken(segment, j) * ldv + kvColumn + d];
                        }
                        o[token * ldo + column + d] = (Real)sum;
                    }
                    lse[h * (nint)layout.Tokens + token] = (Real)logSumExp;
                }
            }
        }
    }

    /// <summary><see cref="Backward"/> in plain loops, sums in double; it needs no o and lse, but computes the weights anew.</summary>
    public static void BackwardReference(SegmentLayout layout, int heads, int kvHeads, int headSize, Real scale,
        Real* q, int ldq, Real* k, int ldk, Real* v, int ldv, Real* dO, int ldo, Real* dq, Real* dk, Real* dv, bool accumulate, int? window = null)
    {
        var (dQuery, dKey, dValue) = (new double[layout.Tokens * heads * headSize], new double[layout.Tokens * kvHeads * headSize],
            new double[layout.Tokens * kvHeads * headSize]);
        foreach (var segment in layout.Segments)
        {
            for (var h = 0; h < heads; h++)
            {
                nint column = h * headSize, kvColumn = h / (heads / kvHeads) * headSize;
                for (var i = 0; i < segment.Length; i++)
                {
                    nint token = segment.Start + i;
                    var weights = WeightsReference(q + token * ldq + column, headSize, scale, segment.PrefixLength + i + 1, window,
                        j => (nint)(k + KeyToken(segment, j) * ldk + kvColumn), out var firstKey, out _);
                    var dWeights = new double[weights.Length];
                    var correction = 0.0;
                    for (var j = firstKey; j < weights.Length; j++)
                    {
                        for (var d = 0; d < headSize; d++)
                        {
                            dWeights[j] += (double)dO[token * ldo + column + d] * v[KeyToken(segment, j) * ldv + kvColumn + d];
                        }
                        correction += weights[j] * dWeights[j];
                    }
                    for (var j = firstKey; j < weights.Length; j++)
                    {
                        var key = KeyToken(segment, j);
                        var dScore = weights[j] * (dWeights[j] - correction) * scale;
                        for (var d = 0; d < headSize; d++)
                        {
                            dQuery[(token * heads + h) * headSize + d] += dScore * k[key * ldk + kvColumn + d];
                            dKey[key * kvHeads * headSize + kvColumn + d] += dScore * q[token * ldq + column + d];
                            dValue[key * kvHeads * headSize + kvColumn + d] += weights[j] * dO[token * ldo + column + d];
                        }
                    }
                }
            }
        }
        Put(dQuery, dq, ldq, heads * headSize);
        Put(dKey, dk, ldk, kvHeads * headSize);
        Put(dValue, dv, ldv, kvHeads * headSize);

        void Put(double[] gradient, Real* target, int stride, int width)
        {
            for (var i = 0; i < gradient.Length; i++)
            {
                var place = target + i / width * (nint)stride + i % width;
                *place = (Real)((accumulate ? *place : 0) + gradient[i]);
            }
        }
    }

    /// <summary>
    /// The softmax weights of one query over the keys up to its own (address(j) is that of key j), the first that its window lets it see, and its
    /// scores' log-sum-exp. The weights before that key mean nothing.
    /// </summary>
    internal static double[] WeightsReference(Real* query, int headSize, Real scale, int keys, int? window, Func<int, nint> address,
        out int firstKey, out double logSumExp)
    {
        var weights = new double[keys];
        firstKey = Math.Max(0, keys - (window ?? keys));
        for (var j = firstKey; j < keys; j++)
        {
            var key = (Real*)address(j);
            for (var d = 0; d < headSize; d++)
            {
                weights[j] += (double)query[d] * key[d];
            }
            weights[j] *= scale;
        }
        var maximum = weights.Skip(firstKey).DefaultIfEmpty().Max();
        var total = weights.Skip(firstKey).Sum(score => Math.Exp(score - maximum));
        for (var j = firstKey; j < keys; j++)
        {
            weights[j] = Math.Exp(weights[j] - maximum) / total;
        }
        logSumExp = maximum + Math.Log(total);
        return weights;
    }

    /// <summary>The token of key j of a sequence: the prefix's tokens, then the segment's own.</summary>
    private static nint KeyToken(Segment segment, int j) =>
        j < segment.PrefixLength ? segment.PrefixStart + j : segment.Start + (j - segment.PrefixLength);
}
