using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>Control flow, shared memory, exchanges between lanes, grids.</summary>
[TestFixture]
internal sealed class ExecutionTests
{
    // %l19 is the address of the thread's own element of b.
    private const string Own = "mul.wide.u32 %l18, %t, 4; add.s64 %l19, %l18, %b;";

    [Test]
    public void Every_kernel_of_the_engine_is_known()
    {
        var ptx = CudaModule.EmbeddedPtx();
        using var machine = new PtxMachine(ptx);
        foreach (var kernel in PtxEntry.ReadAll(ptx).Keys)
        {
            Assert.That(machine.Executor.Parameters(kernel), Is.Not.Null, kernel);
        }
    }

    [TestCase(1), TestCase(31), TestCase(33), TestCase(5000)]
    public void The_affine_kernel_of_the_engine(int n)
    {
        using var machine = new PtxMachine(CudaModule.EmbeddedPtx(), new SimulatorOptions { Threads = 2 });
        var x = machine.Upload<float>([.. Enumerable.Range(0, n).Select(static i => i * 0.1f)], Access.Read);
        var y = machine.Upload<float>([.. Enumerable.Range(0, n).Select(static i => -i * 3f)]);
        foreach (var accumulate in (int[])[0, 1])
        {
            var before = PtxMachine.Read<float>(y, n);
            _ = machine.Launch("affine", new Dim3((n + 1023) / 1024, 1, 1), new Dim3(256, 1, 1), 0, x, 1.5f, 0.25f, y, n, accumulate);
            Assert.That(
                PtxMachine.Read<float>(y, n),
                Is.EqualTo(Enumerable.Range(0, n).Select(i => (accumulate * before[i]) + MathF.FusedMultiplyAdd(1.5f, i * 0.1f, 0.25f))));
        }
    }

