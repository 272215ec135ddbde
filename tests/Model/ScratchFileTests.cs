using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class ScratchFileTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Delete() => _folder.Dispose();

    /// <summary>Pieces shorter and longer than the buffer, read while others are still to come.</summary>
    [Test]
    public void WhatIsAppendedIsReadFromAnyPlace()
    {
        using var file = new ScratchFile(_folder.Path);
        var all = new List<byte>();
        foreach (var length in new[] { 0, 1, 7, 65_536, 3, 200_000, 65_530, 10 })
        {
            var piece = new byte[length];
            new Random(length).NextBytes(piece);
            file.Append(piece);
            all.AddRange(piece);
            Assert.That(file.Length, Is.EqualTo(all.Count));
            for (var i = 0; i < 5; i++)
            {
                var from = (int)(Philox.Uniform(1, RandomPurpose.Test, length, 0, i) * (all.Count + 1));
                var read = new byte[all.Count - from];
                file.ReadExactly(from, read);
                Assert.That(read.AsSpan().SequenceEqual(all.ToArray().AsSpan(from)), $"{length} from {from}");
            }
        }
        Assert.That(() => file.ReadExactly(all.Count - 1, new byte[2]), Throws.TypeOf<InputException>(), "past the end");
    }

    /// <summary>A process that is killed leaves nothing, since the file has no name while it is in use; nor is a folder made for it.</summary>
    [Test]
    public void ItHasNoName()
    {
        using var file = new ScratchFile(_folder.File("new/folder"));
        file.Append(new byte[100_000]);
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path), Is.Empty);
    }
}
