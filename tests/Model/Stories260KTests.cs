using System.Runtime.InteropServices;
using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>A real pretrained model against numbers computed elsewhere, from each of its two files.</summary>
[TestFixture("stories260K.bin")]
[TestFixture("stories260K-hf")]
public class Stories260KTests(string file)
{
    private CpuBackend _backend = null!;
    private Transformer _model = null!;
    private ITokenizer _tokenizer = null!;

    [OneTimeSetUp]
    public void Load()
    {
        _backend = new CpuBackend(2);
        var bin = file.EndsWith(".bin", StringComparison.Ordinal);
        (_model, _tokenizer) = ModelFile.Load(
            Repository.Shared($"data/weights/{file}"), _backend, bin ? Repository.Shared("data/weights/tok512.bin") : null);
    }

    [OneTimeTearDown]
    public void Free() => _backend?.Dispose();

    [Test]
    public void LogitsOfAStoryMatchTheOracle()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Repository.Shared("data/oracle/stories260K_logits_story.json")));
        var tokens = Ids(json.RootElement.GetProperty("sequences")[0].GetProperty("tokens"));
        var expected = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Repository.Shared("data/oracle/stories260K_logits_story.f32"))).ToArray();

        using var step = new StepScope(_backend, gradients: false);
        var batch = PackedBatch.Pack(_backend, [new PromptGroup(tokens, [[0]])]);
        var logits = _model.Logits(_model.Hidden(batch), OpTable.Index(_backend, [.. Enumerable.Range(0, tokens.Length)])).ToArray();

        Assert.That(logits, Has.Length.EqualTo(expected.Length));
        var worst = logits.Zip(expected, static (a, b) => Math.Abs((double)a - b)).Max();
        Assert.That(worst, Is.LessThan(1e-4), "largest difference of a logit");
    }

    [Test]
    public void GreedyIdsAreExactlyThoseOfTheOracle()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(Repository.Shared("data/oracle/stories260K_greedy.json")));
        foreach (var run in json.RootElement.GetProperty("cases").EnumerateArray())
        {
            AssertGreedyIds(_model, run);
        }
    }

    /// <param name="model">stories260K on any device.</param>
    /// <param name="run">A case of the oracle.</param>
    /// <param name="mostTokens">How far to follow it.</param>
    internal static void AssertGreedyIds(Transformer model, JsonElement run, int mostTokens = int.MaxValue)
    {
        var prompt = Ids(run.GetProperty("prompt_tokens"));
        var expected = Ids(run.GetProperty("sequence"));
        var options = new GenerationOptions
        {
            MaxTokens = Math.Min(mostTokens, run.GetProperty("steps").GetInt32() + 1 - prompt.Length),
            Sampling = new SamplingOptions(Temperature: 0),
            EosId = 1,
        };
        var sample = Generator.Sample(model, [prompt], options)[0];
        int[] actual = [.. prompt, .. sample.Ended ? sample.Tokens[..^1] : sample.Tokens];
        var compared = Math.Min(expected.Length, prompt.Length + (sample.Ended ? sample.Tokens.Length : options.MaxTokens));
        Assert.That(actual[..Math.Min(actual.Length, compared)], Is.EqualTo(expected[..compared]), run.GetProperty("prompt").GetString());
        if (compared == expected.Length)
        {
            Assert.That(sample.Ended && actual.Length == expected.Length, Is.EqualTo(run.GetProperty("stopped_on_bos").GetBoolean()));
        }
    }

    [Test]
    public void SamplesDoNotDependOnTheNumberOfSlots()
    {
        var prompts = Enumerable.Range(0, 7).Select(i => _tokenizer.Encode(i % 2 == 0 ? "He" : "The dog")).ToArray();
        int[][] Run(int slots) =>
            [.. Generator.Sample(_model, prompts, new GenerationOptions { MaxTokens = 40, Seed = 5, EosId = 1, Slots = slots }).Select(static c => c.Tokens)];
        var all = Run(7);
        Assert.That(Run(2), Is.EqualTo(all));
        Assert.That(Run(1), Is.EqualTo(all));
        Assert.That(all[0], Is.Not.EqualTo(all[2]), "two samples of one prompt");
    }

    private static int[] Ids(JsonElement array) => [.. array.EnumerateArray().Select(static id => id.GetInt32())];
}
