using System.Text.Json;
using TinyDpo.Cli;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>TR-DPO: a reference that follows the policy, alone and in runs from the command line.</summary>
internal sealed class MovingReferenceTests
{
    private TemporaryFolder _folder = null!;
    private string[] _command = null!;

    [OneTimeSetUp]
    public void Save()
    {
        _folder = new TemporaryFolder();
        var data = _folder.File("pairs.jsonl");
        File.WriteAllLines(data, Enumerable.Range(0, 10).Select(static i =>
            $$"""{"prompt": "the film was", "chosen": " good{{new string('!', i)}}", "rejected": " bad{{new string('?', 7 * i % 10)}}"}"""));
        // Six steps.
        _command =
        [
            "dpo", "--model", TinyModelFolder.Save(_folder.File("model")), "--data", data, "--eval-data", data, "--batch-size", "5", "--epochs", "3",
            "--learning-rate", "3e-3", "--checkpoint-every", "2",
        ];
    }

    [OneTimeTearDown]
    public void Delete() => _folder.Dispose();

    [TestCase(0.6)]
    [TestCase(1)]
    public void AtEachMultipleOfTheStepsItBecomesTheMixture(double mixup)
    {
        using var backend = PoisonedBackend.Create();
        var (policy, reference) = (TinyModels.Create(backend), TinyModels.Create(backend, seed: 2));
        var pairs = TinyModels.Pairs(4);
        var moving = new MovingReference(policy, reference, pairs, new DpoLoss(), new ReferenceSync(mixup, 3), policy.Config.MaxPositions);
        var (own, before) = (TinyModels.Weights(policy), TinyModels.Weights(reference));
        moving.Updated(1);
        moving.Updated(2);
        Assert.That(TinyModels.Weights(reference), Is.EqualTo(before));
        moving.Updated(3);
        var after = TinyModels.Weights(reference);
        for (var i = 0; i < own.Length; i++)
        {
            var expected = (mixup * own[i]) + ((1 - mixup) * before[i]);
            Assert.That((double)after[i], Is.EqualTo(expected).Within((sizeof(Real) == 4 ? 2e-7 : 1e-15) * (Math.Abs(own[i]) + Math.Abs(before[i]))));
        }
        Assert.That(TinyModels.Weights(policy), Is.EqualTo(own));
        Assert.That(moving.At([2, 0]).Chosen, Is.EqualTo(ReferenceLogProbs.Compute(reference, pairs).At([2, 0]).Chosen), "log-probs of the weights as they are now");
    }

    /// <summary>Before its first synchronisation it is the reference that stands still, kto's mismatched completions included.</summary>
    [TestCase("sigmoid")]
    [TestCase("kto")]
    public void UntilItMovesTheRunIsThatOfAStandingReference(string loss)
    {
        var still = Run($"still {loss}", "--loss", loss);
        Assert.That(Run($"late {loss}", "--loss", loss, "--sync-reference"), Is.EqualTo(still));
        Assert.That(Run($"soon {loss}", "--loss", loss, "--sync-reference", "--reference-sync-steps", "2"), Is.Not.EqualTo(still));
        Assert.That(File.Exists(_folder.File($"late {loss}/{ReferenceCache.FileName}")), Is.False, "nothing is cached");
    }

    /// <summary>A reference that is the policy after every step leaves the margin at 0 and the loss at ln 2.</summary>
    [Test]
    public void ACopyAtEveryStepKeepsTheMarginAtZero()
    {
        Run("copies", "--sync-reference", "--reference-mixup-alpha", "1", "--reference-sync-steps", "1");
        foreach (var line in File.ReadLines(_folder.File("copies/metrics.jsonl")).Select(static l => JsonSerializer.Deserialize<Dictionary<string, double>>(l)!))
        {
            var prefix = line.ContainsKey("loss") ? "" : "eval_";
            Assert.That((line[prefix + "rewards/chosen"], line[prefix + "rewards/rejected"]), Is.EqualTo((0.0, 0.0)));
            Assert.That(line[prefix + "loss"], Is.EqualTo(Math.Log(2)).Within(1e-6));
        }
    }

