namespace TinyDpo.Kernels;

/// <summary>What a kernel does with the memory behind a pointer.</summary>
[Flags]
public enum Access
{
    Read = 1,
    Write = 2,
    ReadWrite = Read | Write,
}

/// <summary>
/// The memory that a launch may touch through one pointer: [Address, Address + Bytes). NeededRead and NeededWritten are the fewest bytes
/// that any kernel must move for this result, which traffic is measured against.
/// </summary>
public readonly record struct PointerExtent(nint Address, long Bytes, Access Access, long NeededRead, long NeededWritten);

/// <summary>
/// What a driver that checks wants to know beyond CUDA's own calls; the simulator implements it, a GPU has no use for it. All of it takes
/// effect in the order of the stream's work, not at the time of the call.
/// </summary>
public interface ILaunchObserver : IMemoryObserver
{
    /// <summary>Announces the pointers of the next cuLaunchKernel.</summary>
    void BeforeLaunch(ReadOnlySpan<PointerExtent> extents);

    /// <summary>Why the last call returned an error, in words; null where its name says enough.</summary>
    string? WhyRefused { get; }
}
