using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Simulator;

/// <summary>Executes blocks, one after the other, on one thread of the host: its warps take turns from barrier to barrier.</summary>
/// <param name="options">Checks and counters.</param>
/// <param name="memory">The device's memory.</param>
/// <param name="atomicLock">Held while an atomic reads and writes; all runners share it.</param>
internal sealed unsafe partial class BlockRunner(SimulatorOptions options, SimulatedMemory memory, object atomicLock) : IDisposable
{
    private readonly List<Warp> _warps = [];

    private KernelCode _code = null!;
    private LaunchRequest _launch = null!;
    private Dim3 _position;
    private int _warpCount;
    private byte* _registers;
    private nuint _registerBytes;
    private nuint _sharedBytes;

    public object AtomicLock { get; } = atomicLock;

    /// <summary>The block's shared memory.</summary>
    public byte* Shared { get; private set; }

    /// <summary>Where the lanes of the present access go: host addresses of global memory, offsets into shared memory.</summary>
    public ulong* Addresses { get; } = (ulong*)NativeMemory.AlignedAlloc(Lanes.Count * sizeof(ulong), 64);

    /// <summary>Makes ready for blocks of a launch.</summary>
    /// <param name="code">The kernel.</param>
    /// <param name="launch">The launch.</param>
    /// <param name="windows">What it may touch; null without checks.</param>
    public void Begin(KernelCode code, LaunchRequest launch, LaunchWindows? windows)
    {
        (_code, _launch) = (code, launch);
        _warpCount = (int)((launch.Block.Count + Lanes.Count - 1) / Lanes.Count);
        var warpBytes = (nuint)(code.Registers.Bytes + 63) / 64 * 64;
        Grow(ref _registers, ref _registerBytes, warpBytes * (nuint)_warpCount);
        var shared = Shared;
        Grow(ref shared, ref _sharedBytes, (nuint)(code.Shared.DynamicOffset + launch.DynamicSharedBytes));
        Shared = shared;
        while (_warps.Count < _warpCount)
        {
            _warps.Add(new Warp(this, _warps.Count));
        }
        for (var k = 0; k < _warpCount; k++)
        {
            _warps[k].Registers = _registers + (warpBytes * (nuint)k);
            foreach (var constant in code.Registers.Constants)
            {
                Fill(_warps[k], constant);
            }
        }
        BeginChecks(windows);
    }

    /// <summary>Runs one block to its end.</summary>
    /// <exception cref="SimulationException">The kernel did what it may not.</exception>
    public void Run(long block)
    {
        _position = Position(block);
        var threads = _launch.Block.Count;
        foreach (var constant in _code.Registers.Constants)
        {
            if (constant.Kind == ConstantKind.Special && SpecialRegisters.IsOfBlock(constant.Name))
            {
                for (var k = 0; k < _warpCount; k++)
                {
                    Fill(_warps[k], constant);
                }
            }
        }
        for (var k = 0; k < _warpCount; k++)
        {
            var lanes = threads - ((long)k * Lanes.Count);
            _warps[k].Start(lanes >= Lanes.Count ? Lanes.All : (1u << (int)lanes) - 1, _code.Instructions.Length);
        }
        BeginBlock(block);
        do
        {
            for (var k = 0; k < _warpCount; k++)
            {
                if (_warps[k].Live != 0)
                {
                    Execute(_warps[k]);
                }
            }
        }
        while (ReleaseBarrier());
    }

    /// <summary>What a message says about a lane: kernel, block, thread, line.</summary>
    public SimulationException Fault(Warp warp, Instruction* instruction, int lane, string what) =>
        new($"kernel {_code.Name}, block {Text(_position)}, {ThreadName((warp.Index * Lanes.Count) + lane)}, {_code.Places[instruction->Index]}: {what}");

    /// <summary>A thread of the block in words, by its number.</summary>
    public string ThreadName(int thread)
    {
        var (x, y) = (_launch.Block.X, _launch.Block.Y);
        return $"thread {Text(new Dim3(thread % x, thread / x % y, thread / (x * y)))}";
    }

