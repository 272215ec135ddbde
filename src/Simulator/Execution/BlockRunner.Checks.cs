using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace TinyDpo.Simulator;

// What is looked at while a block runs: its accesses, their order, their cost.
internal sealed unsafe partial class BlockRunner
{
    private GlobalChecks? _global;
    private SharedChecks? _shared;
    private AccessCounter? _counter;
    private long* _executed;
    private long* _executedLanes;
    private long _divergentBranches;

    /// <summary>The time in the block, see <see cref="Order"/>.</summary>
    public uint Clock { get; private set; }

    /// <summary>A new time: what happened until now is before it.</summary>
    /// <exception cref="SimulationException">A block has more barriers than stamps can tell apart.</exception>
    public uint Tick() => ++Clock <= Order.MaxClock
        ? Clock
        : throw new SimulationException($"kernel {_code.Name}: a block has more than {Order.MaxClock / 2} barriers, more than the checks can count");

    /// <summary>Checks and counts a load or store of <paramref name="width"/> bytes a lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Observe(Warp w, Instruction* i, AccessPattern pattern, int width, bool shared, bool store)
    {
        if (shared)
        {
            _shared?.Check(w, i, pattern, width, store);
            _counter?.Shared(w.Mask, pattern, width);
        }
        else
        {
            _global?.Check(w, i, pattern, width, store);
            _counter?.Global(w.Mask, pattern, width, store);
        }
    }

    public void ObserveAtomic(Warp w, Instruction* i, int width, bool shared)
    {
        if (shared)
        {
            _shared?.CheckAtomic(w, i, width);
        }
        else
        {
            _global?.CheckAtomic(w, i, width);
        }
        _counter?.Atomic(w.Mask);
    }

    /// <summary>Whether a lane before this one writes the same bytes with the same store and the same value: no race.</summary>
    /// <param name="w">The warp.</param>
    /// <param name="i">The store.</param>
    /// <param name="lane">The lane.</param>
    /// <param name="at">The first byte of the word, from the start of the allocation or of shared memory.</param>
    /// <param name="width">Bytes that each lane stores.</param>
    /// <param name="allocation">Where the word lies; null for shared memory.</param>
    public bool SameStore(Warp w, Instruction* i, int lane, long at, int width, Allocation? allocation)
    {
        var place = (ulong)at + (ulong)(allocation?.Address ?? 0);
        var found = false;
        for (var mask = w.Mask & ((1u << lane) - 1); mask != 0; mask &= mask - 1)
        {
            var other = BitOperations.TrailingZeroCount(mask);
            if (place >= Addresses[other] && place < Addresses[other] + (ulong)width)
            {
                if (StoredWord(w, i, other, place) != StoredWord(w, i, lane, place))
                {
                    return false;
                }
                found = true;
            }
        }
        return found;
    }

    /// <summary>Adds what the blocks since <see cref="Begin"/> cost.</summary>
    public void Collect(LaunchCounters counters)
    {
        if (_executed == null)
        {
            return;
        }
        for (var k = 0; k < _code.Instructions.Length; k++)
        {
            counters.Instructions[(int)_code.Instructions[k].Class] += _executed[k];
            counters.ThreadInstructions += _executedLanes[k];
        }
        counters.DivergentBranches += _divergentBranches;
        _counter?.Collect(counters);
    }

    // The 32 bits that a lane stores at a place.
    private uint StoredWord(Warp w, Instruction* i, int lane, ulong place)
    {
        var skipped = (int)(place - Addresses[lane]);
        var element = skipped / i->Stride;
        var register = element switch { 0 => i->D, 1 => i->B, 2 => i->C, _ => i->E };
        return *(uint*)(w.Registers + register + (lane * i->Stride) + (skipped % i->Stride));
    }

    private void BeginChecks(LaunchWindows? windows)
    {
        NativeMemory.Free(_executed);
        _executed = null;
        _divergentBranches = 0;
        if (options.Checks)
        {
            _global ??= new GlobalChecks(this, memory);
            _shared ??= new SharedChecks(this);
            _global.Begin(windows!, _code.Instructions.Length);
            _shared.Begin(_code, _code.Shared.DynamicOffset + _launch.DynamicSharedBytes);
        }
        if (options.Counters)
        {
            var count = (nuint)_code.Instructions.Length;
            _executed = (long*)NativeMemory.AllocZeroed(2 * count, sizeof(long));
            _executedLanes = _executed + count;
            _counter = new AccessCounter(Addresses);
        }
    }

    // What earlier blocks left in the stamps of shared memory is before this block.
    private void BeginBlock(long block)
    {
        if (Clock > Order.MaxClock / 2)
        {
            Clock = 0;
            _shared?.Forget();
        }
        var now = Tick();
        for (var k = 0; k < _warpCount; k++)
        {
            (_warps[k].BlockOrder, _warps[k].WarpOrder) = (now, now);
        }
        _shared?.BeginBlock();
        _global?.BeginBlock(block);
    }

    private void DisposeChecks()
    {
        NativeMemory.Free(_executed);
        _executed = null;
        _shared?.Dispose();
    }
}
