using TinyDpo.Kernels;

namespace TinyDpo.Tests.Kernels;

/// <summary>Random operands of one attention call, in managed arrays with gaps between the rows, and the calls on them.</summary>
internal sealed unsafe class AttentionCase
{
    /// <summary>What stands in the gaps and must stay there; in operands that are only read, NaN, so that reading a gap shows.</summary>
    public const int Untouched = 12345;

    public required SegmentLayout Layout { get; init; }
    public required int Heads { get; init; }
    public required int KvHeads { get; init; }
    public required int HeadSize { get; init; }
    public int Gap { get; init; }
    public int? Window { get; init; }
    public Real[] Q { get; private set; } = [];
    public Real[] K { get; private set; } = [];
    public Real[] V { get; private set; } = [];
    public Real[] DO { get; private set; } = [];

    public int Tokens => Layout.Tokens;
    public int LdQ => Heads * HeadSize + Gap;
    public int LdK => KvHeads * HeadSize + 2 * Gap;
    public int LdV => KvHeads * HeadSize + Gap;
    public int LdO => Heads * HeadSize + 3 * Gap;
    public Real Scale => (Real)(1 / Math.Sqrt(HeadSize));

    public AttentionCase Fill(int seed, double magnitude = 1)
    {
        Q = Normal(seed, 0, LdQ, Heads, magnitude);
        K = Normal(seed, 1, LdK, KvHeads, magnitude);
        V = Normal(seed, 2, LdV, KvHeads, 1);
        DO = Normal(seed, 3, LdO, Heads, 1);
        return this;
    }

    /// <summary>A case whose tokens are copies of these tokens of this one.</summary>
    public AttentionCase Gather(SegmentLayout layout, params IEnumerable<int> tokens)
    {
        var from = tokens.ToArray();
        Real[] Rows(Real[] x, int stride) => [.. from.SelectMany(t => x.AsSpan(t * stride, stride).ToArray())];
        return new AttentionCase
        {
            Layout = layout,
            Heads = Heads,
            KvHeads = KvHeads,
            HeadSize = HeadSize,
            Gap = Gap,
            Window = Window,
            Q = Rows(Q, LdQ),
            K = Rows(K, LdK),
            V = Rows(V, LdV),
            DO = Rows(DO, LdO),
        };
    }

    private Real[] Normal(int seed, int which, int stride, int heads, double magnitude)
    {
        var x = new Real[Tokens * stride];
        for (var i = 0; i < x.Length; i++)
        {
            var inGap = i % stride >= heads * HeadSize;
            x[i] = inGap ? Real.NaN : (Real)(magnitude * Philox.Normal((ulong)seed, RandomPurpose.Test, which, 0, i));
        }
        return x;
    }

    public (Real[] O, Real[] Lse) Forward(int threads = 1, bool reference = false)
    {
        using var team = new WorkerTeam(threads);
        var (output, logSumExp) = (Prefilled(LdO), new Real[Heads * Tokens]);
        fixed (Real* q = Q, k = K, v = V, o = output, lse = logSumExp)
        {
            if (reference)
            {
                SegmentAttention.ForwardReference(Layout, Heads, KvHeads, HeadSize, Scale, q, LdQ, k, LdK, v, LdV, o, LdO, lse, Window);
            }
            else
            {
                SegmentAttention.Forward(team, Layout, Heads, KvHeads, HeadSize, Scale, q, LdQ, k, LdK, v, LdV, o, LdO, lse, Window);
            }
        }
        return (output, logSumExp);
    }

    public (Real[] DQ, Real[] DK, Real[] DV) Backward(int threads = 1, bool reference = false, bool accumulate = false)
    {
        using var team = new WorkerTeam(threads);
        var (output, logSumExp) = Forward();
        var (dQuery, dKey, dValue) = (Prefilled(LdQ), Prefilled(LdK), Prefilled(LdV));
        if (accumulate)
        {
            foreach (var x in (Real[][])[dQuery, dKey, dValue])
            {
                for (var i = 0; i < x.Length; i++)
                {
                    x[i] = i % 7;
                }
            }
        }
        fixed (Real* q = Q, k = K, v = V, dO = DO, o = output, lse = logSumExp, dq = dQuery, dk = dKey, dv = dValue)
        {
            if (reference)
            {
                SegmentAttention.BackwardReference(Layout, Heads, KvHeads, HeadSize, Scale, q, LdQ, k, LdK, v, LdV, dO, LdO, dq, dk, dv,
                    accumulate, Window);
            }
            else
            {
                SegmentAttention.Backward(team, Layout, Heads, KvHeads, HeadSize, Scale, q, LdQ, k, LdK, v, LdV, o, LdO, lse, dO, dq, dk,
                    dv, accumulate, Window);
            }
        }
        return (dQuery, dKey, dValue);
    }

    private Real[] Prefilled(int stride)
    {
        var x = new Real[Tokens * stride];
        Array.Fill(x, Untouched);
        return x;
    }

    /// <summary>The rows of these tokens, gaps and all.</summary>
    public static Real[] Rows(Real[] x, int stride, IEnumerable<int> tokens) =>
        [.. tokens.SelectMany(t => x.Skip(t * stride).Take(stride))];

    /// <summary>The entries of lse [heads, tokens] of these tokens, head after head.</summary>
    public Real[] LseRows(Real[] lse, IEnumerable<int> tokens) =>
        [.. Enumerable.Range(0, Heads).SelectMany(h => tokens.Select(t => lse[h * Tokens + t]))];
}
