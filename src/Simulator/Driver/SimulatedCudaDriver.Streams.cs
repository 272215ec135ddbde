using System.Diagnostics;

namespace TinyDpo.Simulator;

// Streams and events: what runs when.
public sealed unsafe partial class SimulatedCudaDriver
{
    private const uint NonBlocking = 1;
    private const uint EventBlockingSync = 1;
    private const uint EventDisableTiming = 2;

    private readonly SimulatedStream _defaultStream = new(0, blocking: true);

    // All that exist, and those destroyed with work in them: it is still done.
    private readonly List<SimulatedStream> _streams = [];
    private SimulatedStream? _latest;
    private int _streamsMade;
    private int _eventsMade;

    public int cuStreamCreate(out nint stream, uint flags)
    {
        stream = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if ((flags & ~NonBlocking) != 0)
        {
            return CudaResult.InvalidValue;
        }
        var made = new SimulatedStream(++_streamsMade, blocking: (flags & NonBlocking) == 0);
        _streams.Add(made);
        stream = _handles.Add(made);
        return CudaResult.Success;
    }

    public int cuStreamDestroy(nint stream)
    {
        if (RefusalToRelease() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedStream>(stream, nameof(cuStreamDestroy)) is not { } queue)
        {
            return CudaResult.InvalidHandle;
        }
        _handles.Destroy(stream, $"stream {queue.Number}");
        if (queue.IsIdle)
        {
            _streams.Remove(queue);
        }
        return CudaResult.Success;
    }

    public int cuStreamSynchronize(nint stream)
    {
        if (RefusalOfStream(stream, nameof(cuStreamSynchronize), out var queue) is var code and not 0)
        {
            return code;
        }
        Run(queue, queue.Count);
        return CudaResult.Success;
    }

    public int cuEventCreate(out nint @event, uint flags)
    {
        @event = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if ((flags & ~(EventBlockingSync | EventDisableTiming)) != 0)
        {
            return CudaResult.InvalidValue;
        }
        @event = _handles.Add(new SimulatedEvent(++_eventsMade, timed: (flags & EventDisableTiming) == 0));
        return CudaResult.Success;
    }

    public int cuEventDestroy(nint @event)
    {
        if (RefusalToRelease() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedEvent>(@event, nameof(cuEventDestroy)) is not { } point)
        {
            return CudaResult.InvalidHandle;
        }
        _handles.Destroy(@event, $"event {point.Number}");
        return CudaResult.Success;
    }

    public int cuEventRecord(nint @event, nint stream)
    {
        if (RefusalOfStream(stream, nameof(cuEventRecord), out var queue) is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedEvent>(@event, nameof(cuEventRecord)) is not { } point)
        {
            return CudaResult.InvalidHandle;
        }
        // Recorded anew, it is the later point alone.
        var count = queue.Count + 1;
        Enqueue(queue, new StreamWork(Numbered(nameof(cuEventRecord)), () =>
        {
            if (point.Stream == queue && point.Count == count)
            {
                point.Reached = Stopwatch.GetTimestamp();
            }
        }));
        (point.Stream, point.Count, point.Reached) = (queue, count, null);
        return CudaResult.Success;
    }

    public int cuEventSynchronize(nint @event)
    {
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedEvent>(@event, nameof(cuEventSynchronize)) is not { } point)
        {
            return CudaResult.InvalidHandle;
        }
        if (point.Stream is not null)
        {
            Run(point.Stream, point.Count);
        }
        return CudaResult.Success;
    }

    /// <summary>The time that this machine took for the simulation between the two events. It says nothing of a card's time.</summary>
    public int cuEventElapsedTime(out float milliseconds, nint start, nint end)
    {
        milliseconds = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedEvent>(start, nameof(cuEventElapsedTime)) is not { Timed: true, Stream: not null } first
            || Find<SimulatedEvent>(end, nameof(cuEventElapsedTime)) is not { Timed: true, Stream: not null } last)
        {
            return CudaResult.InvalidHandle;
        }
        if (first.Reached is not { } from || last.Reached is not { } to)
        {
            return CudaResult.NotReady;
        }
        milliseconds = (float)((to - from) * 1000.0 / Stopwatch.Frequency);
        return CudaResult.Success;
    }

    private int RefusalOfStream(nint stream, string call, out SimulatedStream queue)
    {
        queue = _defaultStream;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (stream == 0)
        {
            return CudaResult.Success;
        }
        var found = Find<SimulatedStream>(stream, call);
        queue = found ?? _defaultStream;
        return found is null ? CudaResult.InvalidHandle : CudaResult.Success;
    }

    // The default stream and the blocking ones wait for each other's earlier work, as CUDA's "legacy" default stream does.
    private void Enqueue(SimulatedStream stream, StreamWork work)
    {
        _latest = stream;
        if (stream == _defaultStream)
        {
            work = work with { After = [.. _streams.Where(s => s != stream && s is { Blocking: true, IsIdle: false }).Select(static s => (s, s.Count))] };
        }
        else if (stream.Blocking && !_defaultStream.IsIdle)
        {
            work = work with { After = [(_defaultStream, _defaultStream.Count)] };
        }
        stream.Add(work);
    }

    /// <summary>
    /// Puts a note about memory among the stream's work, which names no stream: that of the latest work, if it still has some, else of any.
    /// </summary>
    private void Note(StreamWork note)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_failed)
        {
            return;
        }
        var stream = _latest is { IsIdle: false } ? _latest : _streams.Find(static s => !s.IsIdle);
        if (stream is not null)
        {
            stream.Add(note);
            return;
        }
        _defaultStream.Add(note);
        Run(_defaultStream, _defaultStream.Count);
    }

    private void Run(SimulatedStream stream, long count)
    {
        try
        {
            stream.RunTo(count);
        }
        catch
        {
            // Nothing is executed after an error: the state is not worth checking.
            Fail();
            throw;
        }
    }

    private void RunEverything()
    {
        foreach (var stream in _streams)
        {
            Run(stream, stream.Count);
        }
    }

    /// <summary>Work not yet done that uses device memory in the range.</summary>
    private StreamWork? Pending(nint address, long bytes) =>
        _streams.SelectMany(static s => s.Pending).FirstOrDefault(work => work.Device.Any(range => range.Overlaps(address, bytes)));

    /// <summary>Work not yet done that uses, or writes, host memory in the range; the latest.</summary>
    private StreamWork? PendingOnHost(nint address, long bytes, bool write = false) =>
        _streams.SelectMany(static s => s.Pending).LastOrDefault(work => work.Host.Any(range => (range.Write || !write) && range.Overlaps(address, bytes)));
}