    /// <summary>A block of the launch in words, by its number.</summary>
    public string BlockName(long block) => Text(Position(block));

    public void Dispose()
    {
        NativeMemory.AlignedFree(_registers);
        NativeMemory.AlignedFree(Shared);
        NativeMemory.AlignedFree(Addresses);
        _registers = null;
        Shared = null;
        DisposeChecks();
    }

    /// <summary>The addresses of all lanes, and how they lie to each other; those of lanes that do not execute mean nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public AccessPattern Locate(Warp w, Instruction* i, int width, bool shared)
    {
        var from = w.Registers + i->A;
        var to = Addresses;
        var offset = Vector256.Create((long)i->Offset);
        // A generic address of shared memory is its offset beside the window's bit.
        var kept = Vector256.Create(shared ? unchecked((long)~Decoder.SharedWindow) : -1L);
        var first = i->AddressStride == 8 ? *(long*)from : *(uint*)from;
        var start = (Vector256.Create(first) + offset) & kept;
        var expected = start + Vector256.Create(0L, width, 2L * width, 3L * width);
        Vector256<long> notInRow = default, notEqual = default;
        for (var k = 0; k < Lanes.Count; k += 4)
        {
            Vector256<long> value;
            if (i->AddressStride == 8)
            {
                value = Vector256.Load((long*)from + k);
            }
            else
            {
                value = Vector256.WidenLower(Vector128.Load((uint*)from + k).ToVector256Unsafe()).AsInt64();
            }
            value = (value + offset) & kept;
            value.Store((long*)to + k);
            notInRow |= value ^ expected;
            notEqual |= value ^ start;
            expected += Vector256.Create(4L * width);
        }
        return w.Mask != Lanes.All ? AccessPattern.Scattered
            : notInRow == Vector256<long>.Zero ? AccessPattern.Contiguous
            : notEqual == Vector256<long>.Zero ? AccessPattern.Uniform : AccessPattern.Scattered;
    }

    /// <summary>The lanes whose generic address lies in shared memory.</summary>
    public uint InShared(Warp w, Instruction* i)
    {
        _ = Locate(w, i, 1, shared: false);
        uint lanes = 0;
        for (var mask = w.Mask; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            lanes |= Addresses[lane] >= Decoder.SharedWindow && Addresses[lane] < 2 * Decoder.SharedWindow ? 1u << lane : 0;
        }
        return lanes;
    }

    private static string Text(Dim3 at) => $"({at.X}, {at.Y}, {at.Z})";

    private Dim3 Position(long block)
    {
        var grid = _launch.Grid;
        return new Dim3((int)(block % grid.X), (int)(block / grid.X % grid.Y), (int)(block / ((long)grid.X * grid.Y)));
    }

    // Runs a warp to its end or to the next barrier of the block.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Execute(Warp w)
    {
        fixed (Instruction* code = _code.Instructions)
        {
            var registers = w.Registers;
            long* executed = _executed, lanes = _executedLanes;
            var pc = w.Pc;
            while (true)
            {
                if (pc == w.Reconverge)
                {
                    if (!w.Resume())
                    {
                        w.Live = 0;
                        return;
                    }
                    pc = w.Pc;
                    continue;
                }
                var i = code + pc;
                var mask = w.Active;
                if (i->Guard >= 0)
                {
                    mask &= *(uint*)(registers + i->Guard) ^ i->GuardFlip;
                }
                if (executed != null)
                {
                    executed[pc]++;
                    lanes[pc] += BitOperations.PopCount(mask);
                }
                if (i->Kind == InstructionKind.Data)
                {
                    if (mask != 0)
                    {
                        w.Mask = mask;
                        i->Handler(w, i);
                    }
                    pc++;
                    continue;
                }
                if (i->Kind == InstructionKind.Branch && (mask == w.Active || mask == 0))
                {
                    pc = mask == 0 ? pc + 1 : i->Target;
                    continue;
                }
                w.Pc = pc;
                if (!Steer(w, i, mask))
                {
                    return;
                }
                pc = w.Pc;
            }
        }
    }

