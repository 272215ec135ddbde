using System.Text;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class AtomicFileTests
{
    [Test]
    public void WritesTheTextAndMakesTheFolder()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("a/b/café.txt");
        AtomicFile.WriteText(path, "first");
        AtomicFile.WriteText(path, "zweite Zeile\nß");
        Assert.That(File.ReadAllBytes(path), Is.EqualTo(Encoding.UTF8.GetBytes("zweite Zeile\nß")));
        Assert.That(FilesIn(folder), Is.EqualTo(new[] { "a/b/café.txt" }));
    }

    [Test]
    public void AFailureLeavesTheOldFileAndNoTemporary()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("weights");
        AtomicFile.WriteText(path, "old");
        var thrown = Assert.Throws<InvalidOperationException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[1 << 20]);
            stream.Flush();
            throw new InvalidOperationException("halfway");
        }));
        Assert.That(thrown!.Message, Is.EqualTo("halfway"));
        Assert.That(File.ReadAllText(path), Is.EqualTo("old"));
        Assert.That(FilesIn(folder), Is.EqualTo(new[] { "weights" }));
    }

    [Test]
    public void TheOldFileStaysReadableWhileTheNewOneIsWritten()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("weights");
        AtomicFile.WriteText(path, "old");
        AtomicFile.Write(path, stream =>
        {
            stream.Write("new"u8);
            stream.Flush();
            Assert.That(File.ReadAllText(path), Is.EqualTo("old"));
        });
        Assert.That(File.ReadAllText(path), Is.EqualTo("new"));
    }

    [Test]
    public void AFullDiskIsSaidInOneLine()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("weights");
        const int noSpaceLeft = 28;
        Assert.That(() => AtomicFile.Write(path, _ => throw new IOException("No space left on device", noSpaceLeft)),
            Throws.TypeOf<InputException>().With.Message.EqualTo($"{path}: the disk is full; free some space or choose another folder"));
        Assert.That(FilesIn(folder), Is.Empty);
    }

    // Root may write where permissions forbid it, so the refusals here are of kinds that bind root too.
    [Test]
    public void APathThroughAFileIsRefused()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("file"), "in the way");
        var path = folder.File("file/sub/model.safetensors");
        Assert.That(() => AtomicFile.WriteText(path, "x"), Throws.TypeOf<InputException>()
            .With.Message.EqualTo($"{path}: the folder '{folder.File("file/sub")}' cannot be made; choose another folder"));
        foreach (var bad in (string[])[folder.File("file"), folder.File("file/sub")])
        {
            Assert.That(() => AtomicFile.RequireWritableFolder(bad), Throws.TypeOf<InputException>()
                .With.Message.EqualTo($"{bad}: the folder '{bad}' cannot be made; choose another folder"));
        }
        Assert.That(File.ReadAllText(folder.File("file")), Is.EqualTo("in the way"));
    }

    [Test]
    public void AFolderInTheWayIsRefusedAndLeavesNoTemporary()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("model");
        Directory.CreateDirectory(path);
        Assert.That(() => AtomicFile.WriteText(path, "x"), Throws.TypeOf<InputException>().With.Message.StartsWith($"{path}: "));
        Assert.That(FilesIn(folder), Is.Empty);
    }

    [Test, Platform("Linux")]
    public void WhatTheSystemGuardsIsRefused()
    {
        Assert.That(() => AtomicFile.RequireWritableFolder("/proc/tinydpo/out"),
            Throws.TypeOf<InputException>().With.Message.Contains("the folder '/proc/tinydpo/out' cannot be made"));
        Assert.That(() => AtomicFile.RequireWritableFolder("/proc"), Throws.TypeOf<InputException>().With.Message.StartsWith("/proc: "));
        Assert.That(() => AtomicFile.WriteText("/proc/tinydpo", "x"), Throws.TypeOf<InputException>().With.Message.StartsWith("/proc/tinydpo: "));
    }

    [Test, Platform("Linux")]
    public void ADeviceIsWrittenInPlaceAndNotReplaced()
    {
        AtomicFile.WriteText("/dev/null", "gone");
        Assert.That(new FileInfo("/dev/null").Length, Is.Zero);
        Assert.That(() => AtomicFile.WriteText("/dev/full", "x"), Throws.TypeOf<InputException>().With.Message.Contains("the disk is full"));
    }

    [TestCase("")]
    [TestCase("  ")]
    [TestCase("a\0b")]
    public void NoPathIsRefused(string path)
    {
        Assert.That(() => AtomicFile.WriteText(path, "x"), Throws.TypeOf<InputException>().With.Message.Contains("is no path of a file"));
        Assert.That(() => AtomicFile.RequireWritableFolder(path), Throws.TypeOf<InputException>());
    }

    [Test]
    public void AWritableFolderIsMadeAndLeftEmpty()
    {
        using var folder = new TemporaryFolder();
        AtomicFile.RequireWritableFolder(folder.File("out/run/"));
        AtomicFile.RequireWritableFolder(folder.File("out/run"));
        Assert.That(Directory.Exists(folder.File("out/run")), Is.True);
        Assert.That(FilesIn(folder), Is.Empty);
    }

    private static IEnumerable<string> FilesIn(TemporaryFolder folder) =>
        Directory.EnumerateFiles(folder.Path, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 })
            .Select(path => Path.GetRelativePath(folder.Path, path).Replace('\\', '/'));
}
