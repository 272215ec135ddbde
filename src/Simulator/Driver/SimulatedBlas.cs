namespace TinyDpo.Simulator;

/// <summary>The state of a cuBLAS handle.</summary>
internal sealed class SimulatedBlas(int number)
{
    public int Number => number;

    /// <summary>The stream's handle; 0 is the default stream.</summary>
    public nint Stream { get; set; }

    /// <summary>The user's workspace; 0 bytes for cuBLAS's own.</summary>
    public nint Workspace { get; set; }

    public long WorkspaceBytes { get; set; }

    /// <summary>Whether products may round their inputs to TF32.</summary>
    public bool Tf32 { get; set; }

    /// <summary>Whether alpha and beta stand in device memory.</summary>
    public bool DevicePointers { get; set; }
}

/// <summary>What calls of one matrix product cost, added up; shapes as in the column-major call.</summary>
public sealed class ProductCounters
{
    public required bool TransA { get; init; }

    public required bool TransB { get; init; }

    public required int M { get; init; }

    public required int N { get; init; }

    public required int K { get; init; }

    /// <summary>Whether the inputs were rounded to TF32.</summary>
    public required bool Tf32 { get; init; }

    public long Calls { get; set; }

    /// <summary>A multiplication and an addition for each term.</summary>
    public long Flops { get; set; }

    /// <summary>Bytes with A, B and (where beta is not 0) C read once: the fewest; what cuBLAS moves is not known.</summary>
    public long ReadBytes { get; set; }

    public long WrittenBytes { get; set; }
}