    // What is rare: divergence, returns, barriers. False if the warp stops for now.
    private bool Steer(Warp w, Instruction* i, uint mask)
    {
        switch (i->Kind)
        {
            case InstructionKind.Branch:
                _divergentBranches++;
                w.Diverge(mask, i->Target, w.Pc + 1, i->Reconverge);
                return true;
            case InstructionKind.Exit:
                w.Leave(mask);
                w.Pc++;
                return w.Active != 0 || w.Resume();
            case InstructionKind.BlockBarrier:
                if (mask != w.Present)
                {
                    throw MissingAtBarrier(w, i, mask);
                }
                w.AtBarrier = true;
                w.Pc++;
                return false;
            default:
                if (mask == 0)
                {
                    w.Pc++;
                    return true;
                }
                throw Fault(w, i, Warp.First(mask), "trap");
        }
    }

    private SimulationException MissingAtBarrier(Warp w, Instruction* i, uint mask)
    {
        var diverged = w.Live & ~mask;
        var missing = diverged != 0 ? diverged : w.Present & ~mask;
        return Fault(
            w, i, Warp.First(mask), $"barrier under divergence: bar.sync waits for {BitOperations.PopCount(missing)} threads of the warp, the first of them "
                + $"{ThreadName((w.Index * Lanes.Count) + Warp.First(missing))}, {(diverged != 0 ? "that go another way" : "that have returned")}");
    }

    // All warps have stopped: at a barrier, or at the end. True if they go on.
    private bool ReleaseBarrier()
    {
        Warp? waiting = null, gone = null;
        for (var k = 0; k < _warpCount; k++)
        {
            if (_warps[k].AtBarrier)
            {
                waiting ??= _warps[k];
            }
            else
            {
                gone ??= _warps[k];
            }
        }
        if (waiting is null)
        {
            return false;
        }
        fixed (Instruction* code = _code.Instructions)
        {
            if (gone is not null)
            {
                throw Fault(
                    waiting, code + waiting.Pc - 1, 0,
                    $"barrier that not all reach: bar.sync waits for {ThreadName(gone.Index * Lanes.Count)} and others, that have returned");
            }
        }
        var now = Tick();
        for (var k = 0; k < _warpCount; k++)
        {
            (_warps[k].BlockOrder, _warps[k].WarpOrder, _warps[k].AtBarrier) = (now, now, false);
        }
        return true;
    }

    private void Fill(Warp w, Constant constant)
    {
        var place = w.Registers + constant.Offset;
        if (constant.Bytes == 0)
        {
            *(uint*)place = (uint)constant.Value;
            return;
        }
        var parameter = constant.Kind == ConstantKind.Parameter ? ReadParameter(constant) : constant.Value;
        for (var lane = 0; lane < Lanes.Count; lane++)
        {
            var value = constant.Kind == ConstantKind.Special
                ? SpecialRegisters.Value(constant.Name, _launch, _position, w.Index, lane)
                : parameter;
            if (constant.Bytes == 4)
            {
                ((uint*)place)[lane] = (uint)value;
            }
            else
            {
                ((long*)place)[lane] = value;
            }
        }
    }

    private long ReadParameter(Constant constant)
    {
        long value = 0;
        for (var k = 0; k < constant.Width; k++)
        {
            value |= (long)_launch.Parameters[(int)constant.Value + k] << (8 * k);
        }
        return value;
    }

    private static void Grow(ref byte* block, ref nuint bytes, nuint needed)
    {
        if (bytes < needed)
        {
            NativeMemory.AlignedFree(block);
            block = (byte*)NativeMemory.AlignedAlloc(needed, 64);
            bytes = needed;
        }
    }
}
