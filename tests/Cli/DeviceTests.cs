using TinyDpo.Cli;

namespace TinyDpo.Tests;

/// <summary>--device and what goes with it.</summary>
internal sealed class DeviceTests
{
    private TemporaryFolder _folder = null!;
    private string _workload = null!;

    [OneTimeSetUp]
    public void WriteWorkload()
    {
        _folder = new TemporaryFolder();
        File.WriteAllText(_workload = _folder.File("workload.json"), TinyWorkload.Json);
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

#if DOUBLE
    [TestCase("bench step W --device cuda")]
    [TestCase("bench step W --device sim")]
    [TestCase("profile W")]
    public void ADoubleBuildHasTheProcessorAlone(string args) =>
        CommandLineRun.Of(Words(args)).AssertFails(CommandLine.BadUsage, "single precision", "double build", "--help");
#else
    [Test]
    public void NoCardIsOneLine()
    {
        if (TinyDpo.Kernels.CudaProbe.Native().Reason is null)
        {
            Assert.Ignore("this machine has a card");
        }
        CommandLineRun.Of(Words("bench step W --device cuda")).AssertFails(CommandLine.Failure, "driver");
    }
#endif

    [TestCase("bench step W --tf32")]
    [TestCase("oracle W O OUT --tf32 --device cpu")]
    public void Tf32IsRefusedWhereItHasNoEffect(string args) => CommandLineRun.Of(Words(args)).AssertFails(CommandLine.BadUsage, "--tf32", "--device cpu");

    private string[] Words(string args) => [.. args.Split(' ').Select(word => word == "W" ? _workload : word)];
}
