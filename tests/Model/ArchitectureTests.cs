using System.Text.Json;
using System.Text.Json.Nodes;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Every architecture through the packed forward and backward pass, the cache of generation, and its file.</summary>
public class ArchitectureTests
{
    private static readonly ByteLevelTokenizer s_tokenizer = BytePairTrainer.Train("a small text", 258, ["<|endoftext|>"]);
    private static readonly PreferencePair s_pair = new(1, [5, 17, 4, 26, 11, 0, 9], [3, 8, 28, 8, 21, 15], [14, 2, 7, 19]);

    private static IEnumerable<TestCaseData> Cases => TinyModels.Architectures().Select(static a => new TestCaseData(a.Config).SetArgDisplayNames(a.Name));

    /// <summary>Logits, log-probs of a pair and every gradient against torch_architectures.py, which reads the saved file by itself.</summary>
    [Test]
    public void LogitsAndGradientsAreThoseOfPyTorch()
    {
        using var folder = new TemporaryFolder();
        using var backend = PoisonedBackend.Create(2);
        var models = TinyModels.Architectures().Select(a => (a.Name, Model: TinyModels.Create(backend, a.Config))).ToList();
        var request = new JsonArray([.. models.Select((m, i) => Request(folder.File($"{i}"), m.Model))]);
        var answers = PythonScript.Run("Model/torch_architectures.py", request.ToJsonString(), "torch").EnumerateArray().ToArray();
        Assert.That(answers, Has.Length.EqualTo(models.Count));
        // Rounding of float sums of some hundred terms through two layers; in double what the JSON and the oracle's own order leave.
        var tolerance = sizeof(Real) == 4 ? 1e-5 : 1e-12;
        Assert.Multiple(() =>
        {
            foreach (var ((name, model), answer) in models.Zip(answers))
            {
                var (logits, logProbs, gradients) = Run(backend, model);
                AssertClose(logits, answer.GetProperty("logits").EnumerateArray().SelectMany(Numbers), tolerance, $"{name}: logits");
                AssertClose(
                    logProbs, [answer.GetProperty("chosen").GetDouble(), answer.GetProperty("rejected").GetDouble()], tolerance, $"{name}: log-probs");
                var expected = answer.GetProperty("gradients").EnumerateObject().ToDictionary(static g => g.Name, static g => Numbers(g.Value).ToArray());
                Assert.That(gradients.Keys, Is.EquivalentTo(expected.Keys), $"{name}: the file's tensors");
                foreach (var (tensor, values) in gradients)
                {
                    AssertClose(values, expected[tensor], tolerance, $"{name}: gradient of {tensor}");
                }
            }
        });
    }

