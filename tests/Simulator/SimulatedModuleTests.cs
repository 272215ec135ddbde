using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

public unsafe class SimulatedModuleTests
{
    [TestCase(".version 6.3", ".version 9.9", 222)]
    [TestCase(".target sm_70", ".target sm_90", 209)]
    [TestCase(".version 6.3", "", 218)]
    [TestCase("%ctaid.x", "\u0001", 218)]
    public void WhatADriverRefusesHasItsCodeAndALog(string from, string to, int code)
    {
        using var card = new TestCard();
        Assert.That(card.Load(TestCard.Ptx.Replace(from, to, StringComparison.Ordinal), out var module, out var log), Is.EqualTo(code));
        Assert.That(module, Is.EqualTo((nint)0));
        Assert.That(log, Is.Not.Empty);
    }

    [Test]
    public void ALogIsCutToItsBuffer()
    {
        using var card = new TestCard();
        var image = ".version 9.9\n.target sm_70\0"u8;
        var log = stackalloc byte[] { 1, 2, 3, 4, 5, 6 };
        var options = stackalloc int[] { 6, 5 };
        var values = stackalloc void*[] { (void*)5, log };
        fixed (byte* text = image)
        {
            Assert.That(card.Driver.cuModuleLoadDataEx(out _, text, 2, options, values), Is.EqualTo(222));
        }
        Assert.That((log[4], log[5]), Is.EqualTo(((byte)0, (byte)6)));
        Assert.That((nint)values[0], Is.EqualTo((nint)5), "bytes written, the NUL too");
    }

    [Test]
    public void KernelsAreFoundByName()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Load(TestCard.Ptx, out var module, out _));
        Assert.That(card.GetFunction(module, "put", out var put), Is.Zero);
        Assert.That(card.GetFunction(module, "pat", out _), Is.EqualTo(500));
        Assert.That(card.GetFunction(put, "put", out _), Is.EqualTo(400), "no module");
        TestCard.Ok(card.Driver.cuModuleUnload(module));
    }

    /// <summary>A kernel is decoded when it is first asked for, as a driver with lazy loading does.</summary>
    [Test]
    public void AnUnknownOpcodeIsToldWhereItsKernelIsAskedFor()
    {
        using var card = new TestCard();
        TestCard.Ok(card.Load(TestCard.Ptx.Replace("st.global.f32", "st.globe.f32", StringComparison.Ordinal), out var module, out _));
        for (var ask = 0; ask < 2; ask++)
        {
            Assert.That(card.GetFunction(module, "put", out _), Is.EqualTo(218));
            Assert.That(card.Driver.WhyRefused, Does.Contain("kernel put, kernels.ptx:").And.Contain("globe"));
        }
        TestCard.Ok(card.Driver.cuModuleUnload(module));
    }

    [Test]
    public void AModuleWithAnUnfinishedLaunchIsNotUnloaded()
    {
        using var card = new TestCard();
        var device = card.Allocate(8);
        TestCard.Ok(card.Load(TestCard.Ptx, out var module, out _));
        TestCard.Ok(card.LaunchPut(card.Function(module, "put"), device, 1, 8));
        Assert.That(() => card.Driver.cuModuleUnload(module), Throws.TypeOf<SimulationException>().With.Message.Contains("kernel put"));
    }

    [Test]
    public void AKernelOfAnUnloadedModuleIsNotLaunched()
    {
        using var card = new TestCard();
        var device = card.Allocate(8);
        TestCard.Ok(card.Load(TestCard.Ptx, out var module, out _));
        var put = card.Function(module, "put");
        TestCard.Ok(card.Driver.cuModuleUnload(module));
        Assert.That(() => card.LaunchPut(put, device, 1, 8), Throws.TypeOf<SimulationException>().With.Message.Contains("unloaded module"));
    }
}
