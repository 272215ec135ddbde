using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Simulator;

/// <summary>
/// Looks at every access of a block to shared memory, as <see cref="GlobalChecks"/> does for global memory. Here kernels spend their time,
/// so a lane's words are looked at together.
/// </summary>
internal sealed unsafe class SharedChecks(BlockRunner block) : IDisposable
{
    private const byte Written = Allocation.Written;

    private byte* _state;
    private uint* _writers;
    private uint* _readers;
    private int _capacity;
    private int _bytes;
    private KernelCode _code = null!;

    /// <summary>Makes ready for a launch.</summary>
    /// <param name="code">The kernel.</param>
    /// <param name="bytes">All shared memory of a block, the gaps between variables included.</param>
    public void Begin(KernelCode code, int bytes)
    {
        (_code, _bytes) = (code, bytes);
        var words = (bytes + 3) / 4;
        if (_capacity < words)
        {
            Dispose();
            _capacity = words;
            _state = (byte*)NativeMemory.AllocZeroed((nuint)words);
            _writers = (uint*)NativeMemory.AllocZeroed((nuint)words, sizeof(uint));
            _readers = (uint*)NativeMemory.AllocZeroed((nuint)words, sizeof(uint));
        }
    }

    /// <summary>A block begins: nothing is written yet, and what lies between the variables is nobody's.</summary>
    public void BeginBlock()
    {
        var states = new Span<byte>(_state, (_bytes + 3) / 4);
        states.Clear();
        var end = 0;
        foreach (var (start, next) in _code.Shared.Static)
        {
            states[((end + 3) / 4)..(start / 4)].Fill(Allocation.Returned);
            end = next;
        }
        states[Math.Min((end + 3) / 4, states.Length)..(_code.Shared.DynamicOffset / 4)].Fill(Allocation.Returned);
    }

    /// <summary>Time begins anew: no stamp may seem to be of the future.</summary>
    public void Forget()
    {
        new Span<uint>(_writers, _capacity).Clear();
        new Span<uint>(_readers, _capacity).Clear();
    }

    public void Dispose()
    {
        NativeMemory.Free(_state);
        NativeMemory.Free(_writers);
        NativeMemory.Free(_readers);
        _state = null;
        _writers = _readers = null;
        _capacity = 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Check(Warp w, Instruction* i, AccessPattern pattern, int width, bool store)
    {
        if (width < 4)
        {
            CheckNarrow(w, i, width, store);
            return;
        }
        var addresses = block.Addresses;
        var mask = w.Mask;
        if (pattern == AccessPattern.Contiguous && width == 4 && TryRow(w, store))
        {
            return;
        }
        if (pattern == AccessPattern.Uniform && !store)
        {
            // The first lane for itself, the second to say that there are several.
            mask = 3;
        }
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var address = addresses[lane];
            if ((address & (ulong)(width - 1)) != 0 || address + (ulong)width > (ulong)_bytes)
            {
                throw Misplaced(w, i, lane, width, store);
            }
            var word = (int)address / 4;
            if (store)
            {
                Store(w, i, lane, word, width / 4);
            }
            else
            {
                Load(w, i, lane, word, width / 4);
            }
        }
    }

