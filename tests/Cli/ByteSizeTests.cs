using TinyDpo.Cli;

namespace TinyDpo.Tests;

public class ByteSizeTests
{
    [TestCase("1", 1)]
    [TestCase("12345", 12345)]
    [TestCase("3KB", 3_000)]
    [TestCase("200MB", 200_000_000)]
    [TestCase("5gb", 5_000_000_000)]
    [TestCase("1TB", 1_000_000_000_000)]
    [TestCase("2KiB", 2_048)]
    [TestCase("7MiB", 7_340_032)]
    [TestCase("2GiB", 2_147_483_648)]
    [TestCase("1TiB", 1_099_511_627_776)]
    public void UnitsAreThoseOfHuggingFace(string text, long bytes)
    {
        Assert.That(ByteSize.TryParse(text, out var parsed), Is.True);
        Assert.That(parsed, Is.EqualTo(bytes));
    }

    [TestCase("")]
    [TestCase("0")]
    [TestCase("0GB")]
    [TestCase("-1GB")]
    [TestCase("1.5GB")]
    [TestCase("GB")]
    [TestCase("5XB")]
    [TestCase("5B")]
    [TestCase("99999999999GB")]
    public void OtherTextsAreNone(string text) => Assert.That(ByteSize.TryParse(text, out _), Is.False);
}
