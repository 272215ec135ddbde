using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

public unsafe class SimulatedContextTests
{
    [Test]
    public void NothingWorksBeforeInit()
    {
        using var driver = new SimulatedCudaDriver();
        Assert.Multiple(() =>
        {
            Assert.That(driver.cuDeviceGetCount(out _), Is.EqualTo(3));
            Assert.That(driver.cuDevicePrimaryCtxRetain(out _, 0), Is.EqualTo(3));
            Assert.That(driver.cuMemAlloc(out _, 16), Is.EqualTo(3));
            Assert.That(driver.cublasCreate(out _), Is.EqualTo(1));
        });
    }

    [Test]
    public void CallsNeedACurrentContext()
    {
        using var driver = new SimulatedCudaDriver();
        TestCard.Ok(driver.cuInit(0));
        Assert.That(driver.cuMemAlloc(out _, 16), Is.EqualTo(201));
        Assert.That(driver.WhyRefused, Does.Contain("this thread"));
        Assert.That(driver.cuCtxSetCurrent(0x77), Is.EqualTo(201), "not a context");
    }

    [Test]
    public void EachThreadNeedsItsOwnCurrentContext()
    {
        using var card = new TestCard();
        var (before, after) = (-1, -1);
        var thread = new Thread(() =>
        {
            before = card.Driver.cuStreamSynchronize(card.Stream);
            TestCard.Ok(card.Driver.cuCtxSetCurrent(card.Context));
            after = card.Driver.cuStreamSynchronize(card.Stream);
        });
        thread.Start();
        thread.Join();
        Assert.That(before, Is.EqualTo(201));
        Assert.That(after, Is.Zero);
    }

    [Test]
    public void AReleasedContextIsGone()
    {
        using var driver = new SimulatedCudaDriver();
        TestCard.Ok(driver.cuInit(0));
        TestCard.Ok(driver.cuDevicePrimaryCtxRetain(out var context, 0));
        TestCard.Ok(driver.cuDevicePrimaryCtxRetain(out var again, 0));
        Assert.That(again, Is.EqualTo(context), "one context a device");
        TestCard.Ok(driver.cuCtxSetCurrent(context));
        TestCard.Ok(driver.cuDevicePrimaryCtxRelease(0));
        Assert.That(driver.cuStreamSynchronize(0), Is.Zero, "one user is left");
        TestCard.Ok(driver.cuDevicePrimaryCtxRelease(0));
        Assert.That(driver.cuStreamSynchronize(0), Is.EqualTo(709));
        Assert.That(driver.cuDevicePrimaryCtxRelease(0), Is.EqualTo(201), "nobody has it");
    }

    [Test]
    public void ErrorsHaveCudasNames()
    {
        using var card = new TestCard();
        Assert.Multiple(() =>
        {
            Assert.That(card.NameOf(0), Is.EqualTo("CUDA_SUCCESS"));
            Assert.That(card.NameOf(2), Is.EqualTo("CUDA_ERROR_OUT_OF_MEMORY"));
            Assert.That(card.NameOf(218), Is.EqualTo("CUDA_ERROR_INVALID_PTX"));
            Assert.That(card.Driver.cuGetErrorString(2, out var text), Is.Zero);
            Assert.That(System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)text), Is.EqualTo("out of memory"));
            Assert.That(card.Driver.cuGetErrorName(4711, out var none), Is.EqualTo(1));
            Assert.That(none == null);
        });
    }

    [Test]
    public void TheDeviceDescribesItself()
    {
        using var card = new TestCard();
        Assert.Multiple(() =>
        {
            Assert.That(card.Driver.cuDeviceGet(out _, 1), Is.EqualTo(101));
            Assert.That(Attribute(75) * 10 + Attribute(76), Is.EqualTo(75));
            Assert.That(Attribute(97), Is.EqualTo(64 * 1024));
            Assert.That(card.Driver.cuDeviceGetAttribute(out _, 4711, 0), Is.EqualTo(1));
            var name = stackalloc byte[8];
            Assert.That(card.Driver.cuDeviceGetName(name, 8, 0), Is.Zero);
            Assert.That(System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)name), Is.EqualTo("TinyDpo"), "cut to what fits, NUL included");
        });

        int Attribute(int attribute)
        {
            TestCard.Ok(card.Driver.cuDeviceGetAttribute(out var value, attribute, 0));
            return value;
        }
    }

    [Test]
    public void WhatNobodyReleasedIsReportedAtTheEnd()
    {
        var driver = new SimulatedCudaDriver();
        TestCard.Ok(driver.cuInit(0));
        TestCard.Ok(driver.cuDevicePrimaryCtxRetain(out var context, 0));
        TestCard.Ok(driver.cuCtxSetCurrent(context));
        TestCard.Ok(driver.cuMemAlloc(out _, 4000));
        TestCard.Ok(driver.cuMemAllocHost(out _, 100));
        TestCard.Ok(driver.cuStreamCreate(out _, 0));
        TestCard.Ok(driver.cuEventCreate(out _, 0));
        TestCard.Ok(driver.cublasCreate(out _));
        var report = Assert.Throws<SimulationException>(driver.Dispose)!.Message;
        foreach (var what in new[] { "1 device allocations of 4000 bytes", "1 page-locked blocks of 100 bytes", "1 streams", "1 events", "1 cuBLAS", "1 uses of the context" })
        {
            Assert.That(report, Does.Contain(what));
        }
        Assert.DoesNotThrow(driver.Dispose, "once is enough");
    }
}
