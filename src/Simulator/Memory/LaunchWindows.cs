using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

/// <summary>Memory that a launch may touch, with the shadow of the allocation that it lies in.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">The byte after the last.</param>
/// <param name="Access">What may be done.</param>
/// <param name="Allocation">Where it lies.</param>
/// <param name="Shared">Whether someone may write what another reads here, so that reads leave stamps.</param>
internal sealed record Window(ulong Start, ulong End, Access Access, Allocation Allocation, bool Shared);

/// <summary>All windows of a launch, and the numbers of its blocks in the stamps.</summary>
internal sealed class LaunchWindows
{
    private readonly Window[] _windows;

    /// <exception cref="SimulationException">The launcher declares memory that is not allocated.</exception>
    public LaunchWindows(LaunchRequest launch, SimulatedMemory memory)
    {
        FirstBlock = (ulong)memory.TakeBlockNumbers(launch.Grid.Count);
        Declared = launch.Extents is not null;
        var extents = launch.Extents?.Where(static e => e.Bytes > 0).ToArray()
            ?? [.. memory.Allocations.Select(static a => new PointerExtent(a.Address, a.Bytes, Access.ReadWrite, 0, 0))];
        _windows = [.. extents.Select(e => new Window(
            (ulong)e.Address, (ulong)e.Address + (ulong)e.Bytes, e.Access,
            memory.Find(e.Address, e.Bytes) ?? throw new SimulationException(
                $"kernel {launch.Kernel}: its launcher declares {e.Bytes} bytes from {memory.Describe(e.Address)} on, which are not all allocated"),
            IsShared(e, extents)))];
        foreach (var window in _windows)
        {
            if ((window.Access & Access.Write) != 0)
            {
                window.Allocation.Track();
            }
        }
    }

    /// <summary>The number of block 0 in stamps.</summary>
    public ulong FirstBlock { get; }

    /// <summary>Whether the launcher said what may be touched.</summary>
    public bool Declared { get; }

    /// <summary>The window that allows this; null if none does. <paramref name="hint"/> is the one found last time.</summary>
    public Window? Find(ulong address, int bytes, Access access, ref int hint)
    {
        if (hint < _windows.Length && Allows(_windows[hint], address, bytes, access))
        {
            return _windows[hint];
        }
        for (var k = 0; k < _windows.Length; k++)
        {
            if (Allows(_windows[k], address, bytes, access))
            {
                hint = k;
                return _windows[k];
            }
        }
        return null;
    }

    /// <summary>Why an access is not allowed, for messages.</summary>
    public string Refusal(ulong address, Access access, SimulatedMemory memory)
    {
        var place = memory.Describe((nint)address);
        if (!Declared)
        {
            return place;
        }
        if (_windows.Any(w => address >= w.Start && address < w.End && (w.Access & access) != access))
        {
            return $"{place}, which the launcher declares as {(access == Access.Read ? "only written" : access == Access.Write ? "only read" : "not both")}";
        }
        var below = _windows.Where(w => w.Start <= address).MaxBy(static w => w.Start);
        return below is null ? $"{place}, which the launcher does not declare"
            : $"{place}, {address - below.Start} bytes into what the launcher declares as {below.End - below.Start} bytes";
    }

    private static bool Allows(Window window, ulong address, int bytes, Access access) =>
        address >= window.Start && address + (ulong)bytes <= window.End && (window.Access & access) == access;

    // Reads need stamps only where something else of the launch may write.
    private static bool IsShared(PointerExtent extent, PointerExtent[] all)
    {
        var (other, start, end) = ((Access)0, extent.Address, extent.Address + extent.Bytes);
        foreach (var e in all)
        {
            if (e.Address < end && start < e.Address + e.Bytes)
            {
                other |= e.Access;
            }
        }
        return other == Access.ReadWrite;
    }
}
