using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>The experiments' arithmetic against what can be listed, and whole experiments in a tiny form.</summary>
internal sealed class ExperimentTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Close() => _folder.Dispose();

    /// <summary>Against all subsets of six samples, chosen by a score that is not the reward.</summary>
    [Test]
    public void BestOfNIsTheMeanOverAllDraws([Values(1, 2, 3, 6)] int n)
    {
        double[] rewards = TinyModels.Random(4, 0, 6), scores = TinyModels.Random(4, 1, 6);
        var best = Enumerable.Range(0, 1 << 6).Select(static set => Enumerable.Range(0, 6).Where(i => (set >> i & 1) == 1).ToArray())
            .Where(set => set.Length == n).Select(set => rewards[set.MaxBy(i => scores[i])]);
        Assert.That(BestOfN.Expected(rewards, scores, n), Is.EqualTo(best.Average()).Within(1e-12));
    }

    [Test]
    public void BestOfNHasItsBoundOnTheKl()
    {
        Assert.That(BestOfN.KlBound(1), Is.Zero);
        Assert.That(BestOfN.KlBound(2), Is.EqualTo(0.1931).Within(1e-4));
        Assert.That(BestOfN.KlBound(128), Is.EqualTo(3.8598).Within(1e-4));
        var points = BestOfN.Points([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4], [8, 7, 6, 5]]);
        Assert.That(points.Select(static p => p.Step), Is.EqualTo(new[] { 1, 2, 4 }));
        Assert.That(points.Select(static p => p.Choosing.Reward), Is.EqualTo(new[] { 2.5, 10.0 / 3, 4 }).Within(1e-12));
        Assert.That(points.Select(static p => p.Reporting.Reward), Is.EqualTo(new[] { 6.5, 17.0 / 3, 5 }).Within(1e-12), "a judge that is wrong");
    }

    /// <summary>Rewards 0 and 1 with equal odds: tilted by beta, 1 has probability sigmoid(1 / beta).</summary>
    [TestCase(0.25)]
    [TestCase(1)]
    [TestCase(1e6)]
    public void TheCeilingIsTheTiltedDistribution(double beta)
    {
        double[] rewards = [.. Enumerable.Range(0, 1000).Select(static i => (double)(i % 2))];
        var (half, effective) = RewardCeiling.At(rewards, beta);
        var p = 1 / (1 + Math.Exp(-1 / beta));
        Assert.That(half.Reward, Is.EqualTo(p).Within(1e-12));
        Assert.That(half.Kl, Is.EqualTo((p * Math.Log(2 * p)) + ((1 - p) * Math.Log(2 * (1 - p)))).Within(1e-9));
        Assert.That(effective, Is.EqualTo(500 / ((p * p) + ((1 - p) * (1 - p)))).Within(1e-6));
    }

    [Test]
    public void TheCeilingEndsWithItsEffectiveSamples()
    {
        double[][] rewards = [.. Enumerable.Range(0, 20).Select(static i => TinyModels.Random(1, i, 40))];
        var points = RewardCeiling.Points(rewards);
        Assert.That(points.Select(static p => p.Choosing.Reward), Is.Ordered);
        var next = 2 / Math.Pow(1.03, points.Length);
        Assert.That(
            Math.Min(
                RewardCeiling.At([.. rewards[..10].SelectMany(static r => r)], next).EffectiveSamples,
                RewardCeiling.At([.. rewards[10..].SelectMany(static r => r)], next).EffectiveSamples),
            Is.LessThan(RewardCeiling.LeastEffectiveSamples));
    }

    [Test]
    public void APolicyIsChosenOnOneHalfWithinTheBound()
    {
        FrontierRun[] runs =
        [
            new("M", "a", 1, [Point(1, 0.5, 1, 0.4), Point(2, 0.9, 3, 0.8)]),
            new("M", "b", 1, [Point(3, 0.6, 1.9, 0.1)]),
        ];
        Assert.That(FrontierRun.Best(runs, 2)!.Value.Point.Step, Is.EqualTo(3), "whatever the other half says");
        Assert.That(FrontierRun.Best(runs, 4)!.Value.Point.Step, Is.EqualTo(2));
        Assert.That(FrontierRun.Best(runs, 0.5), Is.Null);
        var report = FrontierReport.Of("frontier", runs, [0.5, 1, 2, 4]);
        Assert.That(report.Markdown, Does.Contain("| M | none | 0.4 (0.4 to 0.4) | 0.1 (0.1 to 0.1) | 0.8 (0.8 to 0.8) |"));

        static FrontierPoint Point(int step, double choosing, double kl, double reporting) =>
            new(step, new FrontierHalf(choosing, 0, kl), new FrontierHalf(reporting, 0, kl));
    }

    [Test]
    public void AJudgesAccuracyIsTheAnnotatorsAgreement()
    {
        var judged = RewardJudgement.Of([1, -2, 0], [0.9, 0.8, 0.7]);
        Assert.That(judged.Accuracy, Is.EqualTo((0.9 + 0.2 + 0.5) / 3).Within(1e-12));
    }

    [Test]
    public void AResultIsMadeOnceAndOneOfOtherSettingsIsRefused()
    {
        var (path, made) = (_folder.File("runs/one.json"), 0);
        RewardJudgement Load(string settings) => RunStore.LoadOrMake(path, settings, () => new RewardJudgement(++made, 0.5, 0.25));
        Assert.That(Load("a"), Is.EqualTo(new RewardJudgement(1, 0.5, 0.25)));
        Assert.That(Load("a"), Is.EqualTo(new RewardJudgement(1, 0.5, 0.25)));
        Assert.That(() => Load("b"), Throws.InstanceOf<InputException>().With.Message.Contains(path).And.Message.Contains("--out"));
        foreach (var damaged in new[] { "{}", "[]", "{", """{"Settings": "a", "Result": {"Accuracy": "much"}}""" })
        {
            File.WriteAllText(path, damaged);
            Assert.That(() => Load("a"), Throws.InstanceOf<InputException>().With.Message.Contains(path), damaged);
        }
    }

    /// <summary>Every run of the frontier; then one that lost a run and has a seed more makes these alone.</summary>
    [Test]
    public void AnExperimentGoesOnWhereItWasStopped()
    {
        using var backend = new CpuBackend(2);
        var options = Tiny(_folder.Path);
        var first = Run(options, out var made);
        Assert.That(made, Has.Count.EqualTo(FrontierArm.All(options).Count));
        foreach (var method in new[] { "SFT", "DPO", "PPO", "PPO-GT", "Unlikelihood", "Preferred-FT", "Best-of-N", "Best-of-N-GT", "Ceiling" })
        {
            Assert.That(first.Markdown, Does.Contain($"| {method} | "), method);
        }
        Assert.That(File.ReadAllText(_folder.File("frontier.md")), Is.EqualTo(first.Markdown));
        Assert.That(File.ReadAllText(_folder.File("frontier.html")), Does.Contain("<svg"));

        var lost = _folder.File("seed-1/frontier/ppo-target-1.json");
        var before = File.ReadAllText(lost);
        File.Delete(lost);
        var again = Run(options, out made);
        Assert.That(made, Has.Count.EqualTo(1));
        Assert.That(File.ReadAllText(lost), Is.EqualTo(before), "the same run, to the bit");
        Assert.That(again.Markdown, Is.EqualTo(first.Markdown));

        Run(options with { Seeds = 2 }, out made);
        Assert.That(made, Has.Count.EqualTo(FrontierArm.All(options).Count).And.All.StartsWith("seed 2"));
        Assert.That(() => Run(options with { Checkpoints = 1 }, out _), Throws.InstanceOf<InputException>().With.Message.Contains("other settings"));

        ExperimentReport Run(ExperimentOptions experiment, out List<string> notes)
        {
            var log = new NotingLog();
            var report = ExperimentRun.Run(ExperimentRun.Frontier, experiment, backend, log);
            notes = log.Notes;
            return report;
        }
    }

    /// <summary>Judges that look at one answer's worth, whatever the order they see the answers in.</summary>
    [Test]
    public void AJudgeFollowsItsCriterionAndABiasItsOrder()
    {
        JudgedAnswer good = new(" the plot was good.", 5, 0.8, 1, false), bad = new(" the plot was bad and dull, so dull.", 9, 0.6, 2, true);
        foreach (var (name, verdict) in new[]
        {
            ("true reward", 1), ("true reward and grammar", 0), ("reward model", 0), ("good words less bad ones", 1.0), ("length", 0),
        })
        {
            var judge = Judge.All.Single(j => j.Name == name);
            Assert.That(Enumerable.Range(0, 20).Select(i => judge.Prefers(good, bad, (1, 0, i, 0))), Is.All.EqualTo(verdict), name);
            Assert.That(judge.Prefers(bad, good, (1, 0, 0, 0)), Is.EqualTo(1 - verdict), name);
            Assert.That(judge.Prefers(good, good, (1, 0, 0, 0)), Is.EqualTo(0.5), name);
        }
        const int many = 4000;
        Assert.That(Wins(Judge.Annotator), Is.EqualTo(1 / (1 + Math.Exp(-8 * 0.2))).Within(0.03), "sigmoid of 8 times the difference");
        var biased = Judge.All.Single(static j => j.PositionBias != 0);
        var expected = ((1 / (1 + Math.Exp(-2.6))) + (1 / (1 + Math.Exp(-0.6)))) / 2;
        Assert.That(Wins(biased), Is.EqualTo(expected).Within(0.03), "each order half of the time");

        double Wins(Judge judge) => Enumerable.Range(0, many).Average(i => judge.Prefers(good, bad, (1, 0, i, 3)));
    }

    [Test]
    public void ExperimentsWithPoliciesGiveTheirTables()
    {
        using var backend = new CpuBackend(2);
        var options = Tiny(_folder.Path);
        Assert.That(Rows(ExperimentRun.Temperature), Is.EqualTo(5));
        Assert.That(Directory.EnumerateDirectories(_folder.File("seed-1/policies")).Select(Path.GetFileName), Is.EquivalentTo(new[] { "dpo", "ppo", "preferred-ft" }));
        Assert.That(Rows(ExperimentRun.Shift), Is.EqualTo(2 * 5));
        Assert.That(Rows(ExperimentRun.Judges), Is.EqualTo(2 * (1 + Judge.All.Count)));
        Assert.That(Rows(ExperimentRun.TrainingCurve), Is.GreaterThan(2), "SFT, and steps of training");

        int Rows(string name)
        {
            var report = ExperimentRun.Run(name, options, backend, IRunLog.Silent);
            Assert.That(File.ReadAllText(_folder.File(name + ".md")), Is.EqualTo(report.Markdown));
            return report.Markdown.Split('\n').Count(static line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| ---", StringComparison.Ordinal));
        }
    }

    [Test]
    public void BestOfNUsesTheFrontiersRunsAndTheLearningCurveHasItsSizes()
    {
        using var backend = new CpuBackend(2);
        var options = Tiny(_folder.Path);
        var best = ExperimentRun.Run(ExperimentRun.BestOf, options, backend, IRunLog.Silent);
        Assert.That(best.Markdown.Split('\n').Count(static line => line.StartsWith("| 1 |", StringComparison.Ordinal) || line.StartsWith("| 4 |", StringComparison.Ordinal)), Is.EqualTo(2));
        Assert.That(File.Exists(_folder.File("seed-1/frontier/best-of-n.json")));
        var curve = ExperimentRun.Run(ExperimentRun.RewardModel, options, backend, IRunLog.Silent);
        Assert.That(curve.Markdown, Does.Contain("\n| 6 | ").And.Contain("\n| 12 | "));
        Assert.That(() => ExperimentRun.Run("nothing", options, backend, IRunLog.Silent), Throws.ArgumentException);
    }

    /// <summary>Each world has the experiments that it can have, in a folder of its own.</summary>
    [TestCase("summaries")]
    [TestCase("dialogue")]
    public void AnotherTaskHasItsFolder(string task)
    {
        using var backend = new CpuBackend(2);
        var options = Tiny(_folder.Path);
        options = options with { Demo = options.Demo with { World = World.All.Single(world => world.Name == task) } };
        foreach (var name in new[] { ExperimentRun.Frontier, ExperimentRun.Temperature })
        {
            var report = ExperimentRun.Run(name, options, backend, IRunLog.Silent);
            Assert.That(report.Markdown, Does.Contain("| Preferred-FT | ").And.Contain("| DPO | "));
            Assert.That(File.Exists(_folder.File($"{task}/{name}.md")));
        }
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(new[] { task }), "nothing of the reviews");
    }

    [Test]
    public void ATaskWithoutAnExperimentSaysWhatItHas() =>
        CommandLineRun.Of("experiment", "judges", "--task", "dialogue", "--out", _folder.Path).AssertFails(CommandLine.BadUsage, "'judges'", "--task dialogue", "frontier");

    /// <summary>A pretrained model with a lexicon: every method has its row, and a second call makes nothing again.</summary>
    [Test]
    public void SentimentComparesMethodsOnAModelOfOnesOwn()
    {
        string Write(string name, string text)
        {
            File.WriteAllText(_folder.File(name), text);
            return _folder.File(name);
        }
        var text = string.Join('\n', Enumerable.Range(0, 50).Select(static i => World.Reviews.SampleText(1, i)));
        var tokenizer = BytePairTrainer.Train(text, 500, ["<|endoftext|>"]);
        using (var backend = new CpuBackend(1))
        {
            var model = TinyModels.Create(backend, TinyModels.Config(vocabulary: tokenizer.VocabSize));
            ModelFile.Save(_folder.File("model"), model, tokenizer);
        }
        // What a word is worth does not matter, as long as samples differ.
        var lexicon = Write("lexicon.txt", string.Concat(Language.Words(text).Distinct().Select(static word => $"{word}\t{word.Length}\n")));
        string[] arguments =
        [
            "experiment", "sentiment", "--quick", "--quiet", "--model", _folder.File("model"), "--prompts", Write("prompts.txt", "i saw\nwe saw\ntoday\nmy sister\nmy uncle\nlast week\n"),
            "--held-out", Write("held-out.txt", "a dog\na cat\na sun\na day\n"), "--reward", "lexicon:" + lexicon, "--out", _folder.File("out"),
        ];
        var first = CommandLineRun.Of(arguments).Succeeded().Output;
        foreach (var method in new[] { "SFT", "DPO", "PPO-GT", "Preferred-FT", "Best-of-N-GT", "Ceiling" })
        {
            Assert.That(first, Does.Contain($"| {method} | "), method);
        }
        Assert.That(File.ReadAllText(_folder.File("out/sentiment.html")), Does.Contain("<svg"));
        Assert.That(CommandLineRun.Of(arguments).Succeeded().Output, Is.EqualTo(first));
        Write("held-out.txt", "a dog\n");
        CommandLineRun.Of(arguments).AssertFails(CommandLine.Failure, "held-out.txt", "two or more");
    }

    /// <summary>One row an arm; beta's rows are the frontier's runs, and the same demonstration's beta is among them.</summary>
    [Test]
    public void TheAblationHasItsRows()
    {
        using var backend = new CpuBackend(2);
        var options = Tiny(_folder.Path);
        var report = ExperimentRun.Run(ExperimentRun.Ablation, options, backend, IRunLog.Silent);
        foreach (var row in new[]
        {
            "| DPO | beta 0.1 | ", "| DPO | beta 0.5 | ", "| without the weight |  | ", "| without the reference |  | ", "| fewer pairs | 1 in 4 | ",
            "| other pairs | written by the world | ", "| other pairs | SFT at temperature 1.5 | ",
        })
        {
            Assert.That(report.Markdown, Does.Contain(row));
        }
        Assert.That(File.Exists(_folder.File("seed-1/frontier/dpo-beta-0.5.json")));
        Assert.That(report.Chart.Split("<svg"), Has.Length.EqualTo(3), "two charts");
    }

    [Test]
    public void FewerPairsAreSeenMoreOften()
    {
        using var backend = new CpuBackend(2);
        var world = new ExperimentWorld(Tiny(_folder.Path), 1, backend, IRunLog.Silent, default);
        var (all, part, written) = (world.OwnPairs, world.Fewer(4), world.From(PairSource.Writer));
        Assert.That(part.Pairs, Is.EqualTo(all.Pairs[..(all.Pairs.Length / 4)]));
        Assert.That(part.Epochs, Is.EqualTo(4 * all.Epochs));
        Assert.That(written.Pairs.Select(static p => p.Prompt), Is.SubsetOf(all.Pairs.Select(static p => p.Prompt)), "the same prompts");
        foreach (var pair in written.Pairs)
        {
            Assert.That(World.Reviews.Accepts(world.Tokenizer.Decode(pair.Prompt), world.Tokenizer.DecodeContinuation(pair.Chosen.AsSpan(..^1))));
        }
    }

    [Test]
    public void TheRewardModelOfTheBestEpochIsKept()
    {
        using var backend = new CpuBackend(2);
        // At such a rate the model falls apart in its later epochs, so that the last is not the best.
        var wild = Tiny(_folder.Path) with { RewardModel = new TrainingOptions { BatchSize = 4, Epochs = 4, LearningRate = 0.3, Schedule = ScheduleKind.Constant } };
        var point = new ExperimentWorld(wild, 1, backend, IRunLog.Silent, default).LearnFrom(12);
        Assert.That(point.LearnedEpoch, Is.InRange(1, 3));
        var asLong = wild with { Out = _folder.File("as-long"), RewardModel = wild.RewardModel with { Epochs = point.LearnedEpoch } };
        var last = new ExperimentWorld(asLong, 1, backend, IRunLog.Silent, default).LearnFrom(12);
        Assert.That(point.Learned, Is.EqualTo(last.Learned), "at a constant rate, a run that ends with that epoch");
    }

    [Test]
    public void BothHalvesOfAPointTogether()
    {
        var overall = new FrontierPoint(1, new FrontierHalf(0.25, 0.3, 1), new FrontierHalf(0.75, 0.4, 3)).Overall;
        Assert.That(overall.Reward, Is.EqualTo(0.5));
        Assert.That(overall.RewardError, Is.EqualTo(0.25).Within(1e-12), "the error of a mean of two");
        Assert.That(overall.Kl, Is.EqualTo(2));
    }

