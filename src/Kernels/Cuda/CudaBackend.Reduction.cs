namespace TinyDpo.Kernels;

public sealed unsafe partial class CudaBackend
{
    // Numbers that one block adds: fixed, so that a sum's order depends on its length alone.
    private const int SumBlock = 4096;
    private const int WarpsOfBlock = BlockThreads / 32;

    public void Sum(DeviceBuffer x, Real scale, DeviceBuffer sum)
    {
        RequireLength(sum, 1);
        if (x.Length == 0)
        {
            Fill(sum.Slice(0, 1), scale * 0);
            return;
        }
        SumBlocks(x, scale, sum);
    }

    public void SumBackward(DeviceBuffer dSum, Real scale, DeviceBuffer dx, bool accumulate)
    {
        RequireLength(dSum, 1);
        var n = dx.Length;
        if (n > 0)
        {
            Launch(
                "sum_backward", Grid.Of(Blocks(n, SumBlock), BlockThreads), In(dSum, 1), scale, Result(dx, n, accumulate), n, accumulate);
        }
    }

    public void SegmentSum(DeviceBuffer x, IndexBuffer offsets, DeviceBuffer sum)
    {
        RequireLength(sum, offsets.Length - 1);
        IndexBuffer.RequireOffsets(HostValues(offsets), x.Length);
        var segments = offsets.Length - 1;
        if (segments > 0)
        {
            Launch(
                "segment_sum", Grid.Of(Blocks(segments, WarpsOfBlock), BlockThreads), In(x, x.Length), In(offsets, offsets.Length), segments,
                Out(sum, segments));
        }
    }

    public void SegmentSumBackward(DeviceBuffer dSum, IndexBuffer offsets, DeviceBuffer dx, bool accumulate)
    {
        RequireLength(dSum, offsets.Length - 1);
        IndexBuffer.RequireOffsets(HostValues(offsets), dx.Length);
        var segments = offsets.Length - 1;
        if (segments > 0)
        {
            Launch(
                "segment_sum_backward", Grid.Of(Blocks(segments, WarpsOfBlock), BlockThreads), In(dSum, segments), In(offsets, offsets.Length),
                segments, Result(dx, dx.Length, accumulate), accumulate);
        }
    }

    // Block sums of block sums, until one number is left.
    private void SumBlocks(DeviceBuffer x, Real scale, DeviceBuffer sum)
    {
        var blocks = (int)Blocks(x.Length, SumBlock);
        if (blocks == 1)
        {
            Launch("sum_blocks", Grid.Of(1, BlockThreads), In(x, x.Length), x.Length, scale, Out(sum, 1));
            return;
        }
        using var partial = Temporary(blocks);
        Launch("sum_blocks", Grid.Of(blocks, BlockThreads), In(x, x.Length), x.Length, 1f, Out(partial.Buffer, blocks));
        SumBlocks(partial.Buffer, scale, sum);
    }
}
