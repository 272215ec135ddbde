using System.Collections.Concurrent;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public unsafe class WorkerTeamTests
{
    // More workers than cores never spin but park at once, so both ways of waiting are run whatever the machine.
    private static readonly int[] Sizes = [1, 2, 3, Environment.ProcessorCount + 2];

    [Test]
    public void AForCoversEachItemOnceInRangesOfAtLeastTheGrain()
    {
        var teams = Sizes.Select(size => new WorkerTeam(size)).ToArray();
        var cases =
            from team in Gen.Elements(teams)
            from count in Gen.Choose(0, 300)
            from grain in Gen.Choose(0, 60)
            select (team, count, grain);
        Prop.ForAll(Arb.From(cases), x => CoversEachItemOnce(x.team, x.count, x.grain)).QuickCheckThrowOnFailure();
        foreach (var team in teams)
        {
            team.Dispose();
        }
    }

    [Test]
    public void ARunIsOnEveryWorkerAtTheSameTime([ValueSource(nameof(Sizes))] int size)
    {
        using var team = new WorkerTeam(size);
        for (var round = 0; round < 20; round++)
        {
            using var barrier = new Barrier(size);
            var workers = new ConcurrentBag<int>();
            team.Run(0, (_, worker) =>
            {
                workers.Add(worker);
                barrier.SignalAndWait(); // passes only when all workers stand here
            });
            Assert.That(workers.Order(), Is.EqualTo(Enumerable.Range(0, size)));
        }
    }

    [Test]
    public void AWorkerBeginsWithTheSameShareOfEachLoop([ValueSource(nameof(Sizes))] int size)
    {
        using var team = new WorkerTeam(size);
        using var barrier = new Barrier(size);
        var shares = new ConcurrentDictionary<int, int>();
        for (var round = 0; round < 20; round++)
        {
            team.For(size, 1, 0, (_, from, to) =>
            {
                Assert.That(shares.GetOrAdd(Environment.CurrentManagedThreadId, from), Is.EqualTo(from));
                barrier.SignalAndWait(); // until all have begun: nobody helps another
            });
        }
        Assert.That(shares.Values.Order(), Is.EqualTo(Enumerable.Range(0, size)));
    }

    [Test]
    public void CallsAllocateNothing([ValueSource(nameof(Sizes))] int size)
    {
        using var team = new WorkerTeam(size);
        var x = stackalloc Real[512];
        Loop(10);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Loop(1000);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);

        void Loop(int calls)
        {
            for (var call = 0; call < calls; call++)
            {
                team.For(512, 8, (x: (Ptr)x, 2), static (s, from, to) =>
                {
                    Real* x = s.x;
                    for (var i = from; i < to; i++)
                    {
                        x[i] += s.Item2;
                    }
                });
                team.Run((Ptr)x, static (x, worker) => ((Real*)x)[worker]++);
            }
        }
    }

    [Test]
    public void AnExceptionReachesTheCallerAndTheTeamStaysUsable([ValueSource(nameof(Sizes))] int size)
    {
        using var team = new WorkerTeam(size);
        for (var item = 0; item < 100; item += 9)
        {
            Assert.That(() => team.For(100, 1, item, static (bad, from, to) =>
            {
                if (from <= bad && bad < to)
                {
                    throw new InvalidDataException("item");
                }
            }), Throws.TypeOf<InvalidDataException>().With.Message.EqualTo("item"));
            Assert.That(CoversEachItemOnce(team, 100, 1));
        }
        Assert.That(() => team.Run(size - 1, static (bad, worker) =>
        {
            if (worker == bad)
            {
                throw new InvalidDataException("worker");
            }
        }), Throws.TypeOf<InvalidDataException>());
        Assert.That(CoversEachItemOnce(team, 100, 1));
    }

    [Test]
    public void ALoopInsideABodyRunsOnItsOwnThread()
    {
        using var team = new WorkerTeam(3);
        var strays = new ConcurrentBag<(int, int)>();
        team.For(60, 1, 0, (_, _, _) =>
        {
            var thread = Environment.CurrentManagedThreadId;
            team.For(100, 1, 0, (_, from, to) =>
            {
                if (Environment.CurrentManagedThreadId != thread || from != 0 || to != 100)
                {
                    strays.Add((from, to));
                }
            });
        });
        Assert.That(strays, Is.Empty);
        Assert.That(() => team.For(60, 1, 0, (_, _, _) => team.Run(0, static (_, _) => { })), Throws.InvalidOperationException);
    }

    [Test]
    public void SeveralCallersTakeTurns()
    {
        using var team = new WorkerTeam(2);
        var covered = new ConcurrentBag<bool>();
        var callers = Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            for (var i = 0; i < 100; i++)
            {
                covered.Add(CoversEachItemOnce(team, 50, 1));
            }
        })).ToArray();
        Array.ForEach(callers, caller => caller.Start());
        Array.ForEach(callers, caller => caller.Join());
        Assert.That(covered, Has.Count.EqualTo(300).And.All.True);
    }

    [Test]
    public void DisposeEndsTheThreads()
    {
        var team = new WorkerTeam(3);
        var threads = new Thread[3];
        team.Run(0, (_, worker) => threads[worker] = Thread.CurrentThread);
        team.Dispose();
        Assert.That(threads[0], Is.SameAs(Thread.CurrentThread));
        Assert.That(threads[1].IsAlive || threads[2].IsAlive, Is.False);
        Assert.That(() => team.For(10, 1, 0, static (_, _, _) => { }), Throws.TypeOf<ObjectDisposedException>());
        Assert.That(() => new WorkerTeam(0), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    private static bool CoversEachItemOnce(WorkerTeam team, int count, int grain)
    {
        var visits = new int[count];
        var small = 0;
        fixed (int* pinned = visits)
        {
            team.For(count, grain, (visits: (nint)pinned, small: (nint)(&small), count, grain), static (s, from, to) =>
            {
                for (var i = from; i < to; i++)
                {
                    Interlocked.Increment(ref ((int*)s.visits)[i]);
                }
                if (to - from < s.grain && to != s.count)
                {
                    Interlocked.Increment(ref *(int*)s.small);
                }
            });
        }
        return small == 0 && visits.All(v => v == 1);
    }
}
