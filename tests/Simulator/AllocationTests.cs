using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>cuMemAlloc, cuMemFree and their page-locked kin.</summary>
public unsafe class AllocationTests
{
    [Test]
    public void NothingIsNoSize()
    {
        using var card = new TestCard();
        Assert.That(card.Driver.cuMemAlloc(out _, 0), Is.EqualTo(1));
        Assert.That(card.Driver.cuMemAllocHost(out _, 0), Is.EqualTo(1));
    }

    [Test]
    public void MemoryEnds()
    {
        using var card = new TestCard(new SimulatorOptions { MemoryBytes = 1 << 20, Threads = 1 });
        TestCard.Ok(card.Driver.cuMemAlloc(out var most, 1 << 19));
        TestCard.Ok(card.Driver.cuMemGetInfo(out var free, out var total));
        Assert.That((free, total), Is.EqualTo(((nuint)1 << 19, (nuint)1 << 20)));
        Assert.That(card.Driver.cuMemAlloc(out var none, (1 << 19) + 1), Is.EqualTo(2));
        Assert.That(none, Is.EqualTo((nint)0));
        Assert.That(card.Driver.WhyRefused, Does.Contain("524289 bytes"));
        TestCard.Ok(card.Driver.cuMemFree(most));
        TestCard.Ok(card.Driver.cuMemAlloc(out most, 1 << 20));
        TestCard.Ok(card.Driver.cuMemFree(most));
    }

    [Test]
    public void AnAddressThatNeverWasAllocatedIsNotFreed()
    {
        using var card = new TestCard();
        var device = card.Allocate(64);
        Assert.That(card.Driver.cuMemFree(device + 4), Is.EqualTo(1));
        Assert.That(card.Driver.cuMemFreeHost((nint)card.Pinned(4) + 4), Is.EqualTo(1));
    }

    [Test]
    public void FreeingTwiceIsFound()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Driver.cuMemAlloc(out var device, 64));
        TestCard.Ok(card.Driver.cuMemFree(device));
        Assert.That(() => card.Driver.cuMemFree(device), Throws.TypeOf<SimulationException>().With.Message.Contains("freed before"));
    }

    [Test]
    public void FreeingPageLockedMemoryTwiceIsFound()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Driver.cuMemAllocHost(out var host, 64));
        TestCard.Ok(card.Driver.cuMemFreeHost(host));
        Assert.That(() => card.Driver.cuMemFreeHost(host), Throws.TypeOf<SimulationException>().With.Message.Contains("freed before"));
    }

    [Test]
    public void FreeingMemoryInUseIsFound()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Driver.cuMemAlloc(out var device, 64));
        TestCard.Ok(card.Driver.cuMemsetD32Async(device + 32, 0, 8, card.Stream));
        Assert.That(
            () => card.Driver.cuMemFree(device), Throws.TypeOf<SimulationException>().With.Message.Contains("cuMemsetD32Async").And.Message.Contains("waited"));
    }

    [Test]
    public void FreeingPageLockedMemoryInUseIsFound()
    {
        using var card = new TestCard();
        var device = card.Allocate(16);
        TestCard.Ok(card.Driver.cuMemAllocHost(out var host, 64));
        TestCard.Ok(card.Driver.cuMemcpyHtoDAsync(device, (void*)host, 64, card.Stream));
        Assert.That(() => card.Driver.cuMemFreeHost(host), Throws.TypeOf<SimulationException>().With.Message.Contains("cuMemcpyHtoDAsync"));
    }

    [Test]
    public void FreedMemoryIsNotUsed()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Driver.cuMemAlloc(out var device, 64));
        TestCard.Ok(card.Driver.cuMemFree(device));
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 16, card.Stream));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>());
    }

    [Test]
    public void WhatThePoolTookBackIsNotUsed()
    {
        using var card = new TestCard();
        var device = card.Allocate(64);
        card.Driver.Rented(device, 100);
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 25, card.Stream));
        card.Driver.Returned(device, 256);
        card.Synchronise();
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 25, card.Stream));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>());
    }

    [Test]
    public void GivingBackCountsInTheOrderOfTheStream()
    {
        using var card = new TestCard();
        var device = card.Allocate(64);
        for (var i = 0; i < 3; i++)
        {
            card.Driver.Rented(device, 100);
            TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 25, card.Stream));
            card.Driver.Returned(device, 256);
        }
        Assert.DoesNotThrow(card.Synchronise);
    }

    [Test]
    public void WhatThePoolHandsOutAnewHoldsNothing()
    {
        using var card = new TestCard();
        var device = card.Upload(1, 2, 3, 4);
        card.Driver.Returned(device, 16);
        card.Driver.Rented(device, 16);
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(card.Pinned(4), device, 16, card.Stream));
        Assert.That(() => card.Driver.cuStreamSynchronize(card.Stream), Throws.TypeOf<SimulationException>());
    }
}