    /// <summary>Synchronised after step 3, checkpoint at 4: the rest needs the reference of then.</summary>
    [TestCase("sigmoid")]
    [TestCase("kto")]
    public void AResumedRunHasTheReferenceOfItsCheckpoint(string loss)
    {
        string[] sync = ["--loss", loss, "--sync-reference", "--reference-sync-steps", "3"];
        var whole = Run($"resumed {loss}", sync);
        Directory.Delete(_folder.File($"resumed {loss}/model"), recursive: true);
        Assert.That(Run($"resumed {loss}", [.. sync, "--resume"]), Is.EqualTo(whole));
        Directory.Delete(_folder.File($"resumed {loss}/model"), recursive: true);
        Fails(CommandLine.Failure, $"resumed {loss}", ["--loss", loss, "--sync-reference", "--reference-sync-steps", "2", "--resume"], "belongs to a run");
    }

    [Test]
    public void WhatHasNoEffectIsRefused()
    {
        Fails(CommandLine.BadUsage, "refused", ["--reference-mixup-alpha", "0.5"], "--reference-mixup-alpha", "--sync-reference");
        Fails(CommandLine.BadUsage, "refused", ["--reference-sync-steps", "5"], "--reference-sync-steps", "--sync-reference");
        Fails(CommandLine.BadUsage, "refused", ["--sync-reference", "--reference-mixup-alpha", "0"], "--reference-mixup-alpha");
        foreach (var loss in new[] { "simpo", "sigmoid --reference-free", "sigmoid --no-weight" })
        {
            Fails(CommandLine.BadUsage, "refused", ["--sync-reference", "--loss", .. loss.Split(' ')], "--sync-reference has no effect");
        }
    }

    [Test]
    public void ACachedReferenceOrOneOfAnotherShapeIsRefused()
    {
        Directory.CreateDirectory(_folder.File("cached"));
        File.WriteAllText(_folder.File($"cached/{ReferenceCache.FileName}"), "");
        Fails(CommandLine.Failure, "cached", ["--sync-reference"], ReferenceCache.FileName, "stands still");
        using var backend = new CpuBackend(1);
        var (model, tokenizer) = ModelFile.Load(_folder.File("model"), backend);
        var wider = new Transformer(model.Config with { IntermediateSize = 32 }, backend);
        wider.Initialise(1);
        ModelFile.Save(_folder.File("wider"), wider, tokenizer);
        Fails(CommandLine.Failure, "shape", ["--sync-reference", "--reference", _folder.File("wider")], "wider", "parameters");
    }

    /// <summary>A loss says that it uses the reference exactly where another reference gives another gradient.</summary>
    [TestCaseSource(typeof(LossCase), nameof(LossCase.All))]
    public void LossesKnowWhetherTheReferenceMatters(LossCase c)
    {
        using var backend = new CpuBackend(1);
        var batch = LossBatch.FromRatios([(0.5, -0.25), (-1, 2), (0.25, 0.75)]);
        var other = batch with
        {
            ReferenceChosen = [.. batch.ReferenceChosen.Select(static (x, i) => i == 0 ? x - 30 : x + 0.5)], // 30 nats: past hinge's kink
            ReferenceRejected = [.. batch.ReferenceRejected.Select(static x => x - 0.25)],
        };
        var (_, chosen, rejected) = batch.Evaluate(backend, c.Loss);
        var (_, otherChosen, otherRejected) = other.Evaluate(backend, c.Loss);
        Assert.That(c.Loss.UsesReference, Is.EqualTo(!chosen.SequenceEqual(otherChosen) || !rejected.SequenceEqual(otherRejected)));
    }

    private byte[] Run(string name, params string[] more)
    {
        CommandLineRun.Of([.. _command, "--out", _folder.File(name), .. more]).Succeeded();
        return File.ReadAllBytes(_folder.File($"{name}/model/model.safetensors"));
    }

    private void Fails(int exitCode, string name, string[] more, params string[] parts) =>
        CommandLineRun.Of([.. _command, "--out", _folder.File(name), .. more]).AssertFails(exitCode, parts);
}
