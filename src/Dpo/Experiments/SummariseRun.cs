using System.Globalization;
using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// Summaries of real texts by a small model trained from scratch (Rafailov et al. 2023, section 6.2, in small). ROUGE-L against people's
/// summaries stands for the judge: pairs of SFT's own samples are ranked by it, at texts to train on, and answers to others are judged by it.
/// </summary>
public sealed class SummariseRun
{
    /// <summary>As on the command line.</summary>
    public const string Name = "summarise";

    /// <summary>Answers that no model gives, among the methods.</summary>
    internal const string FirstSentence = "First sentence", Human = "Human";

    private readonly SummariseOptions _options;
    private readonly SummaryExample[] _texts;
    private readonly SummaryExample[] _heldOut;
    private readonly SummaryAnswers _judge;
    private readonly string _settings;
    private readonly ulong _seed;
    private readonly IBackend _backend;
    private readonly IRunLog _log;
    private readonly CancellationToken _cancellation;
    private readonly Lazy<(Transformer Model, ITokenizer Tokenizer, SummaryPrompts Prompts)> _sft;
    private readonly Lazy<LearningSet> _pairs;
    private readonly Lazy<string[][]> _opponents;

    private SummariseRun(
        SummariseOptions options, SummaryExample[] texts, SummaryExample[] heldOut, ulong seed, IBackend backend, IRunLog log, CancellationToken cancellation)
    {
        (_options, _texts, _heldOut, _seed, _backend, _log, _cancellation) = (options, texts, heldOut, seed, backend, log, cancellation);
        _judge = new SummaryAnswers(heldOut);
        _settings = TokenHash.Of(JsonSerializer.Serialize((object[])[options with { Out = "", Data = "", HeldOut = "", Seeds = 0 }, texts, heldOut]));
        _sft = new(LoadSft);
        _pairs = new(SamplePairs);
        _opponents = new(() => [.. _options.Temperatures.Select(t => Texts(Answer(_sft.Value.Model, t, draw: 2)))]);
    }

    private Transformer Sft => _sft.Value.Model;

    private string Folder => Path.Combine(_options.Out, $"seed-{_seed}", Name);

    /// <summary>
    /// Makes what is missing, writes OUT/summarise.md and OUT/summarise.html; a run's result is OUT/seed-N/summarise/RUN.json, SFT's model
    /// OUT/seed-N/summarise/model.
    /// </summary>
    /// <exception cref="InputException">Bad input; OUT cannot be written, or holds runs with other settings.</exception>
    public static ExperimentReport Run(SummariseOptions options, IBackend backend, IRunLog log, CancellationToken cancellation = default)
    {
        var heldOut = SummaryData.Read(options.HeldOut, least: 2);
        // SciTLDR has one abstract in both parts.
        var known = heldOut.Select(static text => text.Text).ToHashSet();
        SummaryExample[] texts = [.. SummaryData.Read(options.Data).Where(text => !known.Contains(text.Text))];
        if (texts.Length == 0)
        {
            throw new InputException(options.Data, null, $"has no text that is not in {options.HeldOut} too", "give other texts to train on");
        }
        AtomicFile.RequireWritableFolder(options.Out);
        SummariseRun[] seeds = [.. Enumerable.Range(1, options.Seeds).Select(seed => new SummariseRun(options, texts, heldOut, (ulong)seed, backend, log, cancellation))];
        SummaryModel[] models = [.. seeds.Select(static s => s.LoadOrTrainSft())];
        var report = SummariseReport.Of(models, [.. seeds.SelectMany(static s => s.Runs())], heldOut);
        report.Write(options.Out);
        return report;
    }

    private SummaryRun[] Runs()
    {
        var runs = LoadOrMakeRuns();
        if (_sft.IsValueCreated)
        {
            Sft.Free();
        }
        return runs;
    }

