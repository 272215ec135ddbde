using System.Runtime.InteropServices;

namespace TinyDpo.Simulator;

// Device memory, page-locked host memory, copies and fills.
public sealed unsafe partial class SimulatedCudaDriver
{
    // Both a NaN and an index that no table has.
    private const byte Poison = 0xFF;
    private const nuint PinnedAlignment = 4096;

    private readonly SortedDictionary<nint, PinnedBlock> _pinned = [];
    private readonly HashSet<nint> _freed = [];
    private readonly HashSet<nint> _freedPinned = [];

    private readonly record struct PinnedBlock(nint Address, long Bytes);

    public int cuMemGetInfo(out nuint free, out nuint total)
    {
        total = (nuint)_options.MemoryBytes;
        free = total - (nuint)_memory.Bytes;
        return Refusal();
    }

    public int cuMemAlloc(out nint address, nuint bytes)
    {
        address = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (bytes == 0)
        {
            return CudaResult.InvalidValue;
        }
        if (bytes > (nuint)(_options.MemoryBytes - _memory.Bytes) || (address = _memory.Allocate((long)bytes)) == 0)
        {
            return Because(CudaResult.OutOfMemory, $"{bytes} bytes more than the {_memory.Bytes} in use, of {_options.MemoryBytes}");
        }
        _freed.Remove(address);
        return CudaResult.Success;
    }

    public int cuMemFree(nint address)
    {
        if (RefusalToRelease() is var code and not 0)
        {
            return code;
        }
        if (_freed.Contains(address) && !_failed)
        {
            throw Fault($"{Numbered(nameof(cuMemFree))}: 0x{address:x} was freed before");
        }
        // The card waits here for its work; a program that means to wait says so.
        if (_memory.Live.FirstOrDefault(a => a.Address == address) is { Bytes: > 0 } block && Pending(block.Address, block.Bytes) is { } work)
        {
            throw Fault($"{Numbered(nameof(cuMemFree))}: {work.Call}, which uses the memory at 0x{address:x}, has not been waited for");
        }
        RunEverything();
        if (!_memory.Free(address))
        {
            return CudaResult.InvalidValue;
        }
        _freed.Add(address);
        return CudaResult.Success;
    }

    public int cuMemAllocHost(out nint host, nuint bytes)
    {
        host = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (bytes == 0)
        {
            return CudaResult.InvalidValue;
        }
        host = (nint)NativeMemory.AlignedAlloc(bytes, PinnedAlignment);
        new Span<byte>((void*)host, checked((int)bytes)).Fill(Poison);
        _pinned.Add(host, new PinnedBlock(host, (long)bytes));
        _freedPinned.Remove(host);
        return CudaResult.Success;
    }

    public int cuMemFreeHost(nint host)
    {
        if (RefusalToRelease() is var code and not 0)
        {
            return code;
        }
        if (!_pinned.TryGetValue(host, out var block))
        {
            return _freedPinned.Contains(host) && !_failed
                ? throw Fault($"{Numbered(nameof(cuMemFreeHost))}: 0x{host:x} was freed before")
                : CudaResult.InvalidValue;
        }
        if (PendingOnHost(block.Address, block.Bytes) is { } work)
        {
            throw Fault($"{Numbered(nameof(cuMemFreeHost))}: {work.Call}, which uses the memory at 0x{host:x}, has not been waited for");
        }
        _pinned.Remove(host);
        _freedPinned.Add(host);
        NativeMemory.AlignedFree((void*)host);
        return CudaResult.Success;
    }

    public int cuMemcpyHtoDAsync(nint destination, void* source, nuint bytes, nint stream)
    {
        if (RefusalOfStream(stream, nameof(cuMemcpyHtoDAsync), out var queue) is var code && (code != 0 || bytes == 0))
        {
            return code;
        }
        var (call, host, count) = (Numbered(nameof(cuMemcpyHtoDAsync)), (nint)source, (long)bytes);
        RequirePinned(call, host, count);
        // What an earlier copy of the same stream brings here is not there yet; otherwise the source must stay as it is.
        var awaited = PendingOnHost(host, count, write: true);
        if (awaited is not null && !queue.Pending.Contains(awaited))
        {
            throw Fault($"{call}: its source overlaps the host memory that {awaited.Call} in another stream writes, with no wait between them");
        }
        var sent = awaited is null ? new Span<byte>(source, checked((int)count)).ToArray() : null;
        Enqueue(queue, new StreamWork(call, () =>
        {
            var now = new ReadOnlySpan<byte>((void*)host, (int)count);
            if (sent is not null && now.CommonPrefixLength(sent) is var same && same < sent.Length)
            {
                throw new SimulationException($"{call}: overlapping host buffer: byte {same} of the source was overwritten before the copy was waited for");
            }
            _memory.RequireWritable(destination, count, call);
            now.CopyTo(new Span<byte>((void*)destination, (int)count));
            _memory.MarkWritten(destination, count);
        })
        {
            Device = [new MemoryRange(destination, count, Write: true)],
            Host = [new MemoryRange(host, count, Write: false)],
        });
        return CudaResult.Success;
    }

