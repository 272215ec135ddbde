using TinyDpo.Kernels;
using TinyDpo.Simulator;
using static TinyDpo.Tests.Simulator.AccessCheckTests;

namespace TinyDpo.Tests.Simulator;

/// <summary>Races, barriers and masks: each finding beside a near miss that is none.</summary>
internal sealed class OrderCheckTests
{
    // %l1: the thread's own word of tile; %l2: its neighbour's, %n words further on.
    private const string Tile = """
        .shared .align 16 .b8 tile[1024];
        mov.u64 %l0, tile; mul.wide.u32 %l9, %t, 4; add.s64 %l1, %l0, %l9; mul.wide.u32 %l8, %n, 4; add.s64 %l2, %l1, %l8;
        """;

    [TestCase("bar.sync 0;", 64, null, TestName = "Barrier_between_warps")]
    [TestCase("bar.warp.sync -1;", 64, "race", TestName = "A_barrier_of_the_warp_does_not_order_two_warps")]
    [TestCase("", 64, "race", TestName = "Nothing_between_warps")]
    [TestCase("bar.warp.sync -1;", 32, null, TestName = "A_barrier_of_the_warp_orders_its_lanes")]
    [TestCase("", 32, "race", TestName = "Nothing_between_lanes")]
    [TestCase("shfl.sync.bfly.b32 %r5, %t, 1, 31, -1;", 32, "race", TestName = "A_shuffle_orders_nothing")]
    [TestCase("vote.sync.ballot.b32 %r5, %p0, -1;", 32, "race", TestName = "A_vote_orders_nothing")]
    [TestCase("membar.cta;", 64, "race", TestName = "A_fence_orders_nothing")]
    public void AReadOfWhatAnotherThreadWrote(string between, int threads, string? finding)
    {
        // Warp 0 reads nothing of warp 1's, which runs later: the last threads read what the first wrote.
        using var machine = new PtxMachine(PtxMachine.Kernel($"""
            {Tile}
            setp.ne.s32 %p0, %t, %t;
            st.shared.u32 [%l1], %t;
            {between}
            mov.u64 %l3, tile;
            sub.s32 %r0, %n, 1;
            setp.lt.s32 %p1, %t, %r0;
            @%p1 ret;
            ld.shared.u32 %r1, [%l3];
            """));
        Finds(finding, () => machine.Launch(1, threads, 0, 0, threads));
    }

    [TestCase("bar.sync 0;", null)]
    [TestCase("", "race: writes shared memory")]
    public void AWriteOfWhatAnotherThreadReads(string between, string? finding)
    {
        // All read word 0 after a barrier; then the last thread writes it.
        using var machine = new PtxMachine(PtxMachine.Kernel($"""
            {Tile}
            st.shared.u32 [%l1], %t;
            bar.sync 0;
            ld.shared.u32 %r0, [tile];
            {between}
            setp.ne.s32 %p0, %t, 63;
            @%p0 ret;
            st.shared.u32 [tile], %t;
            """));
        Finds(finding, () => machine.Launch(1, 64, 0, 0, 0));
    }

    [Test]
    public void TheSecondRoundOfALoopWithoutItsClosingBarrier()
    {
        string Loop(string closing) => PtxMachine.Kernel($"""
            {Tile}
            mov.u32 %r0, 0;
            ROUND:
            st.shared.u32 [%l1], %t;
            bar.sync 0;
            xor.b32 %r2, %t, 32;
            mul.wide.u32 %l3, %r2, 4;
            add.s64 %l4, %l0, %l3;
            ld.shared.u32 %r1, [%l4];
            {closing}
            add.s32 %r0, %r0, 1;
            setp.lt.s32 %p0, %r0, 3;
            @%p0 bra ROUND;
            """);
        using var closed = new PtxMachine(Loop("bar.sync 0;"));
        Finds(null, () => closed.Launch(3, 64, 0, 0, 0));
        using var open = new PtxMachine(Loop(""));
        Finds("race: reads shared memory", () => open.Launch(3, 64, 0, 0, 0));
    }

