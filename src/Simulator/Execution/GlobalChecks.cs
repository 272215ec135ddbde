using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

/// <summary>
/// Looks at every access of a block to global memory: whether the launch may touch it, whether it is aligned, whether what it reads was
/// written, and whether another thread touches the same word with nothing that orders the two.
/// </summary>
/// <remarks>
/// Two host threads may run two blocks at the very same time; then a race between these two can slip through. With one thread none does.
/// </remarks>
internal sealed unsafe class GlobalChecks(BlockRunner block, SimulatedMemory memory)
{
    private LaunchWindows _windows = null!;
    private int[] _hints = [];
    private ulong _block;

    /// <summary>Makes ready for a launch.</summary>
    public void Begin(LaunchWindows windows, int instructions)
    {
        _windows = windows;
        _hints = new int[instructions];
    }

    public void BeginBlock(long number) => _block = _windows.FirstBlock + (ulong)number;

    /// <summary>Checks a load or store of <paramref name="width"/> bytes a lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Check(Warp w, Instruction* i, AccessPattern pattern, int width, bool store)
    {
        if (pattern != AccessPattern.Scattered && width >= 4)
        {
            var start = block.Addresses[0];
            var bytes = pattern == AccessPattern.Contiguous ? Lanes.Count * width : width;
            if ((start & (ulong)(width - 1)) == 0
                && _windows.Find(start, bytes, store ? Access.Write : Access.Read, ref _hints[i->Index]) is { } window
                && (store ? TryStoreRow(w, window, start, bytes, width) : TryLoadRow(w, i, window, start, bytes, width, pattern)))
            {
                return;
            }
        }
        // A lane at a time: slower, and it knows what to say.
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var (window, word, words) = Place(w, i, lane, width, store ? Access.Write : Access.Read);
            var allocation = window.Allocation;
            RequireState(w, i, lane, allocation, width, store);
            // Numbers below a word leave no stamps: lanes share its word without touching the same bytes.
            if (width < 4 || (!window.Shared && !store))
            {
                continue;
            }
            for (var k = 0; k < words; k++)
            {
                if (store)
                {
                    Write(w, i, lane, allocation, word + k, width, atomic: false);
                }
                else
                {
                    Read(w, i, lane, allocation, word + k);
                }
            }
        }
    }

    /// <summary>Checks an atomic: in order with other atomics, but not with loads and stores.</summary>
    public void CheckAtomic(Warp w, Instruction* i, int width)
    {
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var (window, word, words) = Place(w, i, lane, width, Access.ReadWrite);
            RequireState(w, i, lane, window.Allocation, width, store: false);
            for (var k = 0; k < words; k++)
            {
                Write(w, i, lane, window.Allocation, word + k, width, atomic: true);
            }
        }
    }

    // All lanes in a row or at one place: whether nothing speaks against it. Nothing is changed where something does.
    private bool TryLoadRow(Warp w, Instruction* i, Window window, ulong start, int bytes, int width, AccessPattern pattern)
    {
        var allocation = window.Allocation;
        var word = (long)(start - (ulong)allocation.Address) / 4;
        if (new ReadOnlySpan<byte>(allocation.State + word, bytes / 4).ContainsAnyExcept(Allocation.Written))
        {
            return false;
        }
        if (!window.Shared)
        {
            return true;
        }
        if (pattern == AccessPattern.Uniform || i->NonCoherent
            || !AreFree(w, allocation.Writers + word, bytes / 4, width) || !AreFree(w, allocation.Readers + word, bytes / 4, width))
        {
            return false;
        }
        Stamp(w, allocation.Readers + word, bytes / 4, width);
        return true;
    }

    private bool TryStoreRow(Warp w, Window window, ulong start, int bytes, int width)
    {
        var allocation = window.Allocation;
        var word = (long)(start - (ulong)allocation.Address) / 4;
        var states = new Span<byte>(allocation.State + word, bytes / 4);
        if (bytes == width || states.ContainsAnyExceptInRange((byte)0, Allocation.Written) || !AreFree(w, allocation.Writers + word, bytes / 4, width)
            || (window.Shared && !AreFree(w, allocation.Readers + word, bytes / 4, width)))
        {
            return false;
        }
        states.Fill(Allocation.Written);
        Stamp(w, allocation.Writers + word, bytes / 4, width);
        return true;
    }

    // Whether the stamps are of earlier launches, or of the very lanes that come now.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool AreFree(Warp w, ulong* stamps, int words, int width)
    {
        var first = Vector256.Create(_windows.FirstBlock << GlobalStamp.BlockShift);
        var (mine, step) = Mine(w, 0, width);
        var compared = Vector256.Create(~GlobalStamp.ClockMask);
        var bad = Vector256<ulong>.Zero;
        for (var k = 0; k < words; k += 4)
        {
            var stamp = Vector256.Load(stamps + k);
            bad |= Vector256.GreaterThanOrEqual(stamp, first) & ~Vector256.Equals((stamp ^ mine) & compared, Vector256<ulong>.Zero);
            mine += step;
        }
        return bad == Vector256<ulong>.Zero;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Stamp(Warp w, ulong* stamps, int words, int width)
    {
        var (mine, step) = Mine(w, block.Clock, width);
        for (var k = 0; k < words; k += 4)
        {
            mine.Store(stamps + k);
            mine += step;
        }
    }

    // The stamps of four words in a row, and what leads to the next four.
    private (Vector256<ulong> Stamps, Vector256<ulong> Step) Mine(Warp w, uint clock, int width)
    {
        var first = Vector256.Create(GlobalStamp.Of(_block, clock, w.Index * Lanes.Count));
        const ulong lane = 1UL << GlobalStamp.ThreadShift;
        return width switch
        {
            4 => (first + Vector256.Create(0, lane, 2 * lane, 3 * lane), Vector256.Create(4 * lane)),
            8 => (first + Vector256.Create(0, 0, lane, lane), Vector256.Create(2 * lane)),
            _ => (first, Vector256.Create(lane)),
        };
    }

    private (Window Window, long Word, int Words) Place(Warp w, Instruction* i, int lane, int width, Access access)
    {
        var address = block.Addresses[lane];
        if ((address & (ulong)(width - 1)) != 0)
        {
            throw block.Fault(w, i, lane, $"misaligned: {Verb(access)} {width} bytes at {memory.Describe((nint)address)}, which is not aligned to {width}");
        }
        if (_windows.Find(address, width, access, ref _hints[i->Index]) is not { } window)
        {
            throw block.Fault(w, i, lane, $"out of bounds: {Verb(access)} {width} bytes at {_windows.Refusal(address, access, memory)}");
        }
        return (window, ((nint)address - window.Allocation.Address) / 4, (width + 3) / 4);
    }

    private static string Verb(Access access) => access == Access.Read ? "reads" : access == Access.Write ? "writes" : "reads and writes";

    private void RequireState(Warp w, Instruction* i, int lane, Allocation allocation, int width, bool store)
    {
        var address = (nint)block.Addresses[lane];
        var at = allocation.FirstUnusable(address, width, written: !store);
        if (at < address + width)
        {
            var returned = (allocation.State[(at - allocation.Address) / 4] & Allocation.Returned) != 0;
            throw block.Fault(
                w, i, lane, $"{(store ? "writes" : "reads")} {memory.Describe(at)}, {(returned ? "which has been given back (use after free)" : "which was never written")}");
        }
        if (store)
        {
            allocation.MarkWritten(address, width);
        }
    }

    private void Read(Warp w, Instruction* i, int lane, Allocation allocation, long word)
    {
        var writer = allocation.Writers[word];
        if (IsOfLaunch(writer))
        {
            if (i->NonCoherent)
            {
                throw Race(w, i, lane, allocation, word, "reads through the read-only cache (ld.global.nc)", "has stored in this launch", writer);
            }
            if (!IsOrdered(w, lane, writer))
            {
                throw Race(w, i, lane, allocation, word, "reads", "writes", writer);
            }
        }
        allocation.Readers[word] = Merged(w, lane, allocation.Readers[word]);
    }

    private void Write(Warp w, Instruction* i, int lane, Allocation allocation, long word, int width, bool atomic)
    {
        var writer = allocation.Writers[word];
        var exempt = atomic && (writer & GlobalStamp.Atomic) != 0;
        if (IsOfLaunch(writer) && !exempt && !IsOrdered(w, lane, writer) && (atomic || !block.SameStore(w, i, lane, word * 4, width, allocation)))
        {
            throw Race(w, i, lane, allocation, word, atomic ? "changes by an atomic" : "writes", "writes", writer);
        }
        var reader = allocation.Readers[word];
        if (IsOfLaunch(reader) && !IsOrdered(w, lane, reader))
        {
            throw Race(w, i, lane, allocation, word, atomic ? "changes by an atomic" : "writes", "reads", reader);
        }
        allocation.Writers[word] = exempt
            ? Merged(w, lane, writer) | GlobalStamp.Atomic
            : GlobalStamp.Of(_block, block.Clock, (w.Index * Lanes.Count) + lane) | (atomic ? GlobalStamp.Atomic : 0);
    }

    private bool IsOfLaunch(ulong stamp) => GlobalStamp.Block(stamp) >= _windows.FirstBlock;

    private bool IsOrdered(Warp w, int lane, ulong stamp)
    {
        var (clock, thread, level) = (GlobalStamp.Clock(stamp), GlobalStamp.Thread(stamp), GlobalStamp.Level(stamp));
        return GlobalStamp.Block(stamp) == _block && level < 3
            && (clock < w.BlockOrder
                || (level == 0 && thread == (w.Index * Lanes.Count) + lane)
                || (level < 2 && thread / Lanes.Count == w.Index && clock < w.WarpOrder));
    }

    // A stamp for this lane besides those before, which still count.
    private ulong Merged(Warp w, int lane, ulong stamp)
    {
        var mine = GlobalStamp.Of(_block, block.Clock, (w.Index * Lanes.Count) + lane);
        if (!IsOfLaunch(stamp))
        {
            return mine;
        }
        if (GlobalStamp.Block(stamp) != _block || GlobalStamp.Level(stamp) == 3)
        {
            return GlobalStamp.WithLevel(mine, 3);
        }
        if (IsOrdered(w, lane, stamp))
        {
            return mine;
        }
        var sameWarp = GlobalStamp.Thread(stamp) / Lanes.Count == w.Index && GlobalStamp.Level(stamp) < 2;
        return GlobalStamp.WithLevel(mine, sameWarp ? 1 : 2);
    }

    private SimulationException Race(
        Warp w, Instruction* i, int lane, Allocation allocation, long word, string does, string did, ulong stamp)
    {
        var who = GlobalStamp.Block(stamp) == _block
            ? $"{block.ThreadName(GlobalStamp.Thread(stamp))} of the same block {did} with no bar.sync between"
            : $"{block.ThreadName(GlobalStamp.Thread(stamp))} of block {block.BlockName((long)(GlobalStamp.Block(stamp) - _windows.FirstBlock))} {did} in the same launch";
        return block.Fault(w, i, lane, $"race: {does} {memory.Describe(allocation.Address + (nint)(word * 4))}, which {who}");
    }
}
