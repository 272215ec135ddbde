using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>
/// Persistent worker threads for data-parallel loops. Between loops they spin for some microseconds, then park. The caller is worker 0.
/// Calls allocate nothing. Several callers take turns; a loop started inside a loop's body runs on the thread that started it.
/// </summary>
public sealed unsafe class WorkerTeam : IDisposable
{
    /// <summary>A loop is dealt in about this many ranges a worker, so that one that is held up does not hold up the rest.</summary>
    private const int RangesPerWorker = 32;

    /// <summary>Places of <see cref="untaken"/> between two workers', so that they do not share a cache line or its neighbour.</summary>
    private const int UntakenStride = 32;

    /// <summary>Longer than the gap between two kernels of a step, short enough to leave a shared machine to others.</summary>
    private const long SpinMicroseconds = 40;

    /// <summary>Set in <see cref="Shared.State"/> while workers may join the job; below it is the number at work, above it the job's number.</summary>
    private const long Open = 1L << 31;

    [ThreadStatic]
    private static bool insideBody;

    private readonly Lock turn = new();
    private readonly object workerGate = new();
    private readonly object callerGate = new();
    private readonly Thread[] threads;
    private readonly long spinTicks;

    /// <summary>The first range of each worker's own share that nobody has taken.</summary>
    private readonly int[] untaken;

    private Shared shared;
    private Job job;
    private Exception? failure;
    private int parkedWorkers;
    private bool callerParked;
    private bool disposed;

    /// <summary>A team of <paramref name="threads"/> workers, the caller among them; 1 runs everything on the caller.</summary>
    /// <exception cref="ArgumentOutOfRangeException">threads is less than 1</exception>
    public WorkerTeam(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        Threads = threads;
        untaken = new int[(threads + 1) * UntakenStride];
        // With more workers than cores, one that spins keeps another from its work.
        spinTicks = threads <= Environment.ProcessorCount ? SpinMicroseconds * Stopwatch.Frequency / 1_000_000 : 0;
        this.threads = new Thread[threads - 1];
        for (var i = 0; i < this.threads.Length; i++)
        {
            var worker = i + 1;
            this.threads[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"TinyDpo worker {worker}" };
            this.threads[i].Start();
        }
    }

    /// <summary>Number of workers, the caller included.</summary>
    public int Threads { get; }

    /// <summary>Number of workers that a loop started on this thread now would have: 1 inside a body, else <see cref="Threads"/>.</summary>
    internal int Available => insideBody ? 1 : Threads;

