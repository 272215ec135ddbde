using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>One DPO step against PyTorch's in double precision: log-probs, loss, and the gradient of every tensor.</summary>
public class OracleTests
{
    private const bool IsDouble = sizeof(Real) == 8;

    [TestCase(1)]
    [TestCase(2)]
    public void LogProbsLossAndEveryGradientMatch(int threads)
    {
        using var backend = PoisonedBackend.Create(threads);
        AssertMatchesTheOracle(backend);
    }

    internal static void AssertMatchesTheOracle(IBackend backend)
    {
        using var folder = new TemporaryFolder();
        var oracleFile = Repository.Shared("workloads/oracle.safetensors");
        OracleRun.Run(Workload.Read(Repository.Shared("workloads/oracle.json")), oracleFile, folder.File("out.safetensors"), backend);

        using var oracle = SafetensorsFile.Open(oracleFile);
        using var actual = SafetensorsFile.Open(folder.File("out.safetensors"));
        Assert.That(actual.Names, Is.EquivalentTo(oracle.Names.Where(static n => !n.StartsWith("policy.", StringComparison.Ordinal)
            && !n.StartsWith("reference.", StringComparison.Ordinal))));
        foreach (var name in actual.Names)
        {
            Assert.That(actual.Shape(name), Is.EqualTo(oracle.Shape(name)), name);
            var (a, b) = (Read(actual, name), Read(oracle, name));
            if (name.StartsWith("grad.", StringComparison.Ordinal) || IsDouble)
            {
                Assert.That(TinyModels.RelativeDistance(a, b), Is.LessThan(IsDouble ? 2e-7 : 1e-4), name);
            }
            else
            {
                Assert.That(a.Zip(b, static (x, y) => Math.Abs((double)x - y)).Max(), Is.LessThan(name == "loss" ? 1e-5 : 1e-4), name);
            }
        }
    }

    [Test]
    public void FromItsOwnReferenceTheFirstLossIsLn2()
    {
        var workload = Workload.Read(Repository.Shared("workloads/toy.json"));
        using var backend = new CpuBackend(2);
        var policy = new Transformer(workload.Config, backend);
        policy.Initialise(workload.Seed);
        var reference = policy.Clone();
        // The reference is packed differently: its log-probs must have the same bits all the same.
        var task = new DpoTask(
            policy, workload.Pairs, ReferenceLogProbs.Compute(reference, workload.Pairs, tokenBudget: 1), new DpoLoss(workload.Beta));
        var result = task.Accumulate([.. Enumerable.Range(0, workload.Pairs.Length)]);
        Assert.That(result.Loss, Is.EqualTo(Math.Log(2)).Within(1e-6));
        foreach (var name in new[] { "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies" })
        {
            Assert.That(result.Metrics.Single(m => m.Name == name).Value, Is.Zero, name);
        }
    }

    private static Real[] Read(SafetensorsFile file, string name)
    {
        var values = new Real[file.Shape(name).Aggregate(1, static (product, size) => product * size)];
        file.Read(name, values);
        return values;
    }
}