    [Test]
    public void Lanes_take_different_ways_and_meet_again()
    {
        // f(t) for t below 10, odd, or both: each in its own way; then all add 1000.
        var result = Run(64, $"""
            {Own}
            mov.u32 %r0, 0;
            setp.ge.u32 %p0, %t, 10;
            @%p0 bra BIG;
            add.s32 %r0, %r0, 1;
            and.b32 %r1, %t, 1;
            setp.eq.s32 %p1, %r1, 0;
            @!%p1 bra ODD;
            add.s32 %r0, %r0, 10;
            bra.uni MEET;
            ODD:
            add.s32 %r0, %r0, 20;
            MEET:
            add.s32 %r0, %r0, 5;
            bra DONE;
            BIG:
            add.s32 %r0, %r0, 100;
            DONE:
            activemask.b32 %r2;
            popc.b32 %r2, %r2;
            mul.lo.s32 %r2, %r2, 1000;
            add.s32 %r0, %r0, %r2;
            st.global.u32 [%l19], %r0;
            """);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 64).Select(static t => 32000 + (t >= 10 ? 100 : t % 2 == 0 ? 16 : 26))));
    }

    [Test]
    public void Loops_of_different_length()
    {
        var result = Run(40, $"""
            {Own}
            mov.u32 %r0, 0;
            mov.u32 %r1, 0;
            OUTER:
            setp.ge.u32 %p0, %r1, %t;
            @%p0 bra DONE;
            add.s32 %r1, %r1, 1;
            and.b32 %r2, %r1, 3;
            setp.eq.s32 %p1, %r2, 0;
            @%p1 bra OUTER;
            add.s32 %r0, %r0, %r1;
            setp.lt.s32 %p2, %r0, 200;
            @%p2 bra OUTER;
            DONE:
            st.global.u32 [%l19], %r0;
            """);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 40).Select(static t =>
        {
            var sum = 0;
            for (var i = 1; i <= t && sum < 200; i++)
            {
                sum += i % 4 == 0 ? 0 : i;
            }
            return sum;
        })));
    }

    [Test]
    public void Threads_return_early_and_guards_mask()
    {
        var result = Run(64, $"""
            {Own}
            mov.u32 %r0, 7;
            st.global.u32 [%l19], %r0;
            setp.lt.u32 %p0, %t, 20;
            @%p0 ret;
            setp.gt.u32 %p1, %t, 40;
            @%p1 add.s32 %r0, %r0, 1;
            @!%p1 add.s32 %r0, %r0, 2;
            st.global.u32 [%l19], %r0;
            """);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 64).Select(static t => t < 20 ? 7 : t > 40 ? 8 : 9)));
    }

    [Test]
    public void Shared_memory_static_and_dynamic_with_a_barrier()
    {
        // b[t] = (t mirrored, from static memory) * 2 + (t + 1 mod n, from dynamic memory).
        using var machine = new PtxMachine(PtxMachine.Kernel(
            $$"""
            .shared .align 4 .b8 tile[512];
            {{Own}}
            mov.u64 %l0, tile;
            add.s64 %l1, %l0, %l18;
            st.shared.u32 [%l1], %t;
            mov.u64 %l2, dyn;
            add.s64 %l3, %l2, %l18;
            cvta.shared.u64 %l4, %l3;
            st.u32 [%l4], %t;
            bar.sync 0;
            sub.s32 %r0, %n, %t;
            mul.wide.s32 %l5, %r0, 4;
            add.s64 %l6, %l0, %l5;
            ld.shared.u32 %r1, [%l6+-4];
            add.s32 %r2, %t, 1;
            rem.u32 %r2, %r2, %n;
            mul.wide.u32 %l7, %r2, 4;
            add.s64 %l8, %l2, %l7;
            ld.shared.u32 %r3, [%l8];
            mad.lo.s32 %r4, %r1, 2, %r3;
            st.global.u32 [%l19], %r4;
            """, ".extern .shared .align 16 .b8 dyn[];"));
        var to = machine.Allocate(4 * 100);
        _ = machine.Launch(1, 100, 0, to, 100, 400);
        Assert.That(PtxMachine.Read<int>(to, 100), Is.EqualTo(Enumerable.Range(0, 100).Select(static t => ((99 - t) * 2) + ((t + 1) % 100))));
        Assert.That(machine.Executor.StaticSharedBytes("k"), Is.EqualTo(512));
    }

    [TestCase("bfly", 16, 31), TestCase("bfly", 3, 31), TestCase("down", 5, 31), TestCase("up", 7, 0), TestCase("idx", 9, 31)]
    [TestCase("idx", 3, 0x181f), TestCase("down", 2, 0x181f), TestCase("up", 3, 0x1800)]
    public void Shuffles(string mode, int by, int bounds)
    {
        var result = Run(32, $"""
            {Own}
            shfl.sync.{mode}.b32 %r0|%p0, %t, {by}, {bounds}, -1;
            @!%p0 add.s32 %r0, %r0, 100;
            st.global.u32 [%l19], %r0;
            """);
        var width = bounds >> 8 == 0x18 ? 8 : 32;
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 32).Select(t =>
        {
            var first = t / width * width;
            var source = mode switch { "bfly" => t ^ by, "down" => t + by, "up" => t - by, _ => first + by };
            return source < first || source >= first + width ? t + 100 : source;
        })));
    }

    [Test]
    public void Votes_of_a_warp()
    {
        var result = Run(64, $"""
            {Own}
            setp.gt.u32 %p0, %t, 30;
            vote.sync.ballot.b32 %r0, %p0, -1;
            vote.sync.any.pred %p1, %p0, -1;
            vote.sync.all.pred %p2, !%p0, -1;
            selp.b32 %r1, 1, 0, %p1;
            selp.b32 %r2, 2, 0, %p2;
            add.s32 %r0, %r0, %r1;
            add.s32 %r0, %r0, %r2;
            st.global.u32 [%l19], %r0;
            """);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 64).Select(static t => t < 32 ? int.MinValue + 1 : 0)));
    }

    [Test]
    public void Vectors_and_small_numbers_in_memory()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($$"""
            mul.wide.u32 %l0, %t, 16;
            add.s64 %l1, %l0, %a;
            add.s64 %l2, %l0, %b;
            ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%l1];
            ld.global.v2.u64 {%l3, %l4}, [%l1];
            ld.global.s8 %r0, [%l1];
            ld.global.u8 %h0, [%l1+1];
            ld.global.s16 %h1, [%l1+2];
            st.global.v4.f32 [%l2], {%f3, %f2, %f1, %f0};
            st.global.v2.u32 [%l2+8], {%r0, %r0};
            st.global.u8 [%l2+12], %h0;
            st.global.u16 [%l2+14], %h1;
            st.global.u32 [%l2+4], %l4;
            """));
        var bytes = new byte[16 * 32];
        new Random(1).NextBytes(bytes);
        var (from, to) = (machine.Upload<byte>(bytes), machine.Allocate(bytes.Length));
        _ = machine.Launch(1, 32, from, to, 0);
        var expected = new byte[bytes.Length];
        for (var t = 0; t < 32; t++)
        {
            Span<byte> source = bytes.AsSpan(16 * t, 16), target = expected.AsSpan(16 * t, 16);
            source[12..16].CopyTo(target);
            source[8..12].CopyTo(target[4..]);
            BitConverter.TryWriteBytes(target[8..], (int)(sbyte)source[0]);
            BitConverter.TryWriteBytes(target[12..], (int)(sbyte)source[0]);
            target[12] = source[1];
            source[2..4].CopyTo(target[14..]);
        }
        Assert.That(PtxMachine.Read<byte>(to, bytes.Length), Is.EqualTo(expected));
    }

    [Test]
    public void Atomics_of_all_blocks()
    {
        using var machine = new PtxMachine(
            PtxMachine.Kernel("""
                atom.global.add.u32 %r0, [%b], 1;
                red.global.max.s32 [%b+4], %t;
                atom.global.cas.b32 %r1, [%b+8], 0, 5;
                atom.global.exch.b64 %l0, [%b+16], %a;
                """),
            new SimulatorOptions { Threads = 2 });
        var to = machine.Upload<int>([0, -1, 0, 0, 0, 0]);
        _ = machine.Launch(50, 96, 77, to, 0);
        Assert.That(PtxMachine.Read<int>(to, 6), Is.EqualTo((int[])[4800, 95, 5, 0, 77, 0]));
    }

    [Test]
    public void A_grid_and_blocks_of_three_dimensions()
    {
        using var machine = new PtxMachine(
            PtxMachine.Kernel("""
                mov.u32 %r0, %ctaid.x; mov.u32 %r1, %ctaid.y; mov.u32 %r2, %ctaid.z;
                mov.u32 %r3, %nctaid.x; mov.u32 %r4, %nctaid.y;
                mov.u32 %r5, %tid.y; mov.u32 %r6, %tid.z; mov.u32 %r7, %ntid.x; mov.u32 %r8, %ntid.y; mov.u32 %r9, %ntid.z;
                mad.lo.s32 %r10, %r2, %r4, %r1;
                mad.lo.s32 %r10, %r10, %r3, %r0;
                mad.lo.s32 %r10, %r10, %r9, %r6;
                mad.lo.s32 %r10, %r10, %r8, %r5;
                mad.lo.s32 %r10, %r10, %r7, %t;
                mul.wide.s32 %l0, %r10, 4;
                add.s64 %l1, %l0, %b;
                st.global.u32 [%l1], %r10;
                """),
            new SimulatorOptions { Threads = 2 });
        var count = 3 * 4 * 5 * 6 * 7 * 2;
        var to = machine.Allocate(4 * count);
        _ = machine.Launch("k", new Dim3(3, 4, 5), new Dim3(6, 7, 2), 0, (nint)0, to, 0);
        Assert.That(PtxMachine.Read<int>(to, count), Is.EqualTo(Enumerable.Range(0, count)));
    }

    private static int[] Run(int threads, string body)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(body));
        var to = machine.Allocate(4 * threads);
        _ = machine.Launch(1, threads, 0, to, threads);
        return PtxMachine.Read<int>(to, threads);
    }
}
