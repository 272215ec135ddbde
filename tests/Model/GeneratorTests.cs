using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Tests;

/// <summary>Generation with a cache against the forward pass over the whole prefix.</summary>
[TestFixture(true, false)]
[TestFixture(false, true)]
public class GeneratorTests(bool tied, bool interleaved)
{
    private const int Vocabulary = 29;
    private static readonly SamplingOptions s_greedy = new(Temperature: 0);

    private CpuBackend _backend = null!;
    private Transformer _model = null!;
    private int[][] _prompts = null!;

    [SetUp]
    public void Open()
    {
        _backend = PoisonedBackend.Create(threads: 2);
        _model = TinyModels.Create(_backend, TinyModels.Config(tied, interleaved: interleaved));
        _prompts = [.. Enumerable.Range(0, 9).Select(static i => TinyModels.Tokens(5, i, 12, Vocabulary))];
    }

    [TearDown]
    public void Close() => _backend.Dispose();

    [Test]
    public void GreedyTokensAreThoseOfTheWholePrefix()
    {
        var samples = Generator.Sample(_model, _prompts, new GenerationOptions { MaxTokens = 15, Sampling = s_greedy, Slots = 4 });
        for (var i = 0; i < _prompts.Length; i++)
        {
            int[] sequence = [.. _prompts[i]];
            for (var n = 0; n < 15; n++)
            {
                sequence = [.. sequence, Array.IndexOf(NextLogits(sequence), NextLogits(sequence).Max())];
            }
            Assert.That(samples[i].Tokens, Is.EqualTo(sequence[_prompts[i].Length..]), $"prompt {i}");
            Assert.That(samples[i].Ended, Is.False);
        }
    }

    /// <summary>Slots of different lengths side by side, fed from the cache, against the packed forward pass that training runs.</summary>
    [Test]
    public void LogProbsWithTheCacheAreThoseOfTheForwardPass()
    {
        var sequences = Enumerable.Range(0, 5).Select(static i => TinyModels.Tokens(6, i, 30, Vocabulary)).Where(static s => s.Length > 1).ToArray();
        using var scope = new StepScope(_backend, gradients: false);
        var expected = _model.TokenLogProbs(PackedBatch.Pack(
            _backend, [.. sequences.Select(static s => new PromptGroup(s[..1], [s[1..]]))])).ToArray();

        var cache = new KeyValueCache(_model, sequences.Length, sequences.Max(static s => s.Length));
        var actual = sequences.Select(static _ => new List<Real>()).ToArray();
        for (var step = 0; step < sequences.Max(static s => s.Length) - 1; step++)
        {
            // Sequences that have ended repeat their last token in place: their slot must not matter to the others.
            int[] at = [.. sequences.Select(s => Math.Min(step, s.Length - 1))];
            var hidden = _model.Hidden(
                OpTable.Index(_backend, [.. sequences.Select((s, i) => s[at[i]])]), OpTable.Index(_backend, at),
                cache.Attend(OpTable.Index(_backend, [.. at.Select(static p => p + 1)]), sequences.Length));
            var rows = Enumerable.Range(0, sequences.Length).Where(i => step < sequences[i].Length - 1).ToArray();
            var logProbs = LinearLogProb(
                hidden, _model.Head, OpTable.Index(_backend, rows), OpTable.Index(_backend, [.. rows.Select(i => sequences[i][step + 1])])).ToArray();
            foreach (var (row, logProb) in rows.Zip(logProbs))
            {
                actual[row].Add(logProb);
            }
        }
        var all = actual.SelectMany(static a => a).ToArray();
        Assert.That(all, Has.Length.EqualTo(expected.Length));
        for (var i = 0; i < all.Length; i++)
        {
            Assert.That(all[i], Is.EqualTo(expected[i]).Within(sizeof(Real) == 4 ? 2e-5 : 1e-13), $"token {i}");
        }
    }

