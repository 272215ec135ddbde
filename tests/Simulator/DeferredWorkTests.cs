using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>Copies, fills and their order: a missing wait shows.</summary>
public unsafe class DeferredWorkTests
{
    [Test]
    public void ADownloadIsPoisonUntilItIsWaitedFor()
    {
        using var card = new TestCard();
        var device = card.Upload(1, 2, 3);
        var host = card.Pinned(4);
        (host[0], host[3]) = (7, 7);
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, device, 3 * sizeof(float), card.Stream));
        Assert.That(new Span<float>(host, 4).ToArray(), Is.EqualTo(new[] { float.NaN, float.NaN, float.NaN, 7 }));
        card.Synchronise();
        Assert.That(new Span<float>(host, 4).ToArray(), Is.EqualTo(new[] { 1f, 2, 3, 7 }));
    }

    [Test]
    public void ASourceThatChangesBeforeTheWaitIsFound()
    {
        using var card = new TestCard();
        var device = card.Allocate(4);
        var host = card.Pinned(4);
        new Span<float>(host, 4).Fill(1);
        TestCard.Ok(card.Driver.cuMemcpyHtoDAsync(device, host, 4 * sizeof(float), card.Stream));
        host[2] = 5;
        Finds(card, "overlapping host buffer", "cuMemcpyHtoDAsync", "byte 10 ");
    }

    [Test]
    public void ATargetThatChangesBeforeTheWaitIsFound()
    {
        using var card = new TestCard();
        var device = card.Upload(1, 2, 3, 4);
        var host = card.Pinned(4);
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, device, 4 * sizeof(float), card.Stream));
        host[1] = 5;
        Finds(card, "overlapping host buffer", "cuMemcpyDtoHAsync");
    }

    [Test]
    public void ABounceThroughTheSameHostMemoryInOneStreamIsFine()
    {
        using var card = new TestCard();
        var (from, to) = (card.Upload(1, 2), card.Allocate(2));
        var host = card.Pinned(2);
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, from, 8, card.Stream));
        TestCard.Ok(card.Driver.cuMemcpyHtoDAsync(to, host, 8, card.Stream));
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, from, 8, card.Stream));
        Assert.That(card.Download(to, 2), Is.EqualTo(new[] { 1f, 2 }));
    }

    [Test]
    public void TheSameHostMemoryInTwoStreamsIsFound()
    {
        using var card = new TestCard();
        var (from, to) = (card.Upload(1, 2), card.Allocate(2));
        var host = card.Pinned(2);
        var other = card.NewStream();
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, from, 8, card.Stream));
        Assert.That(() => card.Driver.cuMemcpyHtoDAsync(to, host, 8, other), Throws.TypeOf<SimulationException>().With.Message.Contains("another stream"));
    }

    [Test]
    public void OnlyPageLockedMemoryIsCopied([Values] bool upload)
    {
        using var card = new TestCard();
        var device = card.Upload(1, 2);
        var host = stackalloc float[2];
        host[0] = host[1] = 0;
        var address = (nint)host;
        var error = Assert.Throws<SimulationException>(() => _ = upload
            ? card.Driver.cuMemcpyHtoDAsync(device, (void*)address, 8, card.Stream)
            : card.Driver.cuMemcpyDtoHAsync((void*)address, device, 8, card.Stream))!;
        Assert.That(error.Message, Does.Contain("cuMemAllocHost"));
    }

    [Test]
    public void ACopyPastTheEndOfAPageLockedBlockIsFound()
    {
        using var card = new TestCard();
        var device = card.Allocate(8);
        var host = (nint)card.Pinned(4);
        var error = Assert.Throws<SimulationException>(() => card.Driver.cuMemcpyHtoDAsync(device, (void*)host, 20, card.Stream))!;
        Assert.That(error.Message, Does.Contain("20 bytes"));
    }

    [Test]
    public void ReadingWhatNobodyWroteIsFound()
    {
        using var card = new TestCard();
        var (from, to) = (card.Allocate(4), card.Allocate(4));
        TestCard.Ok(card.Driver.cuMemsetD32Async(from, 0, 3, card.Stream));
        TestCard.Ok(card.Driver.cuMemcpyDtoDAsync(to, from, 16, card.Stream));
        Finds(card, "cuMemcpyDtoDAsync");
    }

    [Test]
    public void WritingPastTheEndIsFound([Values("copy up", "copy", "fill")] string which)
    {
        using var card = new TestCard();
        var (from, to) = (card.Upload(new float[300]), card.Allocate(260));
        var host = card.Pinned(300);
        TestCard.Ok(which switch
        {
            "copy up" => card.Driver.cuMemcpyHtoDAsync(to, host, 1044, card.Stream),
            "copy" => card.Driver.cuMemcpyDtoDAsync(to, from, 1044, card.Stream),
            _ => card.Driver.cuMemsetD32Async(to, 0, 261, card.Stream),
        });
        Finds(card);
    }

    [Test]
    public void CopiesAndFillsDoWhatTheySay()
    {
        using var card = new TestCard();
        var (from, to) = (card.Upload(1, 2, 3, 4), card.Allocate(4));
        TestCard.Ok(card.Driver.cuMemsetD32Async(to, BitConverter.SingleToUInt32Bits(9), 4, card.Stream));
        TestCard.Ok(card.Driver.cuMemcpyDtoDAsync(to + 4, from, 8, card.Stream));
        Assert.That(card.Download(to, 4), Is.EqualTo(new[] { 9f, 1, 2, 9 }));
        Assert.That(card.Driver.cuMemsetD32Async(to + 2, 0, 1, card.Stream), Is.EqualTo(1), "not aligned");
    }

    [Test]
    public void AnOverlappingDeviceCopyIsFound()
    {
        using var card = new TestCard();
        var device = card.Upload(1, 2, 3, 4);
        Assert.That(() => card.Driver.cuMemcpyDtoDAsync(device + 4, device, 12, card.Stream), Throws.TypeOf<SimulationException>());
    }

    [Test]
    public void WaitingForOneStreamDoesNotRunAnother()
    {
        using var card = new TestCard();
        var device = card.Allocate(2);
        var other = card.NewStream();
        var host = card.Pinned(2);
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 2, other));
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, device, 8, card.Stream));
        Finds(card, "cuMemcpyDtoHAsync");
    }

    [Test]
    public void AnEventIsWaitedForAndNothingBehindIt()
    {
        using var card = new TestCard();
        var device = card.Upload(1, 2);
        var (first, second, point) = ((nint)card.Pinned(1), (nint)card.Pinned(1), card.NewEvent());
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync((void*)first, device, 4, card.Stream));
        TestCard.Ok(card.Driver.cuEventRecord(point, card.Stream));
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync((void*)second, device + 4, 4, card.Stream));
        TestCard.Ok(card.Driver.cuEventSynchronize(point));
        Assert.That(*(float*)first, Is.EqualTo(1));
        Assert.That(*(float*)second, Is.NaN);
    }

    [Test]
    public void EventsKeepTheTimeBetweenThem()
    {
        using var card = new TestCard();
        nint start = card.NewEvent(), end = card.NewEvent(), untimed = card.NewEvent(2);
        Assert.That(card.Driver.cuEventElapsedTime(out _, start, end), Is.EqualTo(400), "not recorded");
        foreach (var point in new[] { start, end, untimed })
        {
            TestCard.Ok(card.Driver.cuEventRecord(point, card.Stream));
        }
        Assert.That(card.Driver.cuEventElapsedTime(out _, start, end), Is.EqualTo(600), "not reached");
        card.Synchronise();
        TestCard.Ok(card.Driver.cuEventElapsedTime(out var milliseconds, start, end));
        Assert.That(milliseconds, Is.GreaterThanOrEqualTo(0));
        Assert.That(card.Driver.cuEventElapsedTime(out _, start, untimed), Is.EqualTo(400));
    }

    [Test]
    public void ABlockingStreamWaitsForTheDefaultStream()
    {
        using var card = new TestCard();
        var device = card.Allocate(2);
        var blocking = card.NewStream(flags: 0);
        var host = card.Pinned(2);
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 2, 0));
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, device, 8, blocking));
        TestCard.Ok(card.Driver.cuStreamSynchronize(blocking));
        Assert.That(host[1], Is.Zero);
    }

    [Test]
    public void TheDefaultStreamWaitsForABlockingStream()
    {
        using var card = new TestCard();
        var device = card.Allocate(2);
        var blocking = card.NewStream(flags: 0);
        var host = card.Pinned(2);
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 2, blocking));
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(host, device, 8, 0));
        TestCard.Ok(card.Driver.cuStreamSynchronize(0));
        Assert.That(host[1], Is.Zero);
    }

    [Test]
    public void WorkOfADestroyedStreamIsStillDone()
    {
        using var card = new TestCard();
        var device = card.Allocate(2);
        TestCard.Ok(card.Driver.cuStreamCreate(out var brief, 1));
        TestCard.Ok(card.Driver.cuMemsetD32Async(device, 0, 2, brief));
        TestCard.Ok(card.Driver.cuStreamDestroy(brief));
        TestCard.Ok(card.Driver.cuMemAlloc(out var other, 8));
        TestCard.Ok(card.Driver.cuMemFree(other));
        Assert.That(card.Download(device, 2), Is.EqualTo(new[] { 0f, 0 }), "cuMemFree waits for everything");
    }

    [Test]
    public void ADestroyedHandleIsNotUsed()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Driver.cuStreamCreate(out var brief, 1));
        TestCard.Ok(card.Driver.cuStreamDestroy(brief));
        Assert.That(card.Driver.cuStreamSynchronize(0x7777_7777), Is.EqualTo(400), "never was one");
        Assert.That(card.Driver.cuStreamSynchronize(card.NewEvent()), Is.EqualTo(400), "another kind");
        Assert.That(() => card.Driver.cuStreamSynchronize(brief), Throws.TypeOf<SimulationException>().With.Message.Contains("destroyed"));
    }

    [Test]
    public void AfterAnErrorOnlyReleasingWorks()
    {
        using var card = new TestCard();
        var device = card.Allocate(2);
        TestCard.Ok(card.Driver.cuMemcpyDtoHAsync(card.Pinned(2), device, 8, card.Stream));
        Finds(card);
        Assert.That(card.Driver.cuStreamSynchronize(card.Stream), Is.EqualTo(719));
        Assert.That(card.Driver.cuMemAlloc(out _, 16), Is.EqualTo(719));
        Assert.That(card.Driver.cuCtxSetCurrent(card.Context), Is.Zero);
    }

    private static void Finds(TestCard card, params string[] texts)
    {
        var error = Assert.Throws<SimulationException>(() => card.Driver.cuStreamSynchronize(card.Stream))!;
        foreach (var text in texts)
        {
            Assert.That(error.Message, Does.Contain(text));
        }
    }
}
