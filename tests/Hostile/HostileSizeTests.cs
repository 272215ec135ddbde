using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>
/// Files that are too large, or claim to be: each is refused in one line, in a second of the thread's own processor time and with 200 MB
/// allocated, whatever it holds.
/// </summary>
public class HostileSizeTests
{
    private const long MostBytes = 200_000_000;

    private static readonly TimeSpan s_mostTime = TimeSpan.FromSeconds(1);

    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Delete() => _folder.Dispose();

    /// <summary>Every file that is read whole: a gigabyte of it, which takes no room on the disk, is not read at all.</summary>
    [TestCase("config.json")]
    [TestCase("tokenizer.json")]
    [TestCase("tokenizer_config.json")]
    [TestCase("chat_template.jinja")]
    [TestCase("vocab.json")]
    [TestCase("merges.txt")]
    [TestCase("tok.bin")]
    [TestCase("model.safetensors.index.json")]
    [TestCase("adapter_config.json")]
    [TestCase("checksums.json")]
    [TestCase("workload.json")]
    public void AGigabyteIsRefusedUnread(string name)
    {
        if (name is "tokenizer_config.json" or "chat_template.jinja")
        {
            TokenizersSamples.Trained().Save(_folder.Path);
        }
        else if (name == "merges.txt")
        {
            File.WriteAllText(_folder.File("vocab.json"), "{}");
        }
        using (var file = File.Create(_folder.File(name)))
        {
            file.SetLength(1L << 30);
        }
        AssertRefused(() => Read(_folder.File(name)), name, "is larger than");
    }

    /// <summary>A file whose length the system does not tell.</summary>
    [Test]
    [Platform(Include = "Linux")]
    public void AFileWithoutAnEndIsRefused() => AssertRefused(() => JsonInput.ReadFile("/dev/zero"), "/dev/zero", "is larger than");

    /// <summary>Below the limit in bytes; parsed, its brackets would take many times its size.</summary>
    [TestCase("config.json", 16)]
    [TestCase("tokenizer.json", 60)]
    [TestCase("model.safetensors.index.json", 16)]
    [TestCase("workload.json", 16)]
    public void AFileOfBracketsIsRefused(string name, int megabytes)
    {
        File.WriteAllText(_folder.File(name), "{\"x\": [[]" + Repeated(",[]", megabytes * 1_000_000) + "]}");
        AssertRefused(() => Read(_folder.File(name)), name, "line 1");
    }

    [TestCase(98, " ")]
    [TestCase(98, ",[]")]
    [TestCase(16, ",[]")]
    [TestCase(16, ",{\"shape\":[]}")]
    public void AHugeHeaderIsRefused(int megabytes, string content)
    {
        var header = Encoding.UTF8.GetBytes("{\"x\": [[]" + Repeated(content, megabytes * 1_000_000) + "]}");
        var length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        File.WriteAllBytes(_folder.File("x.safetensors"), [.. length, .. header]);
        AssertRefused(() => SafetensorsFile.Open(_folder.File("x.safetensors")).Dispose(), "x.safetensors", "header");
    }

    /// <summary>A line that does not end, in each kind of file that is read line by line, and the values of a list.</summary>
    [Test]
    public void ALongLineIsRefused([Values("x.jsonl", "x.json", "x.jsonl.gz", "x.txt")] string name)
    {
        const string row = """{"prompt": "a", "chosen": "b", "rejected": "c"}""";
        var path = _folder.File(name);
        using (var stream = name.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(File.Create(path), CompressionLevel.Fastest) : (Stream)File.Create(path))
        using (var writer = new StreamWriter(stream))
        {
            writer.Write(name == "x.json" ? $"[{row},\n" : row + "\n");
            writer.Write("{\"prompt\": \"");
            for (var i = 0; i < 31_000; i++)
            {
                // Random letters, so that the packed file is no bomb.
                writer.Write(Convert.ToHexString(TestBytes(i, 500)));
            }
        }
        AssertRefused(
            () =>
            {
                foreach (var _ in name == "x.txt" ? TextLines.Read(path).Select(static l => l.Line) : TextLines.ReadJson(path).Select(static l => l.Line))
                {
                }
            },
            name, "line 2", $"longer than {InputLimit.Line.Bytes} bytes");
    }

    [Test]
    public void AChatTemplateOfManyTagsIsReadInTimeOfItsLength()
    {
        var template = string.Concat(Enumerable.Repeat("{{ a }}\n", 100_000));
        AssertBounded(() => JinjaTemplate.Parse(template));
    }

    [Test]
    public void LinesThatEndInACarriageReturnAloneAreRefused()
    {
        File.WriteAllText(_folder.File("x.txt"), "windows\r\nunix\nold\rmac\r");
        Assert.That(
            () => TextLines.Read(_folder.File("x.txt")).ToList(), Throws.TypeOf<InputException>().With.Message.Contains("line 3: holds a carriage return"));
        Assert.That(TextLines.Read(_folder.File("x.txt")).Take(2).Select(static l => l.Text), Is.EqualTo(new[] { "windows", "unix" }));
    }

    /// <summary>The longest line that is taken, and the file with the most names: within the memory too.</summary>
    [Test]
    public void WhatIsJustAllowedIsReadInBoundedMemory()
    {
        File.WriteAllText(_folder.File("x.jsonl"), $$"""{"prompt": "{{new string('a', InputLimit.Line.Bytes - 20)}}"}""");
        AssertBounded(() => Assert.That(JsonInput.ReadLines(_folder.File("x.jsonl")).Count(), Is.EqualTo(1)));
        var names = string.Join(',', Enumerable.Range(0, InputLimit.Json.Tokens / 2 - 2).Select(static i => $"\"name {i}\":1"));
        File.WriteAllText(_folder.File("x.json"), $"{{{names}}}");
        AssertBounded(() => JsonInput.ReadFile(_folder.File("x.json")).Dispose());
    }

    private static void Read(string path)
    {
        var folder = Path.GetDirectoryName(path)!;
        switch (Path.GetFileName(path))
        {
            case "config.json":
                ModelConfig.FromJson(path);
                break;
            case "model.safetensors.index.json":
                SafetensorsShards.OpenFolder(folder).Dispose();
                break;
            case "adapter_config.json":
                LoraFile.BaseOf(folder);
                break;
            case "checksums.json":
                Checksums.Verify(folder);
                break;
            case "workload.json":
                Workload.Read(path);
                break;
            case "tok.bin":
                TokenizerFile.Load(path);
                break;
            default:
                TokenizerFile.Load(folder);
                break;
        }
    }

    private static void AssertRefused(Action read, params string[] parts) => AssertBounded(() =>
    {
        var message = Assert.Throws<InputException>(() => read())!.Message;
        Assert.That(message, Does.Not.Contain("\n"));
        Assert.That(message.Length, Is.LessThan(1000));
        foreach (var part in parts)
        {
            Assert.That(message, Does.Contain(part));
        }
    });

    private static void AssertBounded(Action read)
    {
        var (before, start) = (GC.GetAllocatedBytesForCurrentThread(), ThreadClock.ProcessorTime());
        read();
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MostBytes), "bytes allocated");
        Assert.That(ThreadClock.ProcessorTime() - start, Is.LessThan(s_mostTime), "processor time");
    }

    private static string Repeated(string part, int bytes) => new StringBuilder().Insert(0, part, (bytes - 16) / part.Length).ToString();

    private static byte[] TestBytes(int seed, int count)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