    private SummaryRun[] LoadOrMakeRuns() =>
    [
        .. Array.TrueForAll(_judge.HumanAnswers, static a => a is null) ? (SummaryRun[])[] : [Load(Human, "", () => Judged(Human, _judge.HumanAnswers))],
        Load(FirstSentence, "", () => Judged(FirstSentence, _judge.FirstSentences)),
        Load(ExperimentWorld.SftMethod, "", () => Measure(ExperimentWorld.SftMethod, "", Sft)),
        Load(FrontierArm.Preferred, "", () => OnPairs(FrontierArm.Preferred, "", new SftLoss())),
        .. _options.DpoBetas.Select(beta => (Beta: beta, Setting: "beta " + beta.ToString(CultureInfo.InvariantCulture)))
            .Select(arm => Load(FrontierArm.Dpo, arm.Setting, () => OnPairs(FrontierArm.Dpo, arm.Setting, new DpoLoss(arm.Beta)))),
    ];

    private SummaryRun Load(string method, string setting, Func<SummaryRun> make) => LoadOrMake($"{method} {setting}".Trim(), make);

    private T LoadOrMake<T>(string name, Func<T> make)
    {
        _cancellation.ThrowIfCancellationRequested();
        return RunStore.LoadOrMake(Path.Combine(Folder, name.ToLowerInvariant().Replace(' ', '-') + ".json"), _settings, () =>
        {
            _log.Note($"seed {_seed} of {_options.Seeds}: {Name}, {name}");
            return make();
        });
    }

    private SummaryModel LoadOrTrainSft()
    {
        var figures = Path.Combine(Folder, "model.json");
        if (File.Exists(figures) && !Directory.Exists(Path.Combine(Folder, "model")))
        {
            File.Delete(figures); // of a model that is to be made again
        }
        return LoadOrMake("model", TrainSft);
    }

    private SummaryModel TrainSft()
    {
        var tokenizer = BytePairTrainer.Train(string.Join('\n', _texts.Select(SummaryPrompts.Whole)), _options.VocabSize, ["<|endoftext|>"]);
        var model = new Transformer(Config(tokenizer.VocabSize), _backend);
        model.Initialise(_seed);
        var prompts = Prompts(tokenizer);
        SftExample[] summaries =
            [.. _texts.SelectMany(text => text.Targets.Select(target => new SftExample(text.Line, prompts.Prompt(text).Ids, prompts.Summary(target))))];
        SftExample[] whole = [.. summaries.Select(static e => e with { Prompt = e.Prompt[..1], Completion = [.. e.Prompt[1..], .. e.Completion] })];
        Train("language", model, new SftTask(model, whole), _options.Language);
        Train(ExperimentWorld.SftMethod, model, new SftTask(model, summaries), _options.Sft);
        (int[] Prompt, int[] Completion)[] heldOut = [.. _heldOut.Select(text => (prompts.Prompt(text).Ids, prompts.Summary(text.Targets[0])))];
        var loss = -PolicyDivergence.LogProbs(model, heldOut, cancellation: _cancellation).Sum() / heldOut.Sum(static s => s.Completion.Length);
        ModelFile.Save(Path.Combine(Folder, "model"), model, tokenizer);
        var made = new SummaryModel(model.Weights.Count, loss, _heldOut.Average(text => prompts.IsCut(text) ? 1.0 : 0));
        model.Free();
        return made;
    }

    private (Transformer Model, ITokenizer Tokenizer, SummaryPrompts Prompts) LoadSft()
    {
        var (model, tokenizer) = ModelFile.Load(Path.Combine(Folder, "model"), _backend);
        return (model, tokenizer, Prompts(tokenizer));
    }

    private SummaryPrompts Prompts(ITokenizer tokenizer) => new(tokenizer, _options.Context, _options.MaxTokens);

    private ModelConfig Config(int vocabulary) => ModelConfig.Llama(
        vocabulary, _options.HiddenSize, _options.Layers, _options.Heads, _options.IntermediateSize, _options.Context).Validated(Name);

