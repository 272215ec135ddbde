using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

public class ProfileReportTests
{
    private static readonly GpuModel s_round = new("round", "none", BytesPerSecond: 1e9, Float: 1e12, Double: 1e10, Tf32: 4e12, Multiprocessors: 10, Clock: 1e9);

    [Test]
    public void TheLongestLimitIsTheTime()
    {
        var cost = new LaunchCounters { Kernel = "k", ReadSectors = 600, WriteSectors = 400 };
        Assert.That(s_round.Estimate(cost), Is.EqualTo(new TimeEstimate(32000 / 1e9, GpuLimit.Memory)));
        cost.Instructions[(int)InstructionClass.Integer] = 2_000_000;
        Assert.That(s_round.Estimate(cost), Is.EqualTo(new TimeEstimate(2e6 / 40e9, GpuLimit.Issue)), "four schedulers in ten multiprocessors");
        cost.Instructions[(int)InstructionClass.Float] = 2_000_000;
        Assert.That(s_round.Estimate(cost), Is.EqualTo(new TimeEstimate(2e6 * 64 / 1e12, GpuLimit.Float)), "two operations in each of 32 lanes");
        cost.Instructions[(int)InstructionClass.Double] = 100_000;
        Assert.That(s_round.Estimate(cost), Is.EqualTo(new TimeEstimate(1e5 * 64 / 1e10, GpuLimit.Double)));
    }

    [Test]
    public void ProductsAreLimitedByMemoryFloatOrTensorCores()
    {
        Assert.That(s_round.Estimate(Product(bytes: 3000, flops: 1000)).Limit, Is.EqualTo(GpuLimit.Memory));
        Assert.That(s_round.Estimate(Product(bytes: 3, flops: 100_000)), Is.EqualTo(new TimeEstimate(1e-7, GpuLimit.Float)));
        Assert.That(s_round.Estimate(Product(bytes: 3, flops: 100_000, tf32: true)), Is.EqualTo(new TimeEstimate(1e5 / 4e12, GpuLimit.Tensor)));
        Assert.That((s_round with { Tf32 = 0 }).Estimate(Product(bytes: 3, flops: 100_000, tf32: true)).Limit, Is.EqualTo(GpuLimit.Float), "a card without");
    }

    [Test]
    public void EveryCardsRatesFitTogether()
    {
        foreach (var gpu in GpuModel.All)
        {
            // FP32 lanes are 64 (Turing, Ampere's A100) or 128 a multiprocessor: clock, multiprocessors and the datasheet's rate must agree.
            var lanes = gpu.Float / (2 * gpu.Multiprocessors * gpu.Clock);
            Assert.That(Math.Min(Math.Abs(lanes - 64), Math.Abs(lanes - 128)), Is.LessThan(1), gpu.Name);
            Assert.That(gpu.Source, Is.Not.Empty);
        }
    }

    [Test]
    public void RowsHaveRatiosAndTheSlowestIsFirst()
    {
        var quick = new LaunchCounters { Kernel = "quick", Launches = 2, ReadSectors = 1, IdealReadSectors = 1, ReadRequests = 1, ThreadInstructions = 500 };
        var slow = new LaunchCounters
        {
            Kernel = "slow",
            Launches = 1,
            ReadBytes = 80,
            WrittenBytes = 40,
            NeededReadBytes = 60,
            NeededWrittenBytes = 40,
            ReadSectors = 60,
            WriteSectors = 20,
            ReadRequests = 15,
            WriteRequests = 5,
            IdealReadSectors = 30,
            IdealWriteSectors = 10,
            ThreadInstructions = 4000,
        };
        var seconds = new Dictionary<string, TimeSpan> { ["quick"] = TimeSpan.FromSeconds(1), ["slow"] = TimeSpan.FromSeconds(2) };
        var counted = new SimulationCost([quick, slow], [Product(bytes: 1, flops: 1)], seconds);
        var bare = counted with { Times = seconds.ToDictionary(static t => t.Key, static t => t.Value / 10) };
        var report = ProfileReport.Of(counted, bare, s_round);
        var row = report.Rows[0];
        Assert.Multiple(() =>
        {
            Assert.That(report.Rows.Select(static r => r.Kernel), Is.EqualTo(new[] { "slow", "quick", "sgemm NT 2 x 3 x 4" }));
            Assert.That(row.OfFewestBytes, Is.EqualTo(1.2));
            Assert.That(row.SectorsPerRequest, Is.EqualTo(4));
            Assert.That(row.SectorsPerNeeded, Is.EqualTo(2));
            Assert.That(report.Rows[1].OfFewestBytes, Is.Null, "nothing was declared");
            Assert.That(row.Speed, Is.EqualTo(2000).Within(1).Ulps);
            Assert.That(row.BareSpeed, Is.EqualTo(20000).Within(1).Ulps);
            Assert.That(report.Speed, Is.EqualTo(1500).Within(1).Ulps);
            Assert.That(report.BareSpeed, Is.EqualTo(15000).Within(1).Ulps);
            Assert.That(report.Seconds, Is.EqualTo(report.Rows.Sum(static r => r.Estimate.Seconds)));
        });
        var one = ProfileReport.Of(counted, null, s_round, "SLO");
        Assert.That(one.Rows.Single().Kernel, Is.EqualTo("slow"));
        Assert.That((one.Speed, one.BareSpeed), Is.EqualTo(((double?)2000, (double?)null)), "of the rows alone");
    }

    private static ProductCounters Product(long bytes, long flops, bool tf32 = false) =>
        new() { TransA = false, TransB = true, M = 2, N = 3, K = 4, Tf32 = tf32, Calls = 1, ReadBytes = bytes, Flops = flops };
}
