using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

public unsafe class SimulatedLaunchTests
{
    private const int FunctionMaxDynamicSharedBytes = 8;

    [Test]
    public void ALaunchRunsInTheOrderOfItsStream()
    {
        using var card = new TestCard();
        var (device, put) = (card.Allocate(100), card.Put());
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 100, card.Stream));
        TestCard.Ok(card.LaunchPut(put, device, 3, 70));
        var values = card.Download(device, 100);
        Assert.That(values, Is.EqualTo(Enumerable.Range(0, 100).Select(static i => i < 70 ? 3f : 0)));
    }

    [Test]
    public void ParametersAreTakenAtTheCall()
    {
        using var card = new TestCard();
        var (device, put) = (card.Allocate(2), card.Put());
        var (value, n) = (1f, 2);
        void** parameters = stackalloc void*[] { &device, &value, &n };
        TestCard.Ok(card.Driver.cuLaunchKernel(put, 1, 1, 1, 32, 1, 1, 0, card.Stream, parameters, null));
        (value, n) = (5, 1);
        Assert.That(card.Download(device, 2), Is.EqualTo(new[] { 1f, 1 }));
    }

    [TestCase(0u, 1u, 1u, 32u, 1u, 1u, 1)]
    [TestCase(1u, 65536u, 1u, 32u, 1u, 1u, 1)]
    [TestCase(1u, 1u, 65536u, 32u, 1u, 1u, 1)]
    [TestCase(1u, 1u, 1u, 0u, 1u, 1u, 1)]
    [TestCase(1u, 1u, 1u, 1025u, 1u, 1u, 1)]
    [TestCase(1u, 1u, 1u, 1u, 1u, 65u, 1)]
    [TestCase(1u, 1u, 1u, 64u, 32u, 1u, 1)]
    [TestCase(1u, 1u, 1u, 65u, 1u, 1u, 701)]
    [TestCase(1u, 1u, 1u, 16u, 2u, 2u, 0)]
    public void ShapesHaveLimits(uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, int code)
    {
        using var card = new TestCard();
        var (device, put) = (card.Allocate(64), card.Put());
        var (value, n) = (1f, 0);
        void** parameters = stackalloc void*[] { &device, &value, &n };
        Assert.That(card.Driver.cuLaunchKernel(put, gridX, gridY, gridZ, blockX, blockY, blockZ, 0, card.Stream, parameters, null), Is.EqualTo(code));
        Assert.That(card.Driver.WhyRefused, code == 0 ? Is.Null : Is.Not.Null);
    }

    [Test]
    public void SharedMemoryBeyond48KiBMustBeAskedForAndEndsAtTheCardsLimit()
    {
        using var card = new TestCard();
        var (device, put) = (card.Allocate(8), card.Put());
        var (ordinary, most) = ((48 * 1024) - TestCard.PutSharedBytes, (64 * 1024) - TestCard.PutSharedBytes);
        Assert.Multiple(() =>
        {
            Assert.That(card.LaunchPut(put, device, 1, 8, sharedBytes: ordinary), Is.Zero, "static and dynamic together have 48 KiB");
            Assert.That(card.LaunchPut(put, device, 1, 8, sharedBytes: ordinary + 4), Is.EqualTo(1));
            Assert.That(card.Driver.WhyRefused, Does.Contain($"{ordinary + 4} bytes").And.Contain($"{ordinary} are allowed"));
            Assert.That(card.Driver.cuFuncSetAttribute(put, FunctionMaxDynamicSharedBytes, (int)most + 4), Is.EqualTo(1));
            Assert.That(card.Driver.cuFuncSetAttribute(put, FunctionMaxDynamicSharedBytes, (int)most), Is.Zero);
            Assert.That(card.LaunchPut(put, device, 1, 8, sharedBytes: most), Is.Zero);
            Assert.That(card.Driver.cuFuncSetAttribute(put, 4711, 0), Is.EqualTo(1));
        });
    }

    [Test]
    public void ParametersMustBeThere()
    {
        using var card = new TestCard();
        var put = card.Put();
        Assert.That(card.Driver.cuLaunchKernel(put, 1, 1, 1, 32, 1, 1, 0, card.Stream, null, null), Is.EqualTo(1));
        Assert.That(card.Driver.cuLaunchKernel(card.Stream, 1, 1, 1, 32, 1, 1, 0, card.Stream, null, null), Is.EqualTo(400), "no kernel");
    }

    [Test]
    public void AnnouncedExtentsBoundTheNextLaunchAlone()
    {
        using var card = new TestCard();
        var (device, put) = (card.Allocate(64), card.Put());
        card.Driver.BeforeLaunch([new PointerExtent(device, 40, Access.Write, 0, 40)]);
        TestCard.Ok(card.LaunchPut(put, device, 1, 10));
        TestCard.Ok(card.LaunchPut(put, device, 1, 11));
        Assert.DoesNotThrow(card.Synchronise, "within the first, and none for the second");
        card.Driver.BeforeLaunch([new PointerExtent(device, 40, Access.Write, 0, 40)]);
        TestCard.Ok(card.LaunchPut(put, device, 1, 11));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>().With.Message.Contains("put"));
    }

    [Test]
    public void MemoryOfAnUnfinishedLaunchIsNotFreed([Values] bool announced)
    {
        using var card = new TestCard();
        TestCard.Ok(card.Driver.cuMemAlloc(out var device, 64));
        var put = card.Put();
        if (announced)
        {
            card.Driver.BeforeLaunch([new PointerExtent(device + 32, 32, Access.Write, 0, 32)]);
        }
        TestCard.Ok(card.LaunchPut(put, device + 32, 1, 8));
        Assert.That(() => card.Driver.cuMemFree(device), Throws.TypeOf<SimulationException>().With.Message.Contains("kernel put"));
    }

    [Test]
    public void LaunchesAreCountedByKernel()
    {
        using var card = new TestCard(new SimulatorOptions { Counters = true, Threads = 1 });
        var (device, put) = (card.Allocate(64), card.Put());
        TestCard.Ok(card.LaunchPut(put, device, 1, 64));
        TestCard.Ok(card.LaunchPut(put, device, 1, 32));
        Assert.That(card.Driver.Counters, Is.Empty, "nothing has run");
        card.Synchronise();
        var cost = card.Driver.Counters.Single();
        Assert.That((cost.Kernel, cost.Launches, cost.WrittenBytes), Is.EqualTo(("put", 2L, 4L * 96)));
        card.Driver.ResetCounters();
        Assert.That(card.Driver.Counters, Is.Empty);
    }
}