    public int cuMemcpyDtoHAsync(void* destination, nint source, nuint bytes, nint stream)
    {
        if (RefusalOfStream(stream, nameof(cuMemcpyDtoHAsync), out var queue) is var code && (code != 0 || bytes == 0))
        {
            return code;
        }
        var (call, host, count) = (Numbered(nameof(cuMemcpyDtoHAsync)), (nint)destination, (long)bytes);
        RequirePinned(call, host, count);
        var earlier = PendingOnHost(host, count);
        if (earlier is not null && !queue.Pending.Contains(earlier))
        {
            throw Fault($"{call}: its target overlaps the host memory of {earlier.Call} in another stream, with no wait between them");
        }
        // Who reads the target too early finds nothing that could pass for a result.
        var poisoned = earlier is null;
        if (poisoned)
        {
            new Span<byte>(destination, checked((int)count)).Fill(Poison);
        }
        Enqueue(queue, new StreamWork(call, () =>
        {
            var target = new Span<byte>((void*)host, (int)count);
            if (poisoned && target.IndexOfAnyExcept(Poison) is var changed and >= 0)
            {
                throw new SimulationException($"{call}: overlapping host buffer: byte {changed} of the target was written before the copy was waited for");
            }
            RequireReadable(source, count, call);
            new ReadOnlySpan<byte>((void*)source, (int)count).CopyTo(target);
        })
        {
            Device = [new MemoryRange(source, count, Write: false)],
            Host = [new MemoryRange(host, count, Write: true)],
        });
        return CudaResult.Success;
    }

    public int cuMemcpyDtoDAsync(nint destination, nint source, nuint bytes, nint stream)
    {
        if (RefusalOfStream(stream, nameof(cuMemcpyDtoDAsync), out var queue) is var code && (code != 0 || bytes == 0))
        {
            return code;
        }
        var (call, count) = (Numbered(nameof(cuMemcpyDtoDAsync)), (long)bytes);
        var (from, to) = (new MemoryRange(source, count, Write: false), new MemoryRange(destination, count, Write: true));
        if (from.Overlaps(destination, count))
        {
            throw Fault($"{call}: source and target overlap, which leaves the result to chance");
        }
        Enqueue(queue, new StreamWork(call, () =>
        {
            RequireReadable(source, count, call);
            _memory.RequireWritable(destination, count, call);
            NativeMemory.Copy((void*)source, (void*)destination, bytes);
            _memory.MarkWritten(destination, count);
        })
        {
            Device = [from, to],
        });
        return CudaResult.Success;
    }

    public int cuMemsetD32Async(nint destination, uint value, nuint count, nint stream)
    {
        if (RefusalOfStream(stream, nameof(cuMemsetD32Async), out var queue) is var code && (code != 0 || count == 0))
        {
            return code;
        }
        if (destination % sizeof(uint) != 0)
        {
            return CudaResult.InvalidValue;
        }
        var (call, bytes) = (Numbered(nameof(cuMemsetD32Async)), checked((long)count * sizeof(uint)));
        Enqueue(queue, new StreamWork(call, () =>
        {
            _memory.RequireWritable(destination, bytes, call);
            new Span<uint>((void*)destination, checked((int)count)).Fill(value);
            _memory.MarkWritten(destination, bytes);
        })
        {
            Device = [new MemoryRange(destination, bytes, Write: true)],
        });
        return CudaResult.Success;
    }

    /// <summary>The pool hands memory out: in the order of the stream's work, like everything that uses the memory.</summary>
    public void Rented(nint address, long bytes) => Note(new StreamWork(nameof(Rented), () => _memory.MarkRented(address, bytes)));

    public void Returned(nint address, long bytes) => Note(new StreamWork(nameof(Returned), () => _memory.MarkReturned(address, bytes)));

    // Without checks kernels do not note what they write.
    private void RequireReadable(nint address, long bytes, string what)
    {
        if (_options.Checks)
        {
            _memory.RequireReadable(address, bytes, what);
        }
    }

    private void RequirePinned(string call, nint host, long bytes)
    {
        foreach (var block in _pinned.Values)
        {
            if (host >= block.Address && host + (nint)bytes <= block.Address + (nint)block.Bytes)
            {
                return;
            }
        }
        throw Fault(
            $"{call}: {bytes} bytes of host memory at 0x{host:x} are not inside a block of cuMemAllocHost: a card would copy them later, or wait, unasked");
    }

    private void FreePinned()
    {
        foreach (var address in _pinned.Keys)
        {
            NativeMemory.AlignedFree((void*)address);
        }
        _pinned.Clear();
    }
}
