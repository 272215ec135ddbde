namespace TinyDpo.Dpo;

/// <summary>The sizes of the experiments.</summary>
public sealed record ExperimentOptions
{
    /// <summary>Where runs, tables and figures go.</summary>
    public required string Out { get; init; }

    /// <summary>Where this world's files go: OUT, or OUT/NAME for another world than that of reviews.</summary>
    public string Folder => Demo.World == World.Reviews ? Out : Path.Combine(Out, Demo.World.Name);

    /// <summary>Seeds 1 to this.</summary>
    public int Seeds { get; init; } = 1;

    /// <summary>World, SFT, pairs and DPO; its folder and seed are not heeded.</summary>
    public DemoOptions Demo { get; init; } = new() { Out = "" };

    public double[] DpoBetas { get; init; } = [0.05, 0.1, 0.5, 1, 5];

    public double[] UnlikelihoodAlphas { get; init; } = [0.05, 0.1, 0.5, 1];

    /// <summary>KL per sequence, in nats, that PPO steers to; as many runs on the learned reward and on the true one.</summary>
    public double[] PpoTargets { get; init; } = [0.5, 1, 2, 4];

    /// <summary>PPO's other options; seed and target are the run's own.</summary>
    public PpoOptions Ppo { get; init; } = new() { Iterations = 64, Rollouts = 256, Epochs = 2, MiniBatchSize = 64, KlCoefficient = 0.5, KlGain = 1 };

    /// <summary>Training of the reward model, on DPO's pairs.</summary>
    public TrainingOptions RewardModel { get; init; } = new() { Epochs = 3, BatchSize = 32, LearningRate = 1e-3, WarmupSteps = 10 };

    /// <summary>Numbers of pairs of the reward model's learning curve, ascending.</summary>
    public int[] LearningCurve { get; init; } = [1000, 2000, 5000, 10_000, 20_000];

    /// <summary>Pairs that the curve is measured on.</summary>
    public int CurveHeldOut { get; init; } = 6000;

    /// <summary>Further held-out pairs, by whose loss the reward model's best epoch is chosen.</summary>
    public int ValidationPairs { get; init; } = 1000;

    /// <summary>The ablation's smaller numbers of pairs, one in so many, in as many steps as all of them take.</summary>
    public int[] PairDivisors { get; init; } = [4, 16, 64];

    /// <summary>The ablation's pairs from elsewhere: temperatures that SFT's model is sampled at.</summary>
    public double[] SourceTemperatures { get; init; } = [0.5, 1.5];

    /// <summary>Measurements along a training run, at its end and at 1/2, 1/4, 1/8 of its steps and so on.</summary>
    public int Checkpoints { get; init; } = 7;

    /// <summary>Prefixes, and completions of each, for best-of-N and the ceiling; N goes to that number in powers of 2.</summary>
    public int PoolPrefixes { get; init; } = 200;

    public int PoolCompletions { get; init; } = 128;

    /// <summary>The table's bounds on the KL, in nats a sequence.</summary>
    public double[] KlBounds { get; init; } = [0.5, 1, 2, 4];

    /// <summary>The sizes of docs/paper.md: fewer settings a method in other worlds than that of reviews.</summary>
    public static ExperimentOptions Full(string folder, int seeds, World world)
    {
        var full = new ExperimentOptions { Out = folder, Seeds = seeds, Demo = new DemoOptions { Out = "", World = world } };
        return world == World.Reviews ? full : full with { DpoBetas = [0.1, 0.5, 1], UnlikelihoodAlphas = [0.5], PpoTargets = [2] };
    }

    /// <summary>All methods with one or two settings each, in a smaller world: what CI runs.</summary>
    public static ExperimentOptions Quick(string folder, int seeds, World world) => new()
    {
        Out = folder,
        Seeds = seeds,
        Demo = DemoOptions.Quick("", 0) with { World = world, HeldOut = 200 },
        DpoBetas = [0.1, 0.5],
        UnlikelihoodAlphas = [0.5],
        PpoTargets = [2],
        Ppo = new PpoOptions { Iterations = 16, Rollouts = 128, Epochs = 2, MiniBatchSize = 64, KlCoefficient = 0.5, KlGain = 1, LearningRate = 1e-3 },
        RewardModel = new TrainingOptions { Epochs = 2, BatchSize = 32, LearningRate = 1e-3, WarmupSteps = 5 },
        LearningCurve = [300, 1200],
        CurveHeldOut = 600,
        ValidationPairs = 200,
        PairDivisors = [8],
        SourceTemperatures = [1.5],
        Checkpoints = 4,
        PoolPrefixes = 40,
        PoolCompletions = 64,
    };
}
