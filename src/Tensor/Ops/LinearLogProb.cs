using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// y[r] = log softmax(hidden[rows[r]] head^T)[targets[r]]: hidden [tokens, width], head [vocabulary, width], rows and targets [n], y [n].
/// Gather, matmul, log-softmax and target gather run a chunk of rows at a time, so logits [n, vocabulary] never exist whole; one
/// log-sum-exp a row is kept. Backward computes each chunk again, or reuses it where all rows fitted one chunk. Rows may repeat.
/// </summary>
internal sealed class LinearLogProbOp : Op
{
    /// <summary>The most logits that exist at a time: 32 MiB of float.</summary>
    public const int DefaultChunkBudget = 8 * 1024 * 1024;

    private readonly Tensor _hidden;
    private readonly Tensor _head;
    private readonly IndexBuffer _rows;
    private readonly IndexBuffer _targets;
    private readonly int _chunk;
    private DeviceBuffer? _logSumExp;
    private DeviceBuffer? _keptLogits;
    private DeviceBuffer? _keptInput;

    public LinearLogProbOp(Tensor hidden, Tensor head, IndexBuffer rows, IndexBuffer targets, int chunkBudget = DefaultChunkBudget)
        : base(hidden, head)
    {
        Require(hidden.Shape.Columns == head.Shape.Columns, $"log-prob: hidden {hidden.Shape} does not fit the head {head.Shape}");
        Require(rows.Length == targets.Length, $"log-prob: {rows.Length} rows but {targets.Length} targets");
        (_hidden, _head, _rows, _targets) = (hidden, head, rows, targets);
        _chunk = Math.Max(1, chunkBudget / Math.Max(1, Vocabulary));
    }

    protected override Shape OutputShape => Shape.Vector(_rows.Length);

    private int Width => _head.Shape.Columns;

    private int Vocabulary => _head.Shape.Rows;

    protected override void Forward(DeviceBuffer output)
    {
        _logSumExp = Save(_rows.Length);
        var keep = Differentiated && _rows.Length <= _chunk;
        var size = Math.Min(_chunk, _rows.Length);
        var (input, logits) = (Save(size * Width), Save(size * Vocabulary));
        for (var from = 0; from < _rows.Length; from += _chunk)
        {
            var count = Math.Min(_chunk, _rows.Length - from);
            ComputeLogits(from, count, input, logits);
            Backend.LogSoftmaxGather(logits, _targets, from, count, Vocabulary, output, _logSumExp);
        }
        if (keep)
        {
            (_keptInput, _keptLogits) = (input, logits);
        }
        else
        {
            Release(input);
            Release(logits);
        }
    }

    // With g = dy (onehot(target) - softmax(z)) a row: dHidden[row] += g head, dHead += g^T hidden[row].
    protected override void Backward(DeviceBuffer dOutput)
    {
        var size = Math.Min(_chunk, _rows.Length);
        var input = _keptInput ?? Save(size * Width);
        var logits = _keptLogits ?? Save(size * Vocabulary);
        var dInput = Save(size * Width);
        var wantsHidden = Wants(_hidden, out var dHidden, out var addHidden);
        var wantsHead = Wants(_head, out var dHead, out var addHead);
        for (var from = 0; from == 0 || from < _rows.Length; from += _chunk)
        {
            var count = Math.Min(_chunk, _rows.Length - from);
            if (_keptLogits is null)
            {
                ComputeLogits(from, count, input, logits);
            }
            Backend.LogSoftmaxGatherBackward(logits, _targets, from, count, Vocabulary, _logSumExp!, dOutput);
            if (wantsHead)
            {
                Backend.Gemm(true, false, Vocabulary, Width, count, 1, logits, input, addHead, dHead);
                addHead = true;
            }
            if (wantsHidden)
            {
                Backend.Gemm(false, false, count, Width, Vocabulary, 1, logits, _head.Data, false, dInput);
                Backend.ScatterAddRows(dInput, _rows, from, count, Width, dHidden, _hidden.Shape.Rows, addHidden);
                addHidden = true;
            }
        }
        Release(dInput);
        Release(input);
        Release(logits);
    }

    protected override void ReleaseSaved()
    {
        Release(_logSumExp);
        Release(_keptInput);
        Release(_keptLogits);
    }

    private void ComputeLogits(int from, int count, DeviceBuffer input, DeviceBuffer logits)
    {
        Backend.GatherRows(_hidden.Data, _rows, from, count, Width, input);
        Backend.Gemm(false, true, count, Vocabulary, Width, 1, input, _head.Data, false, logits);
    }
}