    private void Train(string name, Transformer model, ITrainingTask task, TrainingOptions training, double? firstLoss = null) => TrainingStage.Run(
        _log, $"seed {_seed}: {name}", model, task, training with { Seed = _seed }, firstLoss, cancellation: _cancellation);

    private SummaryRun OnPairs(string method, string setting, IPreferenceLoss loss)
    {
        var (set, policy) = (_pairs.Value, Sft.Clone());
        Train($"{method} {setting}".Trim(), policy, new DpoTask(policy, set.Pairs, set.Reference, loss), _options.Preference, loss.AtReference);
        var measured = Measure(method, setting, policy);
        policy.Free();
        return measured;
    }

    private LearningSet SamplePairs()
    {
        _log.Stage($"seed {_seed}: sampling pairs", _texts.Length * _options.Completions);
        (int[] Ids, string Text)[] prompts = [.. _texts.Select(_sft.Value.Prompts.Prompt)];
        var reward = new RougeReward("rouge-l", Rouge.L, prompts.Select((p, i) => (p.Text, (IReadOnlyList<string>)_texts[i].Targets)));
        var options = new PairSamplerOptions { Pairing = Pairing.BestWorst, Generation = Generation(1, draw: 0) };
        var completions = PairSampler.Sample(
            Sft, _sft.Value.Tokenizer, prompts, _options.Completions, options.Generation, reward, n => _log.Advance(n), _cancellation);
        PreferencePair[] pairs =
            [.. PairSampler.Pair(completions, options).Select((p, i) => new PreferencePair(i, prompts[p.Prompt].Ids, p.Chosen.Tokens, p.Rejected.Tokens))];
        return pairs.Length > 0
            ? new LearningSet(pairs, ReferenceLogProbs.Compute(Sft, pairs, cancellation: _cancellation), _options.Preference.Epochs)
            : throw new InputException(_options.Data, null, "gave no two summaries of different ROUGE-L", "give more texts");
    }

    private SummaryRun Measure(string method, string setting, Transformer policy)
    {
        int[][][] answers = [.. _options.Temperatures.Select(t => Answer(policy, t, draw: 1))];
        var drawn = answers[Array.IndexOf(_options.Temperatures, 1)];
        var kl = PolicyDivergence.Measure(policy, Sft, [.. _heldOut.Zip(drawn, (text, tokens) => (_sft.Value.Prompts.Prompt(text).Ids, tokens))], cancellation: _cancellation).Kl;
        return Judged(method, setting, Statistics.Mean(kl), [.. answers.Select(Texts)]);
    }

    // The same answers at every temperature, which only SFT's differ by.
    private SummaryRun Judged(string method, string?[] answers) => Judged(method, "", null, [.. _options.Temperatures.Select(_ => answers)]);

    private SummaryRun Judged(string method, string setting, Interval? kl, string?[][] answers) => new(
        method, setting, _seed, kl, [.. answers.Select((a, t) => _judge.Judge(_options.Temperatures[t], a, _opponents.Value[t]))],
        [.. answers[0].Take(_options.Shown)]);

    private int[][] Answer(Transformer policy, double temperature, ulong draw)
    {
        _log.Stage($"seed {_seed}: held-out summaries", _heldOut.Length);
        int[][] prompts = [.. _heldOut.Select(text => _sft.Value.Prompts.Prompt(text).Ids)];
        return [.. Generator.Sample(policy, prompts, Generation(temperature, draw), n => _log.Advance(n), _cancellation).Select(static c => c.Tokens)];
    }

    private string[] Texts(int[][] answers) => [.. answers.Select(tokens => _sft.Value.Tokenizer.DecodeContinuation(tokens))];

    private GenerationOptions Generation(double temperature, ulong draw) => new()
    {
        MaxTokens = _options.MaxTokens,
        EosId = _sft.Value.Tokenizer.EosId,
        Seed = (3 * _seed) + draw,
        Sampling = new SamplingOptions(temperature),
    };
}
