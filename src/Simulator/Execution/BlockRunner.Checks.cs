using System.Runtime.InteropServices;

namespace TinyDpo.Simulator;

// What is looked at while a block runs: its accesses, their order, their cost.
internal sealed unsafe partial class BlockRunner
{
    private long* _executed;
    private long* _executedLanes;
    private long _divergentBranches;
    private uint _clock;

    /// <summary>A new time: what happened until now is before it.</summary>
    public uint Tick() => ++_clock;

    public void Observe(Warp w, Instruction* i, AccessPattern pattern, int width, bool shared, bool store)
    {
    }

    public void ObserveAtomic(Warp w, Instruction* i, int width, bool shared)
    {
    }

    private void BeginChecks()
    {
        NativeMemory.Free(_executed);
        _executed = null;
        if (options.Counters)
        {
            var count = (nuint)_code.Instructions.Length;
            _executed = (long*)NativeMemory.AllocZeroed(2 * count, sizeof(long));
            _executedLanes = _executed + count;
        }
    }

    private void BeginBlock(long block)
    {
    }

    private void DisposeChecks()
    {
        NativeMemory.Free(_executed);
        _executed = null;
    }
}