    [Test]
    public void AContinuationDependsOnSeedIndexAndPromptAlone()
    {
        GenerationOptions Options(ulong seed, int slots) => new() { MaxTokens = 20, Seed = seed, EosId = 3, Slots = slots };
        var all = Tokens(Generator.Sample(_model, _prompts, Options(1, 256)));
        foreach (var slots in new[] { 1, 2, 5 })
        {
            Assert.That(Tokens(Generator.Sample(_model, _prompts, Options(1, slots))), Is.EqualTo(all), $"{slots} slots");
        }
        Assert.That(Tokens(Generator.Sample(_model, _prompts[..4], Options(1, 256))), Is.EqualTo(all[..4]), "without the prompts behind them");
        Assert.That(Tokens(Generator.Sample(_model, _prompts, Options(2, 256))), Is.Not.EqualTo(all), "another seed");
        using var one = new CpuBackend(1);
        var same = TinyModels.Create(one, _model.Config);
        Assert.That(Tokens(Generator.Sample(same, _prompts, Options(1, 256))), Is.EqualTo(all), "one thread");
    }

    /// <summary>Weights are kept packed while sequences are sampled; PPO samples, trains, and samples again.</summary>
    [Test]
    public void WhatIsSampledComesFromTheWeightsAsTheyAre()
    {
        var options = new GenerationOptions { MaxTokens = 20, Seed = 1 };
        var before = Tokens(Generator.Sample(_model, _prompts, options));
        _model.Initialise(5);
        var after = Tokens(Generator.Sample(_model, _prompts, options));
        var fresh = new Transformer(_model.Config, _backend);
        fresh.Initialise(5);
        Assert.That(after, Is.Not.EqualTo(before));
        Assert.That(after, Is.EqualTo(Tokens(Generator.Sample(fresh, _prompts, options))));
    }

    /// <summary>Sequences of two and three blocks of the cache, which end one after the other and move into each other's slots.</summary>
    [Test]
    public void LongSequencesMoveBetweenSlotsUnchanged()
    {
        var model = TinyModels.Create(_backend, _model.Config with { MaxPositions = 200 });
        int[][] prompts = [.. Enumerable.Range(0, 9).Select(static i => TinyModels.Tokens(5, i, 12, Vocabulary)).Select(
            static (p, i) => Enumerable.Repeat(p, 200).SelectMany(static t => t).Take(50 + (17 * i % 90)).ToArray())];
        var options = new GenerationOptions { MaxTokens = 100, Seed = 2, EosId = 3, Slots = 1 };
        var alone = Generator.Sample(model, prompts, options);
        Assert.That(alone.Select(static s => s.Tokens.Length).Distinct().Count(), Is.GreaterThan(3), "they end at different times");
        Assert.That(Tokens(Generator.Sample(model, prompts, options with { Slots = 3 })), Is.EqualTo(Tokens(alone)));
        Assert.That(Tokens(Generator.Sample(model, prompts, options with { Slots = 9 })), Is.EqualTo(Tokens(alone)));

        var greedy = Generator.Sample(model, prompts, options with { Sampling = s_greedy, EosId = null, Slots = 4 });
        foreach (var (prompt, tokens) in prompts.Zip(Tokens(greedy)))
        {
            var logits = NextLogits(model, [.. prompt, .. tokens[..^1]]);
            Assert.That(tokens[^1], Is.EqualTo(Array.IndexOf(logits, logits.Max())));
        }
    }

    [Test]
    public void ASequenceEndsWithTheEndTokenOnceOrAtItsLimit()
    {
        var samples = Generator.Sample(_model, _prompts, new GenerationOptions { MaxTokens = 40, EosId = 3, Seed = 8 });
        Assert.That(samples.Count(static s => s.Ended), Is.InRange(1, _prompts.Length - 1), "some end, some do not");
        foreach (var (tokens, ended) in samples)
        {
            Assert.That(tokens.Count(static t => t == 3), Is.EqualTo(ended ? 1 : 0));
            Assert.That(ended ? tokens[^1] : tokens.Length, Is.EqualTo(ended ? 3 : 40));
        }
        var full = Generator.Sample(_model, [TinyModels.Tokens(1, 0, 1, Vocabulary)], new GenerationOptions { MaxTokens = 1000 })[0];
        Assert.That(full.Tokens, Has.Length.EqualTo(_model.Config.MaxPositions - 1), "the context's end");
        Assert.That(Generator.Sample(_model, _prompts, new GenerationOptions { MaxTokens = 0 })[0].Tokens, Is.Empty);
        Assert.That(Generator.Sample(_model, [], new GenerationOptions()), Is.Empty);
    }

    [Test]
    public void APromptMustLeaveRoom()
    {
        Assert.That(() => Generator.Sample(_model, [[]], new GenerationOptions()), Throws.ArgumentException);
        Assert.That(() => Generator.Sample(_model, [new int[_model.Config.MaxPositions]], new GenerationOptions()), Throws.ArgumentException);
    }

