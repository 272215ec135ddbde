using System.Diagnostics;
using System.Text.Json;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>Runs killed without a word (SIGKILL) at random moments: whatever the moment, resuming ends in the bits of the run never killed.</summary>
[Category("Long")]
public class KillTests
{
    private const int Kills = 50;
    private const int Steps = 60;

    [Test]
    public void AKilledRunResumedEndsInTheBitsOfTheRunNeverKilled()
    {
        using var folder = new TemporaryFolder();
        TinyModelFolder.Save(folder.File("base"));
        File.WriteAllLines(folder.File("pairs.jsonl"), Enumerable.Range(0, 12).Select(static i => JsonSerializer.Serialize(
            new { prompt = "the film was", chosen = " good" + new string('!', i), rejected = " bad" + new string('?', i) })));
        var clock = Stopwatch.StartNew();
        Finish("whole");
        var whole = clock.Elapsed;
        var expected = Bytes("whole");

        int kills = 0, runs = 0, mostSteps = 0;
        for (var number = 0; kills < Kills; runs++)
        {
            var name = $"run-{runs}";
            for (var killed = true; killed && kills < Kills; number++)
            {
                killed = RunFor(name, Philox.Uniform(13, RandomPurpose.Test, 4, 0, number) * whole);
                kills += killed ? 1 : 0;
                mostSteps = Math.Max(mostSteps, Checkpointed(name));
            }
            Finish(name);
            Assert.That(Bytes(name), Is.EqualTo(expected), name);
            Assert.That(
                Directory.EnumerateFileSystemEntries(folder.File(name)).Select(Path.GetFileName), Has.None.EndsWith(".partial").And.None.EndsWith(".tmp"));
        }
        Assert.That(mostSteps, Is.GreaterThan(0), "some kill came after a checkpoint");
        TestContext.Out.WriteLine($"{kills} kills over {runs} runs");

        string[] Arguments(string name) =>
        [
            "dpo", "--model", folder.File("base"), "--data", folder.File("pairs.jsonl"), "--out", folder.File(name), "--epochs", $"{Steps / 3}",
            "--batch-size", "4", "--checkpoint-every", "2", "--keep-checkpoints", "3", "--threads", "1", "--quiet", .. Resumes(name),
        ];

        // A run that was killed after all its work has nothing to resume: its model stands.
        string[] Resumes(string name) => Directory.Exists(folder.File(name)) ? ["--resume"] : [];

        int Checkpointed(string name) => Directory.Exists(folder.File(name)) ? Directory.EnumerateDirectories(folder.File(name), "checkpoint-*").Count() : 0;

        // Whether it had to be killed.
        bool RunFor(string name, TimeSpan time)
        {
            using var process = CommandLineRun.Start(Arguments(name));
            process.StandardInput.Close();
            if (process.WaitForExit(time))
            {
                return false;
            }
            process.Kill();
            process.WaitForExit();
            return true;
        }

        void Finish(string name)
        {
            using var process = CommandLineRun.Start(Arguments(name));
            process.StandardInput.Close();
            var run = CommandLineRun.Wait(process);
            Assert.That(run.ExitCode == 0 || run.Error.Contains("this run is finished", StringComparison.Ordinal), $"{name}: {run.Error}");
        }

        byte[] Bytes(string name) => File.ReadAllBytes(folder.File($"{name}/model/model.safetensors"));
    }
}
