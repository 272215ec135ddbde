using System.Numerics;
using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    // Up to here a warp takes a row of logits, beyond it a block.
    private const int WarpVocabulary = 1024;

    // Up to here a block that samples holds the row in shared memory.
    private const int HeldVocabulary = 8192;

    public void LogSoftmaxGather(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logProb, DeviceBuffer logSumExp)
    {
        RequireLength(logits, (long)rows * vocabulary);
        RequireLength(logProb, (long)from + rows);
        RequireLength(logSumExp, (long)from + rows);
        RequireIndices(targets, from, rows, vocabulary);
        if (rows > 0)
        {
            Launch(
                $"log_softmax_gather_{RowKernel(vocabulary)}", RowGrid(rows, vocabulary), In(logits, (long)rows * vocabulary),
                Indices(targets, from, rows), rows, vocabulary, Out(logProb.Slice(from, rows), rows), Out(logSumExp.Slice(from, rows), rows));
        }
    }

    public void LogSoftmaxGatherBackward(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logSumExp, DeviceBuffer dLogProb)
    {
        RequireLength(logits, (long)rows * vocabulary);
        RequireLength(logSumExp, (long)from + rows);
        RequireLength(dLogProb, (long)from + rows);
        RequireIndices(targets, from, rows, vocabulary);
        if (rows > 0)
        {
            Launch(
                "log_softmax_gather_backward", Tiles(rows, vocabulary), InOut(logits, (long)rows * vocabulary), Indices(targets, from, rows), rows,
                vocabulary, In(logSumExp.Slice(from, rows), rows), In(dLogProb.Slice(from, rows), rows), RowsOfTile(rows), ColumnsOfTile(vocabulary));
        }
    }

    public void RowKl(DeviceBuffer p, DeviceBuffer q, int rows, int vocabulary, DeviceBuffer kl, int to)
    {
        var n = (long)rows * vocabulary;
        RequireLength(p, n);
        RequireLength(q, n);
        RequireLength(kl, (long)to + rows);
        if (rows > 0)
        {
            Launch(
                $"row_kl_{RowKernel(vocabulary)}", RowGrid(rows, vocabulary), In(p, n), In(q, n), rows, vocabulary, Out(kl.Slice(to, rows), rows));
        }
    }

    // The tokens are read back at once: a row that is not finite must stop the generation, and who samples wants to know them anyway.
    public void Sample(
        DeviceBuffer logits, int rows, int vocabulary, SamplingOptions options, ulong seed, IndexBuffer sequence, IndexBuffer position,
        IndexBuffer token)
    {
        RequireLength(logits, (long)rows * vocabulary);
        RequireLength(sequence, rows);
        RequireLength(position, rows);
        RequireLength(token, rows);
        if (rows == 0)
        {
            return;
        }
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabulary, 1);
        var unit = Math.ScaleB(1, 61 - BitOperations.Log2((uint)vocabulary));
        var held = vocabulary <= HeldVocabulary;
        Launch(
            held ? "sample_block" : "sample_long", Grid.Of(rows, BlockThreads, held ? vocabulary * sizeof(float) : 0),
            In(logits, (long)rows * vocabulary), vocabulary, options.Temperature, options.TopK, options.TopP, unit, seed, In(sequence, rows),
            In(position, rows), Out(token, rows));
        var tokens = new int[rows];
        DownloadBytes(token.Address, MemoryMarshal.AsBytes(tokens.AsSpan()));
        token.HostCopy = token.Length == rows ? tokens : null;
        if (tokens.Contains(-1))
        {
            throw new NonFiniteException("the largest logit");
        }
    }

    private static string RowKernel(int vocabulary) => vocabulary <= WarpVocabulary ? "warp" : "block";

    private static Grid RowGrid(int rows, int vocabulary) =>
        Grid.Of(vocabulary <= WarpVocabulary ? Blocks(rows, WarpsOfBlock) : rows, BlockThreads);
}