#if !DOUBLE
    [Test]
    public void TheFrontierRunsOnTheSimulatedCard() => RunOnTheSimulatedCard(ExperimentRun.Frontier);

    /// <summary>The others ask for many more samples.</summary>
    [Test]
    [Category("Long")]
    public void EveryExperimentRunsOnTheSimulatedCard() => RunOnTheSimulatedCard([.. ExperimentRun.Names]);

    private void RunOnTheSimulatedCard(params string[] names)
    {
        using var cuda = CudaDevices.Open(CudaDevice.Simulated);
        var options = Tiny(_folder.Path);
        options = options with
        {
            Demo = options.Demo with { SftTexts = 2, PairPrompts = 1, HeldOut = 2, MaxTokens = 2 },
            Ppo = options.Ppo with { Iterations = 1, Rollouts = 2 },
            LearningCurve = [6],
            CurveHeldOut = 6,
            ValidationPairs = 3,
            Checkpoints = 1,
            PoolPrefixes = 2,
            PoolCompletions = 2,
        };
        foreach (var name in names)
        {
            Assert.That(ExperimentRun.Run(name, options, cuda, IRunLog.Silent).Markdown, Does.Contain("| --- |"), name);
        }
        Assert.That(File.ReadAllText(_folder.File("frontier.md")), Does.Contain("| PPO-GT | "));
    }