    public void CheckAtomic(Warp w, Instruction* i, int width)
    {
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var address = block.Addresses[lane];
            if ((address & (ulong)(width - 1)) != 0 || address + (ulong)width > (ulong)_bytes)
            {
                throw Misplaced(w, i, lane, width, store: true);
            }
            for (var word = (int)address / 4; word < ((int)address + width) / 4; word++)
            {
                RequireState(w, i, lane, word, store: false);
                Write(w, i, lane, word, width, atomic: true);
            }
        }
    }

    // 32 words in a row: whether all are written, and touched last before a barrier or by the lane that comes now.
    private bool TryRow(Warp w, bool store)
    {
        var start = block.Addresses[0];
        if ((start & 3) != 0 || start + 128 > (ulong)_bytes)
        {
            return false;
        }
        var word = (int)start / 4;
        var state = Vector256.Load(_state + word);
        if (store ? (state & Vector256.Create(Allocation.Returned)) != Vector256<byte>.Zero : state != Vector256.Create(Written))
        {
            return false;
        }
        var limit = Vector256.Create(w.BlockOrder << SharedStamp.ClockShift);
        var compared = Vector256.Create(~SharedStamp.ClockMask);
        var thread = Vector256<uint>.Indices + Vector256.Create((uint)(w.Index * Lanes.Count));
        var bad = Vector256<uint>.Zero;
        for (var k = 0; k < Lanes.Count; k += 8)
        {
            var mine = (thread + Vector256.Create((uint)k)) << SharedStamp.ThreadShift;
            Vector256<uint> writer = Vector256.Load(_writers + word + k), reader = Vector256.Load(_readers + word + k);
            bad |= Vector256.GreaterThanOrEqual(writer, limit) & ~Vector256.Equals(writer & compared, mine);
            bad |= Vector256.GreaterThanOrEqual(reader, limit) & ~Vector256.Equals(reader & compared, mine);
        }
        if (bad != Vector256<uint>.Zero)
        {
            return false;
        }
        var stamps = store ? _writers : _readers;
        var now = Vector256.Create(block.Clock << SharedStamp.ClockShift);
        for (var k = 0; k < Lanes.Count; k += 8)
        {
            (now | ((thread + Vector256.Create((uint)k)) << SharedStamp.ThreadShift)).Store(stamps + word + k);
        }
        if (store)
        {
            Vector256.Create(Written).Store(_state + word);
        }
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Load(Warp w, Instruction* i, int lane, int word, int words)
    {
        var limit = w.BlockOrder << SharedStamp.ClockShift;
        var thread = (uint)((w.Index * Lanes.Count) + lane) << SharedStamp.ThreadShift;
        var mine = (block.Clock << SharedStamp.ClockShift) | thread;
        if (words == 4 && *(uint*)(_state + word) == 0x0f0f0f0f)
        {
            Vector128<uint> writer = Vector128.Load(_writers + word), reader = Vector128.Load(_readers + word);
            if (Vector128.LessThanAll(writer, Vector128.Create(limit)))
            {
                if (Vector128.LessThanAll(reader, Vector128.Create(limit)))
                {
                    Vector128.Create(mine).Store(_readers + word);
                    return;
                }
                if (Vector128.EqualsAll(reader & Vector128.Create(~SharedStamp.ClockMask), Vector128.Create(Group(w, 1)))
                    && Vector128.GreaterThanOrEqualAll(reader, Vector128.Create(w.WarpOrder << SharedStamp.ClockShift)))
                {
                    return;
                }
                if (Vector128.EqualsAll(reader & Vector128.Create(3u << SharedStamp.LevelShift), Vector128.Create(2u << SharedStamp.LevelShift))
                    && Vector128.GreaterThanOrEqualAll(reader, Vector128.Create(limit)))
                {
                    return;
                }
            }
        }
        for (var end = word + words; word < end; word++)
        {
            if (_state[word] != Written)
            {
                RequireState(w, i, lane, word, store: false);
            }
            var writer = _writers[word];
            if (writer >= limit && (writer & ~SharedStamp.ClockMask) != thread && !IsOrdered(w, lane, writer))
            {
                throw Race(w, i, lane, word, "reads", "writes", writer);
            }
            var reader = _readers[word];
            _readers[word] = reader < limit ? mine : Merged(w, lane, reader);
        }
    }

    // The stamp that several lanes of a warp share, without its time.
    private static uint Group(Warp w, int level) =>
        ((uint)(w.Index * Lanes.Count) << SharedStamp.ThreadShift) | ((uint)level << SharedStamp.LevelShift);

    private void Store(Warp w, Instruction* i, int lane, int word, int words)
    {
        for (var end = word + words; word < end; word++)
        {
            if ((_state[word] & Allocation.Returned) != 0)
            {
                RequireState(w, i, lane, word, store: true);
            }
            Write(w, i, lane, word, words * 4, atomic: false);
            _state[word] = Written;
        }
    }

    private void Write(Warp w, Instruction* i, int lane, int word, int width, bool atomic)
    {
        var limit = w.BlockOrder << SharedStamp.ClockShift;
        var writer = _writers[word];
        var exempt = atomic && (writer & SharedStamp.Atomic) != 0;
        if (writer >= limit && !exempt && !IsOrdered(w, lane, writer) && (atomic || !block.SameStore(w, i, lane, word * 4L, width, null)))
        {
            throw Race(w, i, lane, word, atomic ? "changes by an atomic" : "writes", "writes", writer);
        }
        var reader = _readers[word];
        if (reader >= limit && !IsOrdered(w, lane, reader))
        {
            throw Race(w, i, lane, word, atomic ? "changes by an atomic" : "writes", "reads", reader);
        }
        _writers[word] = exempt && writer >= limit
            ? Merged(w, lane, writer) | SharedStamp.Atomic
            : SharedStamp.Of(block.Clock, (w.Index * Lanes.Count) + lane) | (atomic ? SharedStamp.Atomic : 0);
    }

    private static bool IsOrdered(Warp w, int lane, uint stamp)
    {
        var (clock, thread, level) = (SharedStamp.Clock(stamp), SharedStamp.Thread(stamp), SharedStamp.Level(stamp));
        return clock < w.BlockOrder
            || (level == 0 && thread == (w.Index * Lanes.Count) + lane)
            || (level < 2 && thread / Lanes.Count == w.Index && clock < w.WarpOrder);
    }

    // A stamp for this lane besides those since the barrier, which still count.
    private uint Merged(Warp w, int lane, uint stamp)
    {
        if (IsOrdered(w, lane, stamp))
        {
            return SharedStamp.Of(block.Clock, (w.Index * Lanes.Count) + lane);
        }
        var sameWarp = SharedStamp.Thread(stamp) / Lanes.Count == w.Index && SharedStamp.Level(stamp) < 2;
        return (block.Clock << SharedStamp.ClockShift) | Group(w, sameWarp ? 1 : 2);
    }

    // Numbers below a word have no stamps, only the state of their bytes.
    private void CheckNarrow(Warp w, Instruction* i, int width, bool store)
    {
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            var address = block.Addresses[lane];
            if ((address & (ulong)(width - 1)) != 0 || address + (ulong)width > (ulong)_bytes)
            {
                throw Misplaced(w, i, lane, width, store);
            }
            var bits = (byte)(((1 << width) - 1) << (int)(address & 3));
            var word = (int)address / 4;
            if ((_state[word] & Allocation.Returned) != 0 || (!store && (_state[word] & bits) != bits))
            {
                RequireState(w, i, lane, word, store);
            }
            if (store)
            {
                _state[word] |= bits;
            }
        }
    }

    private void RequireState(Warp w, Instruction* i, int lane, int word, bool store)
    {
        if ((_state[word] & Allocation.Returned) != 0)
        {
            throw block.Fault(
                w, i, lane, $"out of bounds: {(store ? "writes" : "reads")} shared memory at {Describe(4 * word)}, beyond the end of a variable");
        }
        if (!store && _state[word] != Written)
        {
            throw block.Fault(w, i, lane, $"reads shared memory at {Describe(4 * word)}, which was never written in this block");
        }
    }

    private SimulationException Misplaced(Warp w, Instruction* i, int lane, int width, bool store)
    {
        var address = block.Addresses[lane];
        var verb = store ? "writes" : "reads";
        return address + (ulong)width > (ulong)_bytes
            ? block.Fault(
                w, i, lane, $"out of bounds: {verb} {width} bytes of shared memory at {(long)address - _code.Shared.DynamicOffset} of its dynamic "
                    + $"{_bytes - _code.Shared.DynamicOffset} bytes")
            : block.Fault(w, i, lane, $"misaligned: {verb} {width} bytes of shared memory at {Describe((int)address)}, which is not aligned to {width}");
    }

    private SimulationException Race(Warp w, Instruction* i, int lane, int word, string does, string did, uint stamp) =>
        block.Fault(
            w, i, lane, $"race: {does} shared memory at {Describe(4 * word)}, which {block.ThreadName(SharedStamp.Thread(stamp))}"
                + $"{(SharedStamp.Level(stamp) == 0 ? "" : " or a neighbour")} {did} with no bar.sync between");

    private string Describe(int address)
    {
        foreach (var (name, offset) in _code.Shared.Offsets.OrderByDescending(static v => v.Value))
        {
            if (address >= offset)
            {
                return $"byte {address - offset} of {name}";
            }
        }
        return $"byte {address}";
    }
}