    /// <summary>
    /// Calls body(state, from, to) over disjoint ranges that cover [0, count), each of at least <paramref name="grain"/> items but the
    /// last; returns when all are done. A worker begins with its own share, the items count * worker / Threads and on: in loops over the same rows
    /// it meets rows that it wrote, in its own cache. When that is done it helps the others, so which worker gets which range is not
    /// determined. A loop of at most grain items, or one started inside another body, runs as one range on the caller.
    /// </summary>
    /// <exception cref="ObjectDisposedException">the team is disposed</exception>
    /// <remarks>An exception of the body skips ranges not yet begun and is rethrown here; the team stays usable.</remarks>
    public void For<TState>(int count, int grain, TState state, Action<TState, int, int> body)
        where TState : unmanaged
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (count <= 0)
        {
            return;
        }
        if (count <= grain || Available == 1)
        {
            body(state, 0, count);
            return;
        }
        var chunk = Math.Max(Math.Max(grain, 1), (int)(((long)count + (RangesPerWorker * Threads) - 1) / (RangesPerWorker * Threads)));
        Execute(new Job(&CallRange<TState>, &state, body, count, chunk));
    }

    /// <summary>Calls body(state, worker) once on each of <see cref="Threads"/> workers at the same time, worker from 0; for kernels with their
    /// own partition and barrier.</summary>
    /// <exception cref="InvalidOperationException">called inside a body, where the other workers are not free</exception>
    /// <exception cref="ObjectDisposedException">the team is disposed</exception>
    public void Run<TState>(TState state, Action<TState, int> body)
        where TState : unmanaged
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (Threads == 1)
        {
            body(state, 0);
            return;
        }
        if (insideBody)
        {
            throw new InvalidOperationException("WorkerTeam.Run inside the body of another loop: the other workers are not free.");
        }
        Execute(new Job(&CallWorker<TState>, &state, body, 0, 0));
    }

    /// <summary>Stops the threads and waits for them.</summary>
    public void Dispose()
    {
        lock (turn)
        {
            lock (workerGate)
            {
                disposed = true;
                Monitor.PulseAll(workerGate);
            }
        }
        foreach (var thread in threads)
        {
            thread.Join();
        }
    }

    private static void CallRange<TState>(void* state, Delegate body, int from, int to)
        where TState : unmanaged =>
        Unsafe.As<Action<TState, int, int>>(body)(*(TState*)state, from, to);

    private static void CallWorker<TState>(void* state, Delegate body, int worker, int unused)
        where TState : unmanaged =>
        Unsafe.As<Action<TState, int>>(body)(*(TState*)state, worker);

    private void Execute(Job next)
    {
        lock (turn)
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            job = next;
            for (var worker = 0; worker < Threads; worker++)
            {
                Untaken(worker) = job.ShareStart(worker, Threads);
            }
            shared.Awaited = Threads - 1;
            var number = (shared.State >> 32) + 1;
            Interlocked.Exchange(ref shared.State, (number << 32) | Open);
            if (Volatile.Read(ref parkedWorkers) != 0)
            {
                lock (workerGate)
                {
                    Monitor.PulseAll(workerGate);
                }
            }
            insideBody = true;
            TakePart(0);
            insideBody = false;
            if (next.IsLoop)
            {
                // A worker that has not come by now (it parks, or others have its core) is not waited for: nothing is left to do.
                Interlocked.And(ref shared.State, ~Open);
            }
            AwaitWorkers();
            Interlocked.And(ref shared.State, ~Open);
            job = default;
            if (failure is { } error)
            {
                failure = null;
                ExceptionDispatchInfo.Throw(error);
            }
        }
    }

    /// <summary>Worker <paramref name="worker"/>'s part of the current job.</summary>
    private void TakePart(int worker)
    {
        try
        {
            if (!job.IsLoop)
            {
                job.Call(job.State, job.Body, worker, 0);
                return;
            }
            for (var i = 0; i < Threads; i++)
            {
                TakeFrom((worker + i) % Threads);
            }
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref failure, error, null);
            for (var i = 0; i < Threads; i++)
            {
                Interlocked.Exchange(ref Untaken(i), job.ShareStart(i + 1, Threads));
            }
        }
    }

    /// <summary>Takes the ranges of a worker's share, one after the other, until nobody need begin another.</summary>
    private void TakeFrom(int owner)
    {
        ref var next = ref Untaken(owner);
        var end = job.ShareStart(owner + 1, Threads);
        // Read first: what everybody looks at once it is over should not be written by everybody.
        while (Volatile.Read(ref next) < end)
        {
            var range = Interlocked.Increment(ref next) - 1;
            if (range >= end)
            {
                return;
            }
            var from = (long)range * job.Chunk;
            job.Call(job.State, job.Body, (int)from, (int)Math.Min(from + job.Chunk, job.Count));
        }
    }

    private ref int Untaken(int worker) => ref untaken[(worker + 1) * UntakenStride];

    /// <summary>The life of a worker thread.</summary>
    private void Work(int worker)
    {
        insideBody = true;
        for (var last = 0L; AwaitJob(ref last);)
        {
            TakePart(worker);
            Interlocked.Decrement(ref shared.Awaited);
            Interlocked.Decrement(ref shared.State);
            if (Volatile.Read(ref callerParked))
            {
                lock (callerGate)
                {
                    Monitor.PulseAll(callerGate);
                }
            }
        }
    }

    /// <summary>Waits for a job later than <paramref name="last"/> and joins it; false when the team is disposed.</summary>
    private bool AwaitJob(ref long last)
    {
        while (true)
        {
            var start = Stopwatch.GetTimestamp();
            while (!IsNews(last) && Stopwatch.GetTimestamp() - start < spinTicks)
            {
                Thread.SpinWait(1);
            }
            if (!IsNews(last))
            {
                lock (workerGate)
                {
                    // Seen by the caller after it publishes, or else the publication is seen here: Interlocked orders the two.
                    Interlocked.Increment(ref parkedWorkers);
                    while (!IsNews(last))
                    {
                        Monitor.Wait(workerGate);
                    }
                    Interlocked.Decrement(ref parkedWorkers);
                }
            }
            if (Volatile.Read(ref disposed))
            {
                return false;
            }
            var state = Volatile.Read(ref shared.State);
            last = state >> 32;
            while ((state & Open) != 0 && state >> 32 == last)
            {
                var found = Interlocked.CompareExchange(ref shared.State, state + 1, state);
                if (found == state)
                {
                    return true;
                }
                state = found;
            }
        }
    }

    private bool IsNews(long last) => Volatile.Read(ref shared.State) >> 32 != last || Volatile.Read(ref disposed);

    private void AwaitWorkers()
    {
        var start = Stopwatch.GetTimestamp();
        while (!IsDone())
        {
            if (Stopwatch.GetTimestamp() - start < spinTicks)
            {
                Thread.SpinWait(1);
                continue;
            }
            lock (callerGate)
            {
                Volatile.Write(ref callerParked, true);
                Interlocked.MemoryBarrier();
                while (!IsDone())
                {
                    Monitor.Wait(callerGate);
                }
                callerParked = false;
            }
        }
    }

    /// <summary>Whether no worker is at work, and in <see cref="Run"/> each has been.</summary>
    private bool IsDone() => (Volatile.Read(ref shared.State) & (Open - 1)) == 0 && (job.IsLoop || Volatile.Read(ref shared.Awaited) == 0);

    /// <summary>What all threads write, apart in memory so that one's writes do not take the other's cache line.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 192)]
    private struct Shared
    {
        [FieldOffset(64)]
        public long State;

        [FieldOffset(72)]
        public int Awaited;
    }

    private readonly struct Job(delegate*<void*, Delegate, int, int, void> call, void* state, Delegate body, int count, int chunk)
    {
        public readonly delegate*<void*, Delegate, int, int, void> Call = call;
        public readonly void* State = state;
        public readonly Delegate Body = body;
        public readonly int Count = count;
        public readonly int Chunk = chunk;

        public bool IsLoop => Chunk != 0;

        /// <summary>The first range of a worker's share of a loop, or the number of ranges for the worker after the last.</summary>
        public int ShareStart(int worker, int workers) => IsLoop ? (int)(((long)Count + Chunk - 1) / Chunk * worker / workers) : 0;
    }
}