#endif

    [Test]
    public void AnUnknownExperimentIsBadUsage() =>
        CommandLineRun.Of("experiment", "everything", "--out", _folder.Path).AssertFails(CommandLine.BadUsage, "'everything'", "frontier", "judges");

    private static ExperimentOptions Tiny(string folder) => new()
    {
        Out = folder,
        Demo = new DemoOptions
        {
            Out = "",
            VocabSize = 400,
            HiddenSize = 16,
            Layers = 1,
            Heads = 2,
            IntermediateSize = 24,
            SftTexts = 64,
            Sft = new TrainingOptions { BatchSize = 16, LearningRate = 3e-3 },
            PairPrompts = 4,
            Dpo = new TrainingOptions { BatchSize = 8, LearningRate = 1e-3 },
            HeldOut = 8,
            MaxTokens = 12,
        },
        DpoBetas = [0.1],
        UnlikelihoodAlphas = [0.5],
        PpoTargets = [1],
        Ppo = new PpoOptions { Iterations = 2, Rollouts = 8, Epochs = 1, MiniBatchSize = 8, KlCoefficient = 0.5 },
        RewardModel = new TrainingOptions { BatchSize = 8 },
        LearningCurve = [6, 12],
        CurveHeldOut = 12,
        ValidationPairs = 6,
        PairDivisors = [4],
        SourceTemperatures = [1.5],
        Checkpoints = 2,
        PoolPrefixes = 4,
        PoolCompletions = 4,
    };
}
