#if !DOUBLE
using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Simulator;

namespace TinyDpo.Tests;

internal sealed class ProfileCommandTests
{
    private static readonly string[] s_keys =
    [
        "kernel", "launches", "warp_instructions", "read_bytes", "written_bytes", "of_fewest_bytes", "sectors_per_request", "sectors_per_needed",
        "shared_requests", "bank_conflicts", "divergent_branches", "atomics", "flops", "estimate_us", "limit", "simulator_rate", "simulator_rate_bare",
    ];

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

    [Test]
    public void JsonHasALineAKernelAndOneForAll()
    {
        var lines = CommandLineRun.Of("profile", _workload, "--json").Succeeded().Lines.Select(static line => JsonElement.Parse(line)).ToList();
        var rows = lines[..^1];
        Assert.Multiple(() =>
        {
            foreach (var row in rows)
            {
                Assert.That(row.EnumerateObject().Select(static p => p.Name), Is.EqualTo(s_keys));
            }
            var products = rows.Where(static r => Name(r).StartsWith("sgemm ", StringComparison.Ordinal)).ToList();
            Assert.That(products, Is.Not.Empty);
            Assert.That(products.Select(static r => r.GetProperty("flops").GetInt64()), Is.All.GreaterThan(0));
            var kernels = rows.Except(products).ToList();
            Assert.That(kernels.Select(Name), Does.Contain("adamw").IgnoreCase.Or.Some.Contains("adam"));
            Assert.That(kernels.Select(static r => r.GetProperty("simulator_rate_bare").GetDouble()), Is.All.GreaterThan(0));
            var sum = rows.Sum(static r => r.GetProperty("estimate_us").GetDouble());
            Assert.That(lines[^1].GetProperty("estimate_us_per_step").GetDouble(), Is.EqualTo(sum).Within(1e-9));
            Assert.That(lines[^1].GetProperty("gpu").GetString(), Is.EqualTo("T4"));
        });

        static string Name(JsonElement row) => row.GetProperty("kernel").GetString()!;
    }

    [Test]
    public void StepsAreCountedAndTheirWorkIsTheSame()
    {
        var one = Launches("1");
        Assert.That(Launches("2"), Is.EqualTo(one.Select(static k => (k.Kernel, 2 * k.Launches))));

        List<(string Kernel, long Launches)> Launches(string steps) =>
            [.. CommandLineRun.Of("profile", _workload, "--json", "--no-checks", "--steps", steps).Succeeded().Lines[..^1]
                .Select(static line => JsonElement.Parse(line)).Select(static r => (r.GetProperty("kernel").GetString()!, r.GetProperty("launches").GetInt64()))
                .Order()];
    }

    [Test]
    public void TheTableSaysWhatIsEstimated()
    {
        var run = CommandLineRun.Of("profile", _workload, "--gpu", "H100", "--kernel", "SGEMM").Succeeded();
        Assert.That(run.Output, Does.Contain("| kernel ").And.Contain("| sgemm NT ").And.Contain("3350 GB/s").And.Contain("An estimate"));
        Assert.That(run.Lines.Where(static line => line.StartsWith('|')).Skip(2), Is.All.StartWith("| sgemm"), "only what was asked for");
    }

    [Test]
    public void AKernelThatDoesNotRunIsOneLine() =>
        CommandLineRun.Of("profile", _workload, "--no-checks", "--kernel", "nope").AssertFails(CommandLine.Failure, "'nope'", "sgemm");

    [Test]
    public void EveryCardCanBeNamed()
    {
        foreach (var gpu in GpuModel.All)
        {
            Assert.That(CommandLineRun.Of("profile", _workload + ".none", "--gpu", gpu.Name).ExitCode, Is.EqualTo(CommandLine.Failure), gpu.Name);
        }
        CommandLineRun.Of("profile", _workload, "--gpu", "K80").AssertFails(CommandLine.BadUsage, "--gpu", "T4, A100, H100, RTX4090");
    }
}
#endif