    [Test]
    public void EverySequenceIsReportedOnceAndAllMemoryComesBack()
    {
        _model.Reserve(_model.Config.MaxPositions);
        var before = _backend.Memory.Outstanding;
        var reports = new List<int>();
        Generator.Sample(_model, _prompts, new GenerationOptions { MaxTokens = 9, EosId = 3, Slots = 4 }, reports.Add);
        Assert.That(reports, Is.EqualTo(Enumerable.Range(1, _prompts.Length)));
        Assert.That(_backend.Memory.Outstanding, Is.EqualTo(before));
        using var stop = new CancellationTokenSource();
        Assert.That(
            () => Generator.Sample(_model, _prompts, new GenerationOptions { MaxTokens = 9, Slots = 1 }, _ => stop.Cancel(), stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
        Assert.That(_backend.Memory.Outstanding, Is.EqualTo(before), "after a cancellation");
    }

    /// <summary>Threads that make steps of their own stop together.</summary>
    [Test]
    public void AFailureOnOneThreadEndsTheOthersAndGivesAllMemoryBack()
    {
        _model.Reserve(_model.Config.MaxPositions);
        var before = _backend.Memory.Outstanding;
        var reports = 0;
        var prompts = Enumerable.Repeat(_prompts[0], 5000).ToArray();
        var options = new GenerationOptions { MaxTokens = 9, Slots = 4 };
        Assert.That(() => Generator.Sample(_model, prompts, options, _ => FailAtFirst()), Throws.InstanceOf<IOException>());
        Assert.That(reports, Is.InRange(1, 4000), "the others do not go on to the end");
        using var stop = new CancellationTokenSource();
        Assert.That(() => Generator.Sample(_model, prompts, options, _ => stop.Cancel(), stop.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(_backend.Memory.Outstanding, Is.EqualTo(before));
        Assert.That(Generator.Sample(_model, _prompts, options), Has.Length.EqualTo(_prompts.Length), "the backend goes on");

        void FailAtFirst()
        {
            if (++reports == 1)
            {
                throw new IOException("of the first");
            }
        }
    }

    /// <summary>With more weights than a core's cache holds all threads make one step together, to the same tokens.</summary>
    [Test]
    public void ALargeModelSamplesTheSameOnEveryNumberOfThreads()
    {
        var config = _model.Config with { VocabSize = 30_000, HiddenSize = 40 };
        using var one = new CpuBackend(1);
        var alone = TinyModels.Create(one, config);
        Assert.That(alone.Weights.Count, Is.GreaterThan(1 << 20));
        var options = new GenerationOptions { MaxTokens = 5, Seed = 4 };
        Assert.That(
            Tokens(Generator.Sample(TinyModels.Create(_backend, config), _prompts, options)), Is.EqualTo(Tokens(Generator.Sample(alone, _prompts, options))));
    }

    /// <summary>First tokens sampled from one prompt many times: their frequencies are the model's probabilities.</summary>
    [Test]
    public void SampledTokensHaveTheModelsProbabilities()
    {
        const int count = 4000;
        var prompt = _prompts[0];
        var samples = Generator.Sample(_model, [.. Enumerable.Repeat(prompt, count)], new GenerationOptions { MaxTokens = 1, Seed = 4 });
        var logits = NextLogits(prompt).Select(static z => (double)z).ToArray();
        var total = logits.Sum(z => Math.Exp(z - logits.Max()));
        for (var token = 0; token < Vocabulary; token++)
        {
            var p = Math.Exp(logits[token] - logits.Max()) / total;
            // Five standard deviations, for 29 tokens and a seed that never changes.
            Assert.That(samples.Count(s => s.Tokens[0] == token), Is.EqualTo(count * p).Within(1 + (5 * Math.Sqrt(count * p * (1 - p)))), $"token {token}");
        }
    }

    private static int[][] Tokens(Continuation[] samples) => [.. samples.Select(static s => s.Tokens)];

    private Real[] NextLogits(int[] sequence) => NextLogits(_model, sequence);

    private Real[] NextLogits(Transformer model, int[] sequence)
    {
        using var step = new StepScope(_backend, gradients: false);
        var batch = PackedBatch.Pack(_backend, [new PromptGroup(sequence, [[0]])]);
        return model.Logits(model.Hidden(batch), OpTable.Index(_backend, [sequence.Length - 1])).ToArray();
    }
}
