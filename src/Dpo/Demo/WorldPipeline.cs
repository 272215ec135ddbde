using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Pairs in a world.</summary>
/// <param name="Rows">The same as rows of a file.</param>
/// <param name="LabelProbabilities">For each the probability that the annotator gives this label.</param>
public sealed record WorldPairs(PreferencePair[] Pairs, IEnumerable<PreferenceRow> Rows, double[] LabelProbabilities);

/// <summary>What demonstration and experiments do alike in a world: tokenizer, SFT, prefixes, pairs of a model's own samples.</summary>
internal sealed class WorldPipeline(DemoOptions options, IRunLog log, CancellationToken cancellation)
{
    // Texts that the tokenizer is trained on; their indices are those of the first of SFT.
    private const int TokenizerTexts = 2000;

    private const int CompletionsPerPrompt = 4;

    /// <summary>Prompts that give so many pairs, but for two completions that read the same, which make none.</summary>
    public static int PromptsFor(int pairs)
    {
        const int pairsPerPrompt = CompletionsPerPrompt * (CompletionsPerPrompt - 1) / 2;
        return (pairs + pairsPerPrompt - 1) / pairsPerPrompt;
    }

    /// <summary>Trains the tokenizer.</summary>
    public ByteLevelTokenizer TrainTokenizer()
    {
        log.Stage("training the tokenizer", 1);
        var text = string.Join('\n', Enumerable.Range(0, TokenizerTexts).Select(i => options.World.SampleText(options.Seed, i)));
        return BytePairTrainer.Train(text, options.VocabSize, ["<|endoftext|>"]);
    }

    /// <summary>A model trained from scratch on the world's own texts.</summary>
    /// <param name="report">Called after each step.</param>
    public Transformer TrainSft(IBackend backend, ITokenizer tokenizer, Action<StepReport>? report = null)
    {
        var model = new Transformer(
            ModelConfig.Llama(tokenizer.VocabSize, options.HiddenSize, options.Layers, options.Heads, options.IntermediateSize, positions: 128).Validated("demo"),
            backend);
        model.Initialise(options.Seed);
        var examples = new SftExample[options.SftTexts];
        var parallel = new ParallelOptions { CancellationToken = cancellation, MaxDegreeOfParallelism = (backend as CpuBackend)?.Threads ?? -1 };
        Parallel.For(0, examples.Length, parallel, i =>
        {
            var (prefix, continuation) = options.World.Sample(options.Seed, i);
            examples[i] = new SftExample(i, tokenizer.Encode(prefix), [.. tokenizer.EncodeContinuation(continuation), tokenizer.EosId]);
        });
        Train("SFT", model, new SftTask(model, examples), options.Sft, report: report);
        return model;
    }

    /// <param name="firstLoss">What step 0 must give, where that is known.</param>
    /// <param name="report">Called after each step.</param>
    public void Train(
        string stage, Transformer model, ITrainingTask task, TrainingOptions training, double? firstLoss = null, Action<StepReport>? report = null) =>
        TrainingStage.Run(log, stage, model, task, training with { Seed = options.Seed }, firstLoss, report, cancellation);

    /// <summary>Pairs of the model's own samples, labelled by Bradley-Terry on the true reward.</summary>
    public WorldPairs SamplePairs(
        Transformer model, ITokenizer tokenizer, PrefixSplit split, int prompts, string stage, double temperature = 1)
    {
        log.Stage(stage, prompts * CompletionsPerPrompt);
        var prefixes = Prefixes(tokenizer, split, prompts);
        var generation = Generation(tokenizer, split) with { Sampling = new SamplingOptions(temperature) };
        var completions = PairSampler.Sample(
            model, tokenizer, prefixes, CompletionsPerPrompt, generation, new WorldReward(options.World), n => log.Advance(n), cancellation);
        return Pair(prefixes, completions, generation);
    }

    /// <summary>Pairs of the world's own continuations at the same prefixes, labelled in the same way.</summary>
    /// <param name="seed">Of the continuations.</param>
    public WorldPairs WrittenPairs(ITokenizer tokenizer, int prompts, ulong seed)
    {
        var prefixes = Prefixes(tokenizer, PrefixSplit.Train, prompts);
        return Pair(prefixes, [.. prefixes.Select((_, i) => Enumerable.Range(0, CompletionsPerPrompt).Select(k => Written(i, k)).ToArray())], Generation(tokenizer, PrefixSplit.Train));

        ScoredCompletion Written(int prompt, int completion)
        {
            var text = options.World.SampleContinuation(prefixes[prompt].Text, seed, (prompt * CompletionsPerPrompt) + completion);
            return new ScoredCompletion([.. tokenizer.EncodeContinuation(text), tokenizer.EosId], text, true, options.World.Reward(prefixes[prompt].Text, text));
        }
    }

    private static WorldPairs Pair((int[] Ids, string Text)[] prefixes, ScoredCompletion[][] completions, GenerationOptions generation)
    {
        SampledPair[] sampled =
        [
            .. PairSampler.Pair(completions, new PairSamplerOptions { Pairing = Pairing.All, Labelling = Labelling.BradleyTerry, Generation = generation }),
        ];
        return new WorldPairs(
            [.. sampled.Select((p, i) => new PreferencePair(i, prefixes[p.Prompt].Ids, p.Chosen.Tokens, p.Rejected.Tokens))],
            sampled.Select(p => PreferenceRow.Of(prefixes[p.Prompt], p)), [.. sampled.Select(static p => World.PreferenceProbability(p.Chosen.Reward, p.Rejected.Reward))]);
    }

    /// <summary>The most that any judge's accuracy can be expected to be, given the probability of each pair's label.</summary>
    public static double BayesAccuracy(IEnumerable<double> labelProbabilities) => labelProbabilities.Average(static p => Math.Max(p, 1 - p));

    public (int[] Ids, string Text)[] Prefixes(ITokenizer tokenizer, PrefixSplit split, int count) =>
    [
        .. Enumerable.Range(0, count).Select(i => options.World.SamplePrefix(options.Seed + 2, i, split)).Select(text => (tokenizer.Encode(text), text)),
    ];

    public GenerationOptions Generation(ITokenizer tokenizer, PrefixSplit split) =>
        new() { MaxTokens = options.MaxTokens, EosId = tokenizer.EosId, Seed = options.Seed + (split == PrefixSplit.Train ? 0UL : 3) };
}
