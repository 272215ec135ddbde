using System.Runtime.InteropServices;

namespace TinyDpo.Simulator;

/// <summary>A piece of device memory with its shadow: a byte for every word of 4 bytes says what may be done with it.</summary>
internal sealed unsafe class Allocation : IDisposable
{
    /// <summary>Bits of a state: which of the word's bytes have been written.</summary>
    public const byte Written = 0x0f;

    /// <summary>The word is not in use: its pool has it back.</summary>
    public const byte Returned = 0x10;

    public Allocation(long bytes)
    {
        Bytes = bytes;
        Words = (bytes + 3) / 4;
        Address = (nint)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), 256);
        State = (byte*)NativeMemory.AllocZeroed((nuint)Math.Max(Words, 1));
    }

    public nint Address { get; }

    public long Bytes { get; }

    public long Words { get; }

    /// <summary>Of each word: which bytes are written, whether it is returned.</summary>
    public byte* State { get; private set; }

    /// <summary>Of each word: who wrote it last, as <see cref="GlobalStamp"/>. Null until a launch may write here.</summary>
    public ulong* Writers { get; private set; }

    /// <summary>Of each word: who read it last.</summary>
    public ulong* Readers { get; private set; }

    /// <summary>From now on reads and writes leave stamps. Fresh pages cost nothing until they are touched.</summary>
    public void Track()
    {
        if (Writers == null)
        {
            Writers = (ulong*)NativeMemory.AllocZeroed((nuint)Words, sizeof(ulong));
            Readers = (ulong*)NativeMemory.AllocZeroed((nuint)Words, sizeof(ulong));
        }
    }

    /// <summary>Forgets all stamps.</summary>
    public void Forget()
    {
        NativeMemory.Free(Writers);
        NativeMemory.Free(Readers);
        Writers = Readers = null;
    }

    public bool Contains(nint address, long bytes) => address >= Address && address - Address <= Bytes - bytes;

    /// <summary>Sets the state of all words of a range, which begins and ends at words.</summary>
    public void Mark(nint address, long bytes, byte state)
    {
        var (first, end) = ((address - Address) / 4, (address - Address + bytes + 3) / 4);
        NativeMemory.Fill(State + first, (nuint)(end - first), state);
    }

    /// <summary>The bytes of a range count as written.</summary>
    public void MarkWritten(nint address, long bytes)
    {
        var (first, end) = (address - Address, address - Address + bytes);
        for (; first < end && first % 4 != 0; first++)
        {
            State[first / 4] |= (byte)(1 << (int)(first % 4));
        }
        for (; end > first && end % 4 != 0; end--)
        {
            State[end / 4] |= (byte)(1 << (int)((end - 1) % 4));
        }
        NativeMemory.Fill(State + (first / 4), (nuint)((end - first) / 4), Written);
    }

    /// <summary>The first byte of a range that is not in use, or (if asked) not written; its end if there is none.</summary>
    public nint FirstUnusable(nint address, long bytes, bool written)
    {
        var end = address + (nint)bytes;
        while (address < end)
        {
            var offset = address - Address;
            var state = State[offset / 4];
            var need = written ? (byte)(1 << (int)(offset % 4)) : (byte)0;
            if ((state & Returned) != 0 || (state & need) != need)
            {
                return address;
            }
            address = offset % 4 == 0 && state == Written ? SkipWritten(address, end) : address + 1;
        }
        return end;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree((void*)Address);
        NativeMemory.Free(State);
        State = null;
        Forget();
    }

    // Past the words that are wholly written, the usual case.
    private nint SkipWritten(nint address, nint end)
    {
        var first = (address - Address) / 4;
        var count = (end - address + 3) / 4;
        var states = new ReadOnlySpan<byte>(State + first, (int)Math.Min(count, int.MaxValue));
        var other = states.IndexOfAnyExcept(Written);
        return (nint)Math.Min(end, address + (4L * (other < 0 ? states.Length : other)));
    }
}
