namespace TinyDpo.Simulator;

/// <summary>Memory that a piece of work touches: on the device, or page-locked on the host.</summary>
internal readonly record struct MemoryRange(nint Address, long Bytes, bool Write)
{
    public bool Overlaps(nint address, long bytes) => address < Address + (nint)Bytes && Address < address + (nint)bytes;
}

/// <summary>What a call put into a stream, to be done when something waits for it.</summary>
/// <param name="Call">The call and its number, for messages.</param>
/// <param name="Execute">Does it.</param>
internal sealed record StreamWork(string Call, Action Execute)
{
    public MemoryRange[] Device { get; init; } = [];

    public MemoryRange[] Host { get; init; } = [];

    /// <summary>The module whose kernel is launched.</summary>
    public SimulatedModule? Module { get; init; }

    /// <summary>How far other streams must have come before.</summary>
    public (SimulatedStream Stream, long Count)[] After { get; init; } = [];
}

/// <summary>A queue of work. Nothing runs until a call waits for it, so that a missing wait shows: a real card may be just as late.</summary>
/// <param name="number">For messages; 0 is the default stream.</param>
/// <param name="blocking">Whether work waits for that of the default stream, and the default stream for it.</param>
internal sealed class SimulatedStream(int number, bool blocking)
{
    private readonly Queue<StreamWork> _queue = new();

    public int Number => number;

    public bool Blocking => blocking;

    /// <summary>Pieces of work ever put in.</summary>
    public long Count { get; private set; }

    public bool IsIdle => _queue.Count == 0;

    public IEnumerable<StreamWork> Pending => _queue;

    public void Add(StreamWork work)
    {
        _queue.Enqueue(work);
        Count++;
    }

    /// <summary>Does the first <paramref name="count"/> pieces of all that were ever put in, with what they wait for.</summary>
    public void RunTo(long count)
    {
        while (Count - _queue.Count < count)
        {
            var work = _queue.Dequeue();
            foreach (var (stream, needed) in work.After)
            {
                stream.RunTo(needed);
            }
            work.Execute();
        }
    }

    public void Clear() => _queue.Clear();
}

/// <summary>A point in a stream.</summary>
/// <param name="number">For messages.</param>
/// <param name="timed">Whether it keeps its time.</param>
internal sealed class SimulatedEvent(int number, bool timed)
{
    public int Number => number;

    public bool Timed => timed;

    public SimulatedStream? Stream { get; set; }

    /// <summary>How much of the stream comes before it.</summary>
    public long Count { get; set; }

    /// <summary>When the stream came by, in ticks of the stopwatch; null before.</summary>
    public long? Reached { get; set; }
}
