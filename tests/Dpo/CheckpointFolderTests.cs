using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class CheckpointFolderTests
{
    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;
    private Transformer _model = null!;

    [SetUp]
    public void Open()
    {
        (_folder, _backend) = (new TemporaryFolder(), PoisonedBackend.Create());
        _model = TinyModels.Create(_backend);
    }

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void OldCheckpointsArePrunedToTheNewestOnes()
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        var run = new TrainingRun(
            _model, new RecordingTask(_model, examples: 12), new TrainingOptions { BatchSize = 1, CheckpointEvery = 1, KeepCheckpoints = 3 }, checkpoints);
        run.Run();
        // By number, not by name: 9 is older than 10. The last step's is the model itself.
        Assert.That(
            Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "checkpoint-9", "checkpoint-10", "checkpoint-11" }));
        Assert.That(checkpoints.Newest(), Is.EqualTo(_folder.File("checkpoint-11")));
    }

    [Test]
    public void ACheckpointHoldsWeightsAndStateAndRefusesAnotherRun([Values] OptimiserKind kind)
    {
        var options = new TrainingOptions { BatchSize = 1, Optimiser = kind, CheckpointEvery = 3, LearningRate = 0.01 };
        var (weights, states) = (new List<Real[]>(), new List<int>());
        var run = new TrainingRun(_model, new RecordingTask(_model, examples: 4), options, new CheckpointFolder(_folder.Path, "key"));
        run.Run(_ => weights.Add(TinyModels.Weights(_model)));

        var other = TinyModels.Create(_backend, seed: 9);
        var resumed = new TrainingRun(other, new RecordingTask(other, examples: 4), options, new CheckpointFolder(_folder.Path, "key"));
        Assert.That(resumed.TryResume(), Is.True);
        Assert.That(resumed.Step, Is.EqualTo(3));
        Assert.That(TinyModels.Weights(other), Is.EqualTo(weights[2]));
        resumed.Run();
        Assert.That(TinyModels.Weights(other), Is.EqualTo(weights[3]), "the last step, with the optimiser's state of the third");
        var stranger = new TrainingRun(other, new RecordingTask(other, examples: 4), options, new CheckpointFolder(_folder.Path, "another key"));
        Assert.That(() => stranger.TryResume(), Throws.InstanceOf<InputException>().With.Message.Contains("belongs to a run with other data"));
        using var empty = new TemporaryFolder();
        Assert.That(new TrainingRun(other, new RecordingTask(other, 4), options, new CheckpointFolder(empty.Path, "key")).TryResume(), Is.False);
    }

    [Test]
    public void AHalfWrittenCheckpointIsNotTaken()
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        var partial = _folder.File("checkpoint-7.dfc4f2bc.partial");
        Directory.CreateDirectory(partial);
        Directory.CreateDirectory(_folder.File("checkpoint-x"));
        Assert.That(checkpoints.Newest(), Is.Null);
        var optimiser = new AdamW(_model.Weights) { Steps = 7 };
        Assert.That(checkpoints.Save(_model, optimiser), Is.EqualTo(_folder.File("checkpoint-7")));
        Assert.That(Directory.Exists(partial), Is.False);
        File.Delete(_folder.File("checkpoint-7/optimizer.safetensors"));
        Assert.That(() => checkpoints.TryLoadNewest(_model, optimiser), Throws.InstanceOf<InputException>().With.Message.Contains("optimizer.safetensors"));
    }

    [TestCase("[]")]
    [TestCase("null")]
    [TestCase("{}")]
    [TestCase("""{"Step":7}""")]
    [TestCase("""{"Step":"7","Key":"key"}""")]
    [TestCase("""{"Step":7.5,"Key":"key"}""")]
    [TestCase("""{"Step":99999999999,"Key":"key"}""")]
    [TestCase("""{"Step":8,"Key":"key"}""")]
    [TestCase("""{"Step":7,"Key":["key"]}""")]
    [TestCase("torn")]
    public void AStateThatNobodyWroteIsRefused(string state)
    {
        var checkpoints = new CheckpointFolder(_folder.Path, "key");
        var optimiser = new AdamW(_model.Weights) { Steps = 7 };
        checkpoints.Save(_model, optimiser);
        Assert.That(checkpoints.TryLoadNewest(_model, optimiser), Is.True);
        File.WriteAllText(_folder.File("checkpoint-7/trainer_state.json"), state);
        Assert.That(() => checkpoints.TryLoadNewest(_model, optimiser), Throws.InstanceOf<InputException>().With.Message.Contains("checksums.json"));
        Checksums.Write(_folder.File("checkpoint-7"));
        Assert.That(() => checkpoints.TryLoadNewest(_model, optimiser), Throws.InstanceOf<InputException>().With.Message.Contains("trainer_state.json"));
    }

    /// <summary>A flipped byte anywhere: the checkpoint is refused, the one before it used, and the damaged one written anew.</summary>
    [TestCase("model.safetensors")]
    [TestCase("optimizer.safetensors")]
    [TestCase("trainer_state.json")]
    [TestCase("checksums.json")]
    public void ADamagedCheckpointIsPassedOverForTheOneBefore(string name)
    {
        var options = new TrainingOptions { BatchSize = 1, CheckpointEvery = 2, LearningRate = 0.01 };
        Run(TinyModels.Create(_backend), out var whole);
        var path = _folder.File($"checkpoint-4/{name}");
        var bytes = File.ReadAllBytes(path);
        bytes[bytes.Length / 2] ^= 4;
        File.WriteAllBytes(path, bytes);

        var notes = new List<string>();
        var model = TinyModels.Create(_backend, seed: 9);
        var resumed = new TrainingRun(model, new RecordingTask(model, examples: 6), options, new CheckpointFolder(_folder.Path, "key"));
        Assert.That(resumed.TryResume(notes.Add), Is.True);
        Assert.That(resumed.Step, Is.EqualTo(2));
        Assert.That(notes, Has.Count.EqualTo(1));
        Assert.That(notes[0], Does.Contain(_folder.File("checkpoint-4")));
        resumed.Run();
        Assert.That(TinyModels.Weights(model), Is.EqualTo(whole));
        Assert.That(() => Checksums.Verify(_folder.File("checkpoint-4")), Throws.Nothing, "written anew");

        foreach (var step in new[] { 2, 4 })
        {
            File.Delete(_folder.File($"checkpoint-{step}/{name}"));
        }
        Assert.That(
            () => new CheckpointFolder(_folder.Path, "key").TryLoadNewest(model, new AdamW(model.Weights)),
            Throws.TypeOf<InputException>().With.Message.Contains("checkpoint-4"), "none is left");

        void Run(Transformer trained, out Real[] weights)
        {
            new TrainingRun(trained, new RecordingTask(trained, examples: 6), options, new CheckpointFolder(_folder.Path, "key")).Run();
            weights = TinyModels.Weights(trained);
        }
    }

    /// <summary>The manifest covers shards and their index as it does a single file.</summary>
    [TestCase("model-00002-of-*.safetensors")]
    [TestCase("model.safetensors.index.json")]
    public void AShardedCheckpointIsReadAndADamagedShardFound(string pattern)
    {
        var most = 1 + (sizeof(Real) * (long)_model.Parameters().Sum(static p => p.Value.Shape.Count) / 3);
        var checkpoints = new CheckpointFolder(_folder.Path, "key", most);
        checkpoints.Save(_model, new AdamW(_model.Weights) { Steps = 2 });
        var (other, optimiser) = (TinyModels.Create(_backend, seed: 9), new AdamW(_model.Weights) { Steps = 4 });
        checkpoints.Save(other, optimiser);
        var path = Directory.GetFiles(_folder.File("checkpoint-4"), pattern).Single();
        var bytes = File.ReadAllBytes(path);
        bytes[^2] ^= 1;
        File.WriteAllBytes(path, bytes);

        var read = TinyModels.Create(_backend, seed: 7);
        var notes = new List<string>();
        Assert.That(checkpoints.TryLoadNewest(read, optimiser, refused: notes.Add), Is.True);
        Assert.That(notes.Single(), Does.Contain(path));
        Assert.That((optimiser.Steps, TinyModels.Weights(read)), Is.EqualTo((2, TinyModels.Weights(_model))));
    }

    [Test]
    public void WhatACrashLeftOfCheckpointsIsRemovedByTheNextSave()
    {
        Directory.CreateDirectory(_folder.File("checkpoint-3.01234567.partial"));
        File.WriteAllText(_folder.File("checkpoint-3.01234567.partial/model.safetensors"), "torn");
        Directory.CreateDirectory(_folder.File("checkpoint-7.dfc4f2bc.partial"));
        File.WriteAllText(_folder.File("checkpoint-7.dfc4f2bc.partial/rest"), "torn");
        new CheckpointFolder(_folder.Path, "key").Save(_model, new AdamW(_model.Weights) { Steps = 7 });
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(new[] { "checkpoint-7" }));
        Assert.That(
            Directory.EnumerateFileSystemEntries(_folder.File("checkpoint-7")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "model.safetensors", "optimizer.safetensors", "trainer_state.json", "checksums.json" }));
    }

    /// <summary>Killed while it wrote a file of its own, a run leaves that file's temporary; files of others stay.</summary>
    [Test]
    public void WhatAKillLeftOfFilesIsRemovedByTheNextRun()
    {
        File.WriteAllText(_folder.File(".dfc4f2bcf2164ad9b46ca569c139b3b0.tmp"), "torn");
        File.WriteAllText(_folder.File(".notes.tmp"), "mine");
        _ = new RunFolder(_folder.Path, resume: true, key: "", options: new { });
        Assert.That(Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName), Is.EqualTo(new[] { ".notes.tmp" }));
    }

    [Test]
    public void ACheckpointWhoseNameIsTakenIsRefusedInOneLine()
    {
        File.WriteAllText(_folder.File("checkpoint-7"), "");
        Assert.That(
            () => new CheckpointFolder(_folder.Path, "key").Save(_model, new AdamW(_model.Weights) { Steps = 7 }),
            Throws.InstanceOf<InputException>().With.Message.Contains("checkpoint-7"));
    }

    [Test]
    public void AnInterruptedRunKeepsNoMoreCheckpointsThanAsked()
    {
        using var stop = new CancellationTokenSource();
        var options = new TrainingOptions { BatchSize = 1, CheckpointEvery = 2, KeepCheckpoints = 2 };
        var run = new TrainingRun(_model, new RecordingTask(_model, examples: 8), options, new CheckpointFolder(_folder.Path, "key"));
        Assert.That(
            () => run.Run(
                r =>
                {
                    if (r.Step == 4)
                    {
                        stop.Cancel();
                    }
                },
                cancellation: stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
        Assert.That(
            Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName), Is.EquivalentTo(new[] { "checkpoint-4", "checkpoint-5" }));
    }
}
