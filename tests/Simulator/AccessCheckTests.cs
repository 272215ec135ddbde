using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>Bounds, alignment and never-written memory: each finding beside a near miss that is none.</summary>
internal sealed class AccessCheckTests
{
    // %l10 and %l11: the addresses of the thread's own word of a and of b.
    private const string Own = "mul.wide.u32 %l9, %t, 4; add.s64 %l10, %l9, %a; add.s64 %l11, %l9, %b;";

    [TestCase(32, null)]
    [TestCase(33, "thread (32, 0, 0)")]
    public void AStoreBeyondWhatTheLauncherDeclares(int threads, string? thread)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} st.global.u32 [%l11], %t;"));
        var b = machine.Allocate(4 * 32, Access.Write);
        // What lies beyond is memory of the same program: without the declaration nothing would be seen.
        _ = machine.Allocate(4 * 1024);
        Finds(thread is null ? null : $"out of bounds: writes 4 bytes", () => machine.Launch(1, threads, 0, b, 0), thread);
    }

    [Test]
    public void AMessageNamesKernelBlockThreadAndLine()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel("""
            mov.u32 %r0, %ctaid.x;
            mov.u32 %r1, %tid.y;
            setp.ne.s32 %p0, %r0, 2;
            @%p0 ret;
            setp.ne.s32 %p1, %r1, 3;
            @%p1 ret;
            .loc 1 123 4
            st.global.u32 [%b+400], %t;
            """));
        var b = machine.Allocate(400);
        var message = Assert.Throws<SimulationException>(() => machine.Launch("k", new Dim3(4, 1, 1), new Dim3(8, 4, 1), 0, (nint)0, b, 0))!.Message;
        Assert.That(message, Does.StartWith("kernel k, block (2, 0, 0), thread (0, 3, 0), kernels.ptx:"));
        Assert.That(message, Does.Contain("(kernels.cu:123): out of bounds"));
    }

    [TestCase(Access.ReadWrite, null)]
    [TestCase(Access.Read, "declares as only read")]
    public void AStoreWhereOnlyReadingIsDeclared(Access access, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} st.global.u32 [%l11], %t;"));
        var b = machine.Upload<int>(new int[32], access);
        Finds(finding, () => machine.Launch(1, 32, 0, b, 0));
    }

    [TestCase(32, null)]
    [TestCase(33, "past the end of an allocation")]
    public void WithoutADeclarationLiveMemoryIsTheBound(int threads, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} st.global.u32 [%l11], %t;")) { Declares = false };
        var b = machine.Allocate(4 * 32);
        Finds(finding, () => machine.Launch(1, threads, 0, b, 0));
    }

    [Test]
    public void ANullPointer()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} st.global.u32 [%l11], %t;"));
        Finds("null pointer", () => machine.Launch(1, 1, 0, 0, 0));
    }

    [TestCase(16, null)]
    [TestCase(8, "misaligned: reads 16 bytes")]
    public void AVectorAtAnAddressThatIsNoMultipleOfItsSize(int offset, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel("ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%a];"));
        var a = machine.Upload<float>(new float[32], Access.Read);
        Finds(finding, () => machine.Launch(1, 32, a + offset, 0, 0));
    }

    [TestCase(0, null)]
    [TestCase(2, "misaligned: writes 4 bytes of shared memory")]
    public void AMisalignedWordOfSharedMemory(int offset, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(
            $".shared .align 4 .b8 tile[256]; mov.u64 %l0, tile; mul.wide.u32 %l9, %t, 4; add.s64 %l1, %l0, %l9; st.shared.u32 [%l1+{offset}], %t;"));
        Finds(finding, () => machine.Launch(1, 32, 0, 0, 0));
    }

    [TestCase(false, null)]
    [TestCase(true, "never written")]
    public void ALoadOfWhatNobodyWrote(bool fresh, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} ld.global.u32 %r0, [%l10];"));
        var a = fresh ? machine.Allocate(128, Access.Read) : machine.Upload<int>(new int[32], Access.Read);
        Finds(finding, () => machine.Launch(1, 32, a, 0, 0));
    }

    [TestCase(3, "never written")]
    [TestCase(2, null)]
    public void SingleBytesAreToldApart(int at, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"st.global.u16 [%b], %t; st.global.u8 [%b+2], %t; ld.global.u8 %r0, [%b+{at}];"));
        var b = machine.Allocate(4);
        Finds(finding, () => machine.Launch(1, 1, 0, b, 0));
    }

    [Test]
    public void WhatALaunchWritesTheNextMayRead()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(
            $"{Own} setp.eq.s32 %p0, %n, 0; @%p0 st.global.u32 [%l11], %t; @!%p0 ld.global.nc.u32 %r0, [%l11];"));
        var b = machine.Allocate(128);
        Finds("never written", () => machine.Launch(1, 32, 0, b, 1));
        Finds(null, () => machine.Launch(1, 32, 0, b, 0));
        Finds(null, () => machine.Launch(1, 32, 0, b, 1));
    }

    [Test]
    public void MemoryThatThePoolHasBack()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} ld.global.u32 %r0, [%l10];"));
        var a = machine.Upload<int>(new int[32]);
        Finds(null, () => machine.Launch(1, 32, a, 0, 0));
        machine.Memory.MarkReturned(a + 64, 64);
        Finds("given back", () => machine.Launch(1, 32, a, 0, 0), "thread (16, 0, 0)");
        machine.Memory.MarkRented(a + 64, 64);
        Finds("never written", () => machine.Launch(1, 32, a, 0, 0), "thread (16, 0, 0)");
    }

    [Test]
    public void MemoryThatIsFreedAndDeclaredAllTheSame()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel("ret;"));
        var a = machine.Upload<int>(new int[32]);
        Assert.That(machine.Memory.Free(a));
        Finds("not all allocated", () => machine.Launch(1, 32, 0, 0, 0));
    }

    [TestCase(64, null)]
    [TestCase(65, "out of bounds")]
    public void StaticSharedMemoryEndsWhereItsVariableEnds(int threads, string? finding)
    {
        // The second variable lies behind the first: an overrun must not pass as an access to it.
        using var machine = new PtxMachine(PtxMachine.Kernel("""
            .shared .align 4 .b8 first[256];
            .shared .align 4 .b8 second[256];
            mov.u64 %l0, first; mov.u64 %l1, second; mul.wide.u32 %l9, %t, 4; add.s64 %l2, %l0, %l9;
            st.shared.u32 [%l2], %t;
            """));
        Finds(finding, () => machine.Launch(1, threads, 0, 0, 0));
    }

    [TestCase(256, null)]
    [TestCase(252, "out of bounds: writes 4 bytes of shared memory")]
    public void DynamicSharedMemoryEndsWhereTheLaunchSays(int bytes, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel(
            "mov.u64 %l0, dyn; mul.wide.u32 %l9, %t, 4; add.s64 %l2, %l0, %l9; st.shared.u32 [%l2], %t;", ".extern .shared .align 16 .b8 dyn[];"));
        Finds(finding, () => machine.Launch(1, 64, 0, 0, 0, bytes));
    }

    [TestCase(0, null)]
    [TestCase(4, "reads shared memory at byte 128 of tile, which was never written")]
    public void SharedMemoryThatNobodyWroteInThisBlock(int shift, string? finding)
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($$"""
            .shared .align 4 .b8 tile[256];
            mov.u64 %l0, tile; mul.wide.u32 %l9, %t, 4; add.s64 %l2, %l0, %l9;
            st.shared.u32 [%l2], %t;
            bar.sync 0;
            ld.shared.u32 %r0, [%l2+{{shift}}];
            """));
        Finds(finding, () => machine.Launch(2, 32, 0, 0, 0));
    }

    [Test]
    public void WithoutChecksNothingIsFound()
    {
        using var machine = new PtxMachine(PtxMachine.Kernel($"{Own} ld.global.u32 %r0, [%l10];"), new SimulatorOptions { Checks = false, Threads = 1 });
        var a = machine.Allocate(128);
        Finds(null, () => machine.Launch(1, 32, a, 0, 0));
    }

    /// <summary>The launch gives a finding with these words, or (null) none.</summary>
    internal static void Finds(string? finding, Action launch, string? place = null)
    {
        if (finding is null)
        {
            Assert.That(() => launch(), Throws.Nothing);
            return;
        }
        var message = Assert.Throws<SimulationException>(() => launch())!.Message;
        Assert.That(message, Does.Contain(finding).And.Contain(place ?? ""));
    }
}