    [TestCase("7", null)]
    [TestCase("%t", "race: writes shared memory at byte 0 of tile")]
    public void LanesOfOneStoreMayWriteTheSameValue(string value, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Tile} mov.u32 %r0, {value}; st.shared.u32 [tile], %r0; bar.sync 0; ld.shared.u32 %r1, [tile];"));
        Finds(finding, () => machine.Launch(1, 32, 0, 0, 0));
    }

    [TestCase("st.shared.v4.u32 [%l3], {%t, %t, %t, %t}", null)]
    [TestCase("st.shared.v2.u32 [%l3+8], {%t, %t}; st.shared.v2.u32 [%l4], {%t, %t}", "race: writes shared memory at byte 24 of tile")]
    public void VectorsOfSharedMemoryThatOverlap(string store, string? finding)
    {
        // %l3: 16 bytes of the thread's own; %l4: the second half of its neighbour's.
        using var machine = new PtxMachine(PtxMachine.Kernel($"""
            {Tile}
            mul.wide.u32 %l5, %t, 16; add.s64 %l3, %l0, %l5; add.s64 %l4, %l3, 24;
            {store};
            """));
        Finds(finding, () => machine.Launch(1, 32, 0, 0, 0));
    }

    [TestCase("mov.u32 %r0, %ctaid.x;", null)]
    [TestCase("mov.u32 %r0, 0;", "of block (0, 0, 0) writes in the same launch")]
    public void TwoBlocksWriteOneWord(string place, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{place} mad.lo.s32 %r0, %r0, 32, %t; mul.wide.s32 %l0, %r0, 4; add.s64 %l1, %l0, %b; st.global.u32 [%l1], %t;"));
        var b = machine.Allocate(4 * 64, Access.Write);
        Finds(finding is null ? null : "race: writes", () => machine.Launch(2, 32, 0, b, 0));
        if (finding is not null)
        {
            Finds(finding, () => machine.Launch(2, 32, 0, b, 0), "block (1, 0, 0)");
        }
    }

    [TestCase("%ctaid.x", null, TestName = "A_block_reads_and_writes_its_own")]
    [TestCase("0", "race", TestName = "A_block_reads_what_another_writes")]
    public void ReadsAndWritesOfTwoBlocks(string read, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"""
            mov.u32 %r0, %ctaid.x; mul.wide.u32 %l0, %r0, 4; add.s64 %l1, %l0, %b;
            mov.u32 %r1, {read}; mul.wide.u32 %l2, %r1, 4; add.s64 %l3, %l2, %b;
            ld.global.u32 %r2, [%l3];
            st.global.u32 [%l1], %r2;
            """));
        var b = machine.Upload<int>(new int[4]);
        Finds(finding, () => machine.Launch(4, 1, 0, b, 0));
    }

    [Test]
    public void AWriteAfterAnotherBlocksRead()
    {
        // Block 1 and block 0 read word 0; block 2 writes it.
        using var machine = new PtxMachine(PtxMachine.Kernel("""
            mov.u32 %r0, %ctaid.x;
            setp.eq.s32 %p0, %r0, 2;
            @!%p0 ld.global.u32 %r1, [%b];
            @%p0 st.global.u32 [%b], %r0;
            """));
        var b = machine.Upload<int>(new int[4]);
        Finds(null, () => machine.Launch(2, 1, 0, b, 0));
        Finds("reads in the same launch", () => machine.Launch(3, 1, 0, b, 0), "block (2, 0, 0)");
    }

    [TestCase("atom.global.add.u32 %r0, [%b], 1;", null, TestName = "Atomics_of_all_blocks_pass")]
    [TestCase("atom.global.add.u32 %r0, [%b], 1; ld.global.u32 %r1, [%b];", "race: reads", TestName = "A_load_beside_atomics")]
    [TestCase("atom.global.add.u32 %r0, [%b], 1; st.global.u32 [%b], %n;", "race: writes", TestName = "A_store_beside_atomics")]
    public void Atomics(string body, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(body));
        var b = machine.Upload<int>([0]);
        Finds(finding, () => machine.Launch(3, 64, 0, b, 0));
    }

    [TestCase("bar.sync 0;", null)]
    [TestCase("", "of the same block writes with no bar.sync between")]
    public void ThreadsOfABlockPassSomethingThroughGlobalMemory(string between, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"""
            mul.wide.u32 %l0, %t, 4; add.s64 %l1, %l0, %b;
            st.global.u32 [%l1], %t;
            {between}
            sub.s32 %r0, %n, %t; mul.wide.u32 %l2, %r0, 4; add.s64 %l3, %l2, %b;
            setp.lt.s32 %p0, %t, 32;
            @!%p0 ld.global.u32 %r1, [%l3+-4];
            """));
        var b = machine.Allocate(4 * 64);
        Finds(finding, () => machine.Launch(1, 64, 0, b, 64));
    }

    [TestCase("ld.global", null)]
    [TestCase("ld.global.nc", "ld.global.nc")]
    public void TheReadOnlyCacheDoesNotSeeWhatTheLaunchStores(string load, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(
            $"mul.wide.u32 %l0, %t, 4; add.s64 %l1, %l0, %b; st.global.u32 [%l1], %t; {load}.u32 %r0, [%l1];"));
        var b = machine.Allocate(4 * 32);
        Finds(finding, () => machine.Launch(1, 32, 0, b, 0));
    }

    [TestCase("setp.lt.s32 %p0, %t, 40; @%p0 bar.sync 0;", "barrier under divergence")]
    [TestCase("setp.lt.s32 %p0, %t, 40; @!%p0 ret; bar.sync 0;", "that have returned")]
    [TestCase("setp.lt.s32 %p0, %t, 32; @!%p0 ret; bar.sync 0;", "barrier that not all reach")]
    [TestCase("setp.lt.s32 %p0, %t, 64; @%p0 bar.sync 0;", null)]
    [TestCase("bar.sync 0; setp.lt.s32 %p0, %t, 40; @!%p0 ret;", null)]
    public void BarriersThatSomeThreadsMiss(string body, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(body));
        Finds(finding, () => machine.Launch(1, 64, 0, 0, 0));
    }

    [TestCase("shfl.sync.bfly.b32 %r0, %t, 1, 31, 65535;", "mask", TestName = "A_lane_that_its_mask_does_not_name")]
    [TestCase("setp.lt.s32 %p0, %t, 16; @%p0 shfl.sync.bfly.b32 %r0, %t, 1, 31, -1;", "mask", TestName = "A_mask_that_names_absent_lanes")]
    [TestCase("setp.lt.s32 %p0, %t, 16; @%p0 shfl.sync.bfly.b32 %r0, %t, 1, 31, 65535;", null, TestName = "A_mask_of_those_that_are_there")]
    [TestCase("setp.lt.s32 %p0, %t, 16; @%p0 shfl.sync.bfly.b32 %r0, %t, 16, 31, 65535;", "reads lane 16", TestName = "A_shuffle_from_a_lane_that_is_not_there")]
    [TestCase("setp.lt.s32 %p0, %t, 16; @%p0 vote.sync.any.pred %p1, %p0, -1;", "mask", TestName = "A_vote_of_absent_lanes")]
    [TestCase("setp.lt.s32 %p0, %t, 16; @%p0 bar.warp.sync -1;", "mask", TestName = "A_barrier_of_absent_lanes")]
    [TestCase("setp.lt.s32 %p0, %t, 16; @%p0 bar.warp.sync 65535;", null, TestName = "A_barrier_of_half_a_warp")]
    public void Masks(string body, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(body));
        Finds(finding, () => machine.Launch(1, 32, 0, 0, 0));
    }
}
