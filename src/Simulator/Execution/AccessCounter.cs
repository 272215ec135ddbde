using System.Numerics;
using System.Runtime.CompilerServices;

namespace TinyDpo.Simulator;

/// <summary>Counts what memory accesses cost: sectors of 32 bytes, bytes, passes of shared memory.</summary>
/// <param name="addresses">Where the lanes of the present access go.</param>
internal sealed unsafe class AccessCounter(ulong* addresses)
{
    private const int SectorBytes = 32;
    private const int Banks = 32;
    private const int TableSize = 64;

    private readonly ulong[] _sectors = new ulong[TableSize];
    private readonly ulong[] _places = new ulong[TableSize];
    private readonly int[] _words = new int[Banks];
    private readonly LaunchCounters _counted = new() { Kernel = "" };

    /// <summary>Adds all that was counted.</summary>
    public void Collect(LaunchCounters counters) => counters.Add(_counted);

    public void Atomic(uint mask) => _counted.Atomics += BitOperations.PopCount(mask);

    /// <summary>A load or store of <paramref name="width"/> bytes a lane in global memory.</summary>
    public void Global(uint mask, AccessPattern pattern, int width, bool store)
    {
        long bytes, sectors;
        if (pattern == AccessPattern.Scattered)
        {
            (bytes, sectors) = Scattered(mask, width);
        }
        else
        {
            bytes = pattern == AccessPattern.Contiguous ? Lanes.Count * width : width;
            sectors = (long)(((addresses[0] + (ulong)bytes - 1) / SectorBytes) - (addresses[0] / SectorBytes) + 1);
        }
        var ideal = (bytes + SectorBytes - 1) / SectorBytes;
        if (store)
        {
            _counted.WriteRequests++;
            _counted.WriteSectors += sectors;
            _counted.IdealWriteSectors += ideal;
            _counted.WrittenBytes += bytes;
        }
        else
        {
            _counted.ReadRequests++;
            _counted.ReadSectors += sectors;
            _counted.IdealReadSectors += ideal;
            _counted.ReadBytes += bytes;
        }
    }

    /// <summary>
    /// A load or store in shared memory. Lanes go 128 bytes at a time: all 32 with 4 bytes each, 16 with 8, 8 with 16; within such a part,
    /// every further word of a bank is a pass of its own.
    /// </summary>
    public void Shared(uint mask, AccessPattern pattern, int width)
    {
        _counted.SharedRequests++;
        if (pattern != AccessPattern.Scattered)
        {
            return;
        }
        var lanes = Math.Min(Lanes.Count, 128 / width);
        for (var first = 0; first < Lanes.Count; first += lanes)
        {
            var part = lanes == Lanes.Count ? mask : (mask >> first) & ((1u << lanes) - 1);
            if (part != 0)
            {
                _counted.BankConflicts += Passes(part, first, Math.Max(1, width / 4)) - 1;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private (long Bytes, long Sectors) Scattered(uint mask, int width)
    {
        Array.Clear(_sectors);
        Array.Clear(_places);
        var (sectors, places) = (0, 0);
        for (; mask != 0; mask &= mask - 1)
        {
            var address = addresses[BitOperations.TrailingZeroCount(mask)];
            if (Enter(_places, address / (ulong)width))
            {
                places++;
                sectors += Enter(_sectors, address / SectorBytes) ? 1 : 0;
            }
        }
        return ((long)places * width, sectors);
    }

    // Whether a number is new in a table that has room for twice as many as come.
    private static bool Enter(ulong[] table, ulong number)
    {
        for (var slot = (int)(number % TableSize); ; slot = (slot + 1) % TableSize)
        {
            if (table[slot] == 0)
            {
                table[slot] = number + 1;
                return true;
            }
            if (table[slot] == number + 1)
            {
                return false;
            }
        }
    }

    // The most different words that one bank must give.
    private int Passes(uint part, int first, int words)
    {
        Array.Clear(_words);
        for (var mask = part; mask != 0; mask &= mask - 1)
        {
            var word = (int)(addresses[first + BitOperations.TrailingZeroCount(mask)] / 4);
            for (var k = 0; k < words; k++, word++)
            {
                ref var other = ref _words[word % Banks];
                if (other == 0)
                {
                    other = word + 1;
                }
                else if (other != word + 1)
                {
                    return CountPasses(part, first, words);
                }
            }
        }
        return 1;
    }

    private int CountPasses(uint part, int first, int words)
    {
        var seen = new HashSet<int>();
        var passes = new int[Banks];
        for (var mask = part; mask != 0; mask &= mask - 1)
        {
            var word = (int)(addresses[first + BitOperations.TrailingZeroCount(mask)] / 4);
            for (var k = 0; k < words; k++, word++)
            {
                if (seen.Add(word))
                {
                    passes[word % Banks]++;
                }
            }
        }
        return passes.Max();
    }
}
