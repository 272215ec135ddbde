namespace TinyDpo.Kernels;

/// <content>The kernels, which do nothing but take memory.</content>
public sealed partial class DryBackend
{
    public void Rotary(
        DeviceBuffer x, IndexBuffer positions, DeviceBuffer cosines, DeviceBuffer sines, int tokens, int heads, int headSize,
        bool interleaved, bool inverse, DeviceBuffer y, bool accumulate)
    {
    }

    public void SegmentAttention(
        AttentionShape shape, SegmentLayout segments, DeviceBuffer q, DeviceBuffer k, DeviceBuffer v, DeviceBuffer output,
        DeviceBuffer logSumExp)
    {
    }

    public void AppendCache(
        DeviceBuffer k, DeviceBuffer v, IndexBuffer lengths, int sequences, int capacity, int width, DeviceBuffer kCache,
        DeviceBuffer vCache)
    {
    }

    public void DecodeAttention(
        AttentionShape shape, DeviceBuffer q, DeviceBuffer kCache, DeviceBuffer vCache, IndexBuffer lengths, int sequences, int capacity,
        DeviceBuffer output)
    {
    }

    public void Unary(UnaryFunction f, DeviceBuffer x, DeviceBuffer y)
    {
    }

    public void UnaryBackward(UnaryFunction f, DeviceBuffer x, DeviceBuffer y, DeviceBuffer dy, DeviceBuffer dx, bool accumulate)
    {
    }

    public void Binary(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer y)
    {
    }

    public void BinaryBackwardFirst(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer da, bool accumulate)
    {
    }

    public void BinaryBackwardSecond(BinaryFunction f, DeviceBuffer a, DeviceBuffer b, DeviceBuffer dy, DeviceBuffer db, bool accumulate)
    {
    }

    public void Affine(DeviceBuffer x, Real scale, Real shift, DeviceBuffer y, bool accumulate)
    {
    }

    public void SwiGlu(DeviceBuffer gate, DeviceBuffer up, DeviceBuffer y)
    {
    }

    public void SwiGluBackward(
        DeviceBuffer gate, DeviceBuffer up, DeviceBuffer dy, DeviceBuffer dGate, bool accumulateGate, DeviceBuffer dUp,
        bool accumulateUp)
    {
    }

    public void LogSoftmaxGather(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logProb, DeviceBuffer logSumExp)
    {
    }

    public void LogSoftmaxGatherBackward(
        DeviceBuffer logits, IndexBuffer targets, int from, int rows, int vocabulary, DeviceBuffer logSumExp, DeviceBuffer dLogProb)
    {
    }

    public void RowKl(DeviceBuffer p, DeviceBuffer q, int rows, int vocabulary, DeviceBuffer kl, int to)
    {
    }

    public void Sample(
        DeviceBuffer logits, int rows, int vocabulary, SamplingOptions options, ulong seed, IndexBuffer sequence, IndexBuffer position,
        IndexBuffer token)
    {
    }

    public void Gemm(
        bool transA, bool transB, int m, int n, int k, Real alpha, DeviceBuffer a, DeviceBuffer b, bool accumulate, DeviceBuffer c,
        DeviceBuffer? addend)
    {
    }

    public void KeepPacked(DeviceBuffer b, int n, int k)
    {
        if (keepsPacked)
        {
            Memory.Rent(Kernels.Gemm.PackedLength(n, k));
        }
    }

    public void AddBias(DeviceBuffer y, DeviceBuffer bias, int rows, int columns)
    {
    }

    public void ColumnSum(DeviceBuffer x, int rows, int columns, DeviceBuffer sum, bool accumulate)
    {
    }

    public void GatherRows(DeviceBuffer table, IndexBuffer index, int from, int count, int columns, DeviceBuffer y)
    {
    }

    public void ScatterAddRows(
        DeviceBuffer y, IndexBuffer index, int from, int count, int columns, DeviceBuffer table, int tableRows, bool accumulate)
    {
    }

    public void RmsNorm(DeviceBuffer x, DeviceBuffer weight, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer reciprocal)
    {
    }

    public void RmsNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dx,
        bool accumulate)
    {
    }

    public void RmsNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight, bool accumulate)
    {
    }

    public void LayerNorm(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer bias, int rows, int columns, Real epsilon, DeviceBuffer y, DeviceBuffer mean,
        DeviceBuffer reciprocal)
    {
    }

    public void LayerNormBackwardInput(
        DeviceBuffer x, DeviceBuffer weight, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns,
        DeviceBuffer dx, bool accumulate)
    {
    }

    public void LayerNormBackwardWeight(
        DeviceBuffer x, DeviceBuffer mean, DeviceBuffer reciprocal, DeviceBuffer dy, int rows, int columns, DeviceBuffer dWeight,
        bool accumulate)
    {
    }

    public void AdamW(DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer m, DeviceBuffer v, AdamWStep step)
    {
    }

    public void Sgd(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer? velocity, Real learningRate, Real momentum)
    {
    }

    public void RmsProp(
        DeviceBuffer parameter, DeviceBuffer gradient, Real gradientScale, DeviceBuffer square, Real learningRate, Real alpha,
        Real epsilon)
    {
    }

    public void Sum(DeviceBuffer x, Real scale, DeviceBuffer sum)
    {
    }

    public void SumBackward(DeviceBuffer dSum, Real scale, DeviceBuffer dx, bool accumulate)
    {
    }

    public void SegmentSum(DeviceBuffer x, IndexBuffer offsets, DeviceBuffer sum)
    {
    }

    public void SegmentSumBackward(DeviceBuffer dSum, IndexBuffer offsets, DeviceBuffer dx, bool accumulate)
    {
    }
}
