using System.Numerics;
using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// The angles of rotary positions, [positions, headSize / 2] each, computed in double (Su et al. 2021). It grows with the longest sequence:
/// a configuration may claim millions of positions that none has.
/// </summary>
/// <param name="backend">Where the table lies.</param>
/// <param name="mostPositions">What a model's configuration allows.</param>
/// <param name="frequencies">The angle of each pair in position 1, in radians: [headSize / 2].</param>
/// <param name="interleaved">See <see cref="Interleaved"/>.</param>
public sealed class RotaryTable(IBackend backend, int mostPositions, double[] frequencies, bool interleaved)
{
    private const int FewestPositions = 128;

    private (DeviceBuffer Cosines, DeviceBuffer Sines)? _angles;

    /// <summary>Positions that the table holds.</summary>
    public int Positions { get; private set; }

    public int HeadSize => 2 * frequencies.Length;

    /// <summary>Whether a pair is (2i, 2i + 1), as in llama2.c, instead of (i, i + headSize / 2), as in Hugging Face.</summary>
    public bool Interleaved => interleaved;

    public DeviceBuffer Cosines => Angles.Cosines;

    public DeviceBuffer Sines => Angles.Sines;

    private (DeviceBuffer Cosines, DeviceBuffer Sines) Angles => _angles ?? throw new InvalidOperationException("no position has been reserved");

    /// <summary>Makes sure of so many positions, up to the most. A longer sequence doubles the table; a batch of none needs one too.</summary>
    public RotaryTable Reserve(int positions)
    {
        if (_angles is not null && (positions <= Positions || Positions == mostPositions))
        {
            return this;
        }
        Free();
        Positions = (int)Math.Min(mostPositions, BitOperations.RoundUpToPowerOf2((uint)Math.Max(positions, FewestPositions)));
        var half = frequencies.Length;
        var cosines = new Real[checked(Positions * half)];
        var sines = new Real[cosines.Length];
        for (var i = 0; i < half; i++)
        {
            for (var p = 0; p < Positions; p++)
            {
                cosines[(p * half) + i] = (Real)Math.Cos(p * frequencies[i]);
                sines[(p * half) + i] = (Real)Math.Sin(p * frequencies[i]);
            }
        }
        var angles = (Cosines: backend.Memory.Allocate(cosines.Length), Sines: backend.Memory.Allocate(sines.Length));
        backend.Upload(cosines, angles.Cosines);
        backend.Upload(sines, angles.Sines);
        _angles = angles;
        return this;
    }

    /// <summary>Gives the buffers back.</summary>
    public void Free()
    {
        if (_angles is var (cosines, sines))
        {
            backend.Memory.Return(cosines);
            backend.Memory.Return(sines);
            (_angles, Positions) = (null, 0);
        }
    }
}

/// <summary>Turns each pair of each head by its token's angle: x, y [tokens, heads * headSize], positions [tokens].</summary>
internal sealed class RotaryOp : Op
{
    private readonly Tensor _x;
    private readonly IndexBuffer _positions;
    private readonly RotaryTable _table;

    public RotaryOp(Tensor x, IndexBuffer positions, RotaryTable table)
        : base(x)
    {
        Require(x.Shape.Columns % table.HeadSize == 0, $"rotary: x {x.Shape} does not divide into heads of {table.HeadSize}");
        Require(positions.Length == x.Shape.Rows, $"rotary: {positions.Length} positions for x {x.Shape}");
        (_x, _positions, _table) = (x, positions, table);
    }

    protected override Shape OutputShape => _x.Shape;

    protected override void Forward(DeviceBuffer output) => Rotate(_x.Data, inverse: false, output, accumulate: false);

    // A rotation's transpose is the rotation back.
    protected override void Backward(DeviceBuffer dOutput)
    {
        if (Wants(_x, out var dx, out var accumulate))
        {
            Rotate(dOutput, inverse: true, dx, accumulate);
        }
    }

    private void Rotate(DeviceBuffer from, bool inverse, DeviceBuffer to, bool accumulate) =>
        Backend.Rotary(
            from, _positions, _table.Cosines, _table.Sines, _x.Shape.Rows, _x.Shape.Columns / _table.HeadSize, _table.HeadSize,
            _table.Interleaved, inverse, to, accumulate);
}

/// <summary>
/// Causal attention over packed segments with shared prefixes and grouped key/value heads: q [tokens, heads * headSize], k and v [tokens,
/// kvHeads * headSize]. Keeps one log-sum-exp a row and head for backward, never a tokens x tokens matrix (Dao et al. 2022).
/// </summary>
internal sealed class SegmentAttentionOp : Op
{
    private readonly AttentionShape _shape;
    private readonly SegmentLayout _segments;
    private readonly Tensor _q;
    private readonly Tensor _k;
    private readonly Tensor _v;
    private DeviceBuffer? _logSumExp;

    public SegmentAttentionOp(AttentionShape shape, SegmentLayout segments, Tensor q, Tensor k, Tensor v)
        : base(q, k, v)
    {
        Require(shape.KeyValueHeads > 0 && shape.Heads % shape.KeyValueHeads == 0, $"attention: {shape.Heads} heads over {shape.KeyValueHeads} key/value heads");
        Require(q.Shape == Shape.Matrix(segments.Tokens, shape.QueryWidth), $"attention: q {q.Shape} for {segments.Tokens} tokens and {shape}");
        Require(k.Shape == Shape.Matrix(segments.Tokens, shape.KeyValueWidth) && v.Shape == k.Shape, $"attention: k {k.Shape}, v {v.Shape} for {shape}");
        (_shape, _segments, _q, _k, _v) = (shape, segments, q, k, v);
    }

    protected override Shape OutputShape => _q.Shape;

    protected override void Forward(DeviceBuffer output)
    {
        _logSumExp = Save(_shape.Heads * _segments.Tokens);
        Backend.SegmentAttention(_shape, _segments, _q.Data, _k.Data, _v.Data, output, _logSumExp);
    }

    protected override void Backward(DeviceBuffer dOutput)
    {
        // The kernel gives all three at once. Where one is not wanted, or has a contribution already while another has none, it writes to
        // buffers of its own and what is wanted is added from there.
        var target = new Tensor[] { _q, _k, _v };
        var direct = Array.TrueForAll(target, static t => t.RequiresGrad && t.Grad is null) && _q != _k && _k != _v && _q != _v;
        var gradients = Array.ConvertAll(target, t => direct && Wants(t, out var gradient, out _) ? gradient : Save(t.Shape.Count));
        Backend.SegmentAttentionBackward(
            _shape, _segments, _q.Data, _k.Data, _v.Data, OutputData, _logSumExp!, dOutput, gradients[0], gradients[1], gradients[2]);
        for (var i = 0; i < target.Length && !direct; i++)
        {
            if (Wants(target[i], out var gradient, out var accumulate))
            {
                Backend.Affine(gradients[i], 1, 0, gradient, accumulate);
            }
            Release(gradients[i]);
        }
    }

    protected override void ReleaseSaved() => Release(_logSumExp);
}
