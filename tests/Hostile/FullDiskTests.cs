using System.Diagnostics;
using System.Text.Json;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>
/// A run whose disk gets full, a small file system in memory: it ends with one line, what it saved is whole, and once there is room it goes on
/// to the bits of a run that had room from the start.
/// </summary>
public class FullDiskTests
{
    private const int DiskKilobytes = 4096;

    private TemporaryFolder _folder = null!;
    private string _disk = null!;
    private byte[] _expected = null!;

    [OneTimeSetUp]
    public void MountAndRunWhole()
    {
        _folder = new TemporaryFolder();
        _disk = _folder.File("disk");
        Directory.CreateDirectory(_disk);
        if (!OperatingSystem.IsLinux() || Run("mount", "-t", "tmpfs", "-o", $"size={DiskKilobytes}k", "tmpfs", _disk) != 0)
        {
            _disk = "";
            Assert.Ignore("needs the right to mount a file system in memory");
        }
        TinyModelFolder.Save(_folder.File("base"));
        File.WriteAllLines(_folder.File("pairs.jsonl"), Enumerable.Range(0, 12).Select(static i => JsonSerializer.Serialize(
            new { prompt = "the film was", chosen = " good" + new string('!', i), rejected = " bad" + new string('?', i) })));
        Train(_folder.File("whole")).Succeeded();
        _expected = File.ReadAllBytes(_folder.File("whole/model/model.safetensors"));
    }

    [OneTimeTearDown]
    public void Unmount()
    {
        if (_disk.Length > 0)
        {
            Run("umount", _disk);
        }
        _folder.Dispose();
    }

    /// <summary>A checkpoint takes some 100 kB: the disk is full in the first one, or after some.</summary>
    [Test]
    public void ARunOnAFullDiskIsResumedToTheSameBits([Values(60, 290)] int kilobytes) => FillAndResume(kilobytes);

    /// <summary>Full at every place: before anything is written, in each file of a checkpoint, in the metrics, in the model.</summary>
    [Test]
    [Category("Long")]
    public void WhereverItGetsFull()
    {
        for (var kilobytes = 0; kilobytes < 800; kilobytes += 36)
        {
            FillAndResume(kilobytes);
        }
    }

    private void FillAndResume(int kilobytes)
    {
        var (filler, run) = Fill(kilobytes);
        var full = Train(run);
        full.AssertFails(TinyDpo.Cli.CommandLine.Failure, "disk", _disk);
        var checkpoints = Directory.Exists(run) ? Directory.GetDirectories(run, "checkpoint-*") : [];
        Assert.That(checkpoints.Length, Is.EqualTo(0).Or.GreaterThanOrEqualTo(kilobytes / 200), $"{kilobytes} kB");
        foreach (var checkpoint in checkpoints)
        {
            Assert.That(checkpoint, Does.Not.EndWith(".partial"), $"{kilobytes} kB");
            Assert.That(() => Checksums.Verify(checkpoint), Throws.Nothing, $"{kilobytes} kB");
        }
        File.Delete(filler);
        Train(run, "--resume").Succeeded();
        Assert.That(File.ReadAllBytes(Path.Combine(run, "model/model.safetensors")), Is.EqualTo(_expected), $"{kilobytes} kB");
        Assert.That(File.ReadAllLines(Path.Combine(run, "metrics.jsonl")), Has.Length.EqualTo(9), $"{kilobytes} kB: a line a step");
        Assert.That(Directory.EnumerateFileSystemEntries(run).Select(Path.GetFileName), Has.None.EndsWith(".partial").And.None.EndsWith(".tmp"));
    }

    /// <summary>
    /// Data larger than the disk that it is to lie on while it is in use: full while it is read, or when what is left in the buffer is written.
    /// </summary>
    [TestCase(200, 3000)]
    [TestCase(0, 20)]
    public void DataThatTheDiskCannotHoldLeavesNothing(int kilobytes, int rows)
    {
        var (filler, run) = Fill(kilobytes);
        var ids = $"[{string.Join(',', Enumerable.Repeat(1, 100))}]";
        File.WriteAllLines(_folder.File("ids.jsonl"), Enumerable.Repeat($$"""{"prompt_ids": {{ids}}, "chosen_ids": {{ids}}, "rejected_ids": {{ids}}}""", rows));
        var free = new DriveInfo(_disk).AvailableFreeSpace;
        var error = Assert.Throws<InputException>(() =>
        {
            using var pairs = PreferenceData.Read(_folder.File("ids.jsonl"), tokenizer: null, new PreferenceDataOptions { ScratchFolder = run }).Pairs;
            _ = pairs[0];
        });
        Assert.That(error!.Message, Does.Contain(_disk).And.Contain("the disk is full").And.Not.Contain("\n"));
        Assert.That(Directory.EnumerateFileSystemEntries(_disk), Is.EqualTo(new[] { filler }));
        Assert.That(new DriveInfo(_disk).AvailableFreeSpace, Is.EqualTo(free), "the file without a name is gone too");
        File.Delete(filler);
    }

    // A disk with so much left, and a run's folder that is not there.
    private (string Filler, string Run) Fill(int kilobytes)
    {
        var (filler, run) = (Path.Combine(_disk, "filler"), Path.Combine(_disk, "run"));
        if (Directory.Exists(run))
        {
            Directory.Delete(run, recursive: true);
        }
        using var stream = File.Create(filler, 1);
        // A page at a time: the file system gives nothing less.
        for (var free = new DriveInfo(_disk).AvailableFreeSpace; free > 1024L * kilobytes; free = new DriveInfo(_disk).AvailableFreeSpace)
        {
            stream.Write(new byte[4096]);
        }
        return (filler, run);
    }

    private CommandLineRun Train(string run, params string[] more) => CommandLineRun.OfProcess(
        [],
        [
            "dpo", "--model", _folder.File("base"), "--data", _folder.File("pairs.jsonl"), "--out", run, "--epochs", "3", "--batch-size", "4",
            "--checkpoint-every", "1", "--keep-checkpoints", "100", "--threads", "1", "--quiet", .. more,
        ]);

    private static int Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1; // there is no such program
        }
    }
}
