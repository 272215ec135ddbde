namespace TinyDpo.Kernels;

/// <summary>What all calls of a kernel at one shape took and needed.</summary>
/// <param name="Kernel">The backend's method.</param>
/// <param name="Shape">Its sizes, as text.</param>
public sealed record KernelCost(string Kernel, string Shape)
{
    public int Calls { get; internal set; }

    public double Seconds { get; internal set; }

    /// <summary>Floating-point operations, a multiply-add as two and an exp, log, square root or quotient as one.</summary>
    public double Flops { get; internal set; }

    /// <summary>The fewest bytes: every input read once, every output written once, and read first where it is added to.</summary>
    public double Bytes { get; internal set; }
}
