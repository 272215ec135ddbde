namespace TinyDpo.Kernels;

public partial interface IBackend
{
    /// <summary>sum [1] = scale times the sum of x. The order of the sum depends on its length alone.</summary>
    void Sum(DeviceBuffer x, Real scale, DeviceBuffer sum);

    /// <summary>dx[i] (+)= scale dSum[0].</summary>
    void SumBackward(DeviceBuffer dSum, Real scale, DeviceBuffer dx, bool accumulate);

    /// <summary>sum[s] = the sum of x[offsets[s] .. offsets[s + 1]), left to right; offsets has one entry more than there are segments.</summary>
    void SegmentSum(DeviceBuffer x, IndexBuffer offsets, DeviceBuffer sum);

    /// <summary>dx[i] (+)= dSum[s] for every i of segment s. The segments cover x.</summary>
    void SegmentSumBackward(DeviceBuffer dSum, IndexBuffer offsets, DeviceBuffer dx, bool accumulate);
}
