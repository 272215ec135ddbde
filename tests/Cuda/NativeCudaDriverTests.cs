using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>Through LibraryImport into C: every argument arrives as sent, every output and result comes back.</summary>
public class NativeCudaDriverTests : StubTests
{
    [Test]
    public void EveryArgumentArrivesAndEveryOutputComesBack() => EngineCopy.Run(StubFolder, static folder =>
    {
        using var stub = new StubSession(folder);
        using var driver = new NativeCudaDriver();
        Assert.Multiple(() =>
        {
            foreach (var call in NativeCall.All)
            {
                Assert.That(call.Make(driver), Is.EqualTo((0, call.Outputs)), call.Recorded);
                Assert.That(stub.Calls(), Is.EqualTo(new[] { call.Recorded }));
            }
        });
    });

    [Test]
    public void EveryResultComesBack() => EngineCopy.Run(StubFolder, static folder =>
    {
        using var stub = new StubSession(folder);
        using var driver = new NativeCudaDriver();
        _ = driver.cublasCreate(out _);
        Assert.Multiple(() =>
        {
            foreach (var (call, i) in NativeCall.All.Select(static (c, i) => (c, i)))
            {
                stub.Fail(call.EntryPoint, 700 + i);
                Assert.That(call.Make(driver).Result, Is.EqualTo(700 + i), call.EntryPoint);
            }
        });
    });

    [Test]
    public void NoCallIsLeftOut() => Assert.That(
        NativeCall.All.Select(static call => call.Method),
        Is.EquivalentTo(typeof(ICudaDriver).GetMethods().Where(static m => !m.IsSpecialName).Select(static m => m.Name)));
}