    [TestCaseSource(nameof(Cases))]
    public void GenerationWithTheCacheTakesTheForwardPassesTokens(ModelConfig config)
    {
        using var backend = PoisonedBackend.Create();
        var model = TinyModels.Create(backend, config);
        int[][] prompts = [[3], [4, 7, 9, 1], [11, 2]];
        var samples = Generator.Sample(model, prompts, new GenerationOptions { MaxTokens = 9, Sampling = new(Temperature: 0), Slots = 2 });
        foreach (var (prompt, sample) in prompts.Zip(samples))
        {
            int[] sequence = [.. prompt];
            for (var n = 0; n < 9; n++)
            {
                using var step = new StepScope(backend, gradients: false);
                var hidden = model.Hidden(PackedBatch.Pack(backend, [new PromptGroup(sequence, [[0]])]));
                var logits = model.Logits(hidden, OpTable.Index(backend, [sequence.Length - 1])).ToArray();
                sequence = [.. sequence, Array.IndexOf(logits, logits.Max())];
            }
            Assert.That(sample.Tokens, Is.EqualTo(sequence[prompt.Length..]));
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void EveryParameterGetsAFiniteGradientThatIsNotZero(ModelConfig config)
    {
        using var backend = PoisonedBackend.Create();
        var model = TinyModels.Create(backend, config);
        var (_, _, gradients) = Run(backend, model);
        foreach (var (name, gradient) in TinyModels.Gradients(model))
        {
            Assert.That(gradient, Has.All.Matches<Real>(Real.IsFinite), name);
            // A key bias adds the same to all of a query's scores where no rotation turns it: the softmax does not see it.
            if (!name.EndsWith("c_attn.k.bias", StringComparison.Ordinal))
            {
                Assert.That(gradient, Has.Some.Not.Zero, name);
            }
        }
        Assert.That(gradients, Is.Not.Empty);
    }

    [TestCaseSource(nameof(Cases))]
    public void AFolderGivesBackConfigurationAndEveryBit(ModelConfig config)
    {
        using var folder = new TemporaryFolder();
        using var backend = new CpuBackend(1);
        var model = TinyModels.Create(backend, config with { VocabSize = s_tokenizer.VocabSize });
        ModelFile.Save(folder.Path, model, s_tokenizer);
        var loaded = ModelFile.LoadWeights(folder.Path, backend);
        Assert.That(loaded.Config, Is.EqualTo(model.Config with { BosTokenId = s_tokenizer.BosId, EosTokenId = s_tokenizer.EosId }));
        Assert.That(TinyModels.Weights(loaded), Is.EqualTo(TinyModels.Weights(model)));
    }

    [TestCaseSource(nameof(Cases))]
    public void ARunFromItsOwnReferenceStartsAtLogTwoAndLearns(ModelConfig config)
    {
        using var backend = PoisonedBackend.Create();
        var policy = TinyModels.Create(backend, config);
        var pairs = TinyModels.Pairs(6);
        var task = new DpoTask(policy, pairs, ReferenceLogProbs.Compute(policy.Clone(), pairs, tokenBudget: 1), new DpoLoss(0.5));
        var losses = new List<double>();
        new TrainingRun(policy, task, new TrainingOptions { Epochs = 8, BatchSize = 6, LearningRate = 1e-3 }).Run(r => losses.Add(r["loss"]), Math.Log(2));
        Assert.That(losses[^1], Is.LessThan(0.9 * losses[0]));
    }

    [Test]
    public void NewWeightsHaveNormsOfOneAndBiasesOfZero()
    {
        using var backend = new CpuBackend(1);
        foreach (var (name, config) in TinyModels.Architectures())
        {
            var model = new Transformer(config, backend);
            model.Initialise(1);
            foreach (var (tensor, value) in model.Parameters().Where(static p => p.Value.Shape.Rank == 1))
            {
                Assert.That(value.ToArray(), Is.All.EqualTo(tensor.EndsWith("bias", StringComparison.Ordinal) ? 0 : 1), $"{name}: {tensor}");
            }
        }
    }

    /// <summary>With L layers and a window of W a token hears of the L (W - 1) before it, and of no other.</summary>
    [Test]
    public void ATokenHearsOfNoneBeyondItsWindows()
    {
        using var backend = new CpuBackend(1);
        var model = TinyModels.Create(backend, TinyModels.Architectures().First(static a => a.Name == "mistral").Config);
        int[] ids = [.. Enumerable.Range(0, 24).Select(static i => i)];
        var before = Hidden(ids);
        ids[7] = 28;
        var after = Hidden(ids);
        var heard = Enumerable.Range(0, 24).Where(t => !before[t].SequenceEqual(after[t]));
        Assert.That(heard, Is.EqualTo(Enumerable.Range(7, 9)), "itself, and two layers of 4");

        Real[][] Hidden(int[] tokens)
        {
            using var step = new StepScope(backend, gradients: false);
            return [.. model.Hidden(PackedBatch.Pack(backend, [new PromptGroup(tokens, [[0]])])).ToArray().Chunk(model.Config.HiddenSize)];
        }
    }

    private static JsonNode Request(string folder, Transformer model)
    {
        Directory.CreateDirectory(folder);
        model.Config.Save(Path.Combine(folder, "config.json"));
        ModelFile.SaveWeights(Path.Combine(folder, "model.safetensors"), model);
        return new JsonObject
        {
            ["folder"] = folder,
            ["prompt"] = JsonSerializer.SerializeToNode(s_pair.Prompt),
            ["chosen"] = JsonSerializer.SerializeToNode(s_pair.Chosen),
            ["rejected"] = JsonSerializer.SerializeToNode(s_pair.Rejected),
            ["by_chosen"] = 0.7,
            ["by_rejected"] = -0.4,
        };
    }

    // The gradients in the file's names and shapes.
    private static (Real[] Logits, Real[] LogProbs, Dictionary<string, Real[]> Gradients) Run(CpuBackend backend, Transformer model)
    {
        using var step = new StepScope(backend);
        var batch = PreferencePairs.Pack(backend, [s_pair]);
        var rows = Enumerable.Range(0, s_pair.Prompt.Length + s_pair.Chosen.Length - 1).ToArray();
        var logits = model.Logits(model.Hidden(batch), OpTable.Index(backend, rows)).ToArray();
        var logProbs = model.SequenceLogProbs(batch);
        var values = logProbs.ToArray();
        model.Weights.ClearGradients();
        logProbs.Backward([(Real)0.7, (Real)(-0.4)]);
        return (logits, values, StoredWeight.Of(model).ToDictionary(static w => w.Name, static w => w.Gather(static (_, tensor) => tensor.GradToArray())));
    }

    private static void AssertClose(Real[] actual, IEnumerable<double> expected, double tolerance, string what)
    {
        double[] numbers = [.. expected];
        Assert.That(actual, Has.Length.EqualTo(numbers.Length), what);
        var difference = actual.Zip(numbers, static (a, b) => (a - b) * (a - b)).Sum();
        var length = numbers.Sum(static b => b * b);
        Assert.That(Math.Sqrt(difference / length), Is.LessThan(tolerance), what);
    }

    private static IEnumerable<double> Numbers(JsonElement list) => list.EnumerateArray().Select(static v => v.GetDouble());
}
