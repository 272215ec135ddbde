using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Google.Protobuf;
using TinyDpo.Cli;
using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>Event files read back, field by field, each with its sums.</summary>
internal sealed class TensorBoardFileTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void Open() => _folder = new TemporaryFolder();

    [TearDown]
    public void Close() => _folder.Dispose();

    /// <summary>CRC-32C of "123456789" is e3069283 (the catalogue's check value), of 32 zero bytes 8a9136aa (RFC 3720, B.4).</summary>
    [Test]
    public void TheSumIsCastagnolisMasked()
    {
        Assert.That(TensorBoardFile.MaskedCrc("123456789"u8), Is.EqualTo(Masked(0xe3069283)));
        Assert.That(TensorBoardFile.MaskedCrc(new byte[32]), Is.EqualTo(Masked(0x8a9136aa)));

        static uint Masked(uint crc) => unchecked(((crc >> 15) | (crc << 17)) + 0xa282ead8);
    }

    [Test]
    public void AStepsMetricsAreScalarsUnderTrainAndEval()
    {
        using (var file = new TensorBoardFile(_folder.File("board")))
        {
            file.Write(7, [("loss", 0.5), ("rewards/margins", -1.25), ("eval_loss", 2)]);
            file.Write(300, [("loss", 0.25)]);
        }
        var events = Events(Directory.GetFiles(_folder.File("board")).Single());
        Assert.That(events.Select(static e => (e.Step, e.Version, e.Starts)), Is.EqualTo(new[] { (0L, "brain.Event:2", false), (7, "", false), (300, "", false) }));
        Assert.That(events[1].Scalars, Is.EqualTo(new[] { ("train/loss", 0.5f), ("train/rewards/margins", -1.25f), ("eval/loss", 2f) }));
        Assert.That(events[2].Scalars, Is.EqualTo(new[] { ("train/loss", 0.25f) }));
        Assert.That(events.Select(static e => e.WallTime), Is.All.GreaterThan(1.7e9), "seconds since 1970");
    }

    /// <summary>What metrics.jsonl has, the event file has; a resumed run says where it goes on.</summary>
    [Test]
    public void ARunWritesWhatMetricsHolds()
    {
        var (model, data, run, board) = (TinyModelFolder.Save(_folder.File("model")), _folder.File("pairs.jsonl"), _folder.File("run"), _folder.File("board"));
        File.WriteAllLines(data, Enumerable.Range(0, 6).Select(static i =>
            $$"""{"prompt": "the film was", "chosen": " good{{new string('!', i)}}", "rejected": " bad"}"""));
        string[] command =
        [
            "dpo", "--model", model, "--data", data, "--eval-data", data, "--out", run, "--batch-size", "2", "--checkpoint-every", "1", "--tensorboard", board,
        ];
        CommandLineRun.Of(command).Succeeded();
        var lines = File.ReadLines(Path.Combine(run, MetricsFile.Name)).Select(static l => JsonSerializer.Deserialize<Dictionary<string, double>>(l)!).ToList();
        var first = Directory.GetFiles(board).Single();
        foreach (var (line, e) in lines.Zip(Events(first)[1..], static (line, e) => (line, e)))
        {
            Assert.That(e.Step, Is.EqualTo(line["step"]));
            var expected = line.Where(static m => m.Key != "step")
                .Select(static m => (m.Key.StartsWith("eval_", StringComparison.Ordinal) ? $"eval/{m.Key[5..]}" : $"train/{m.Key}", (float)m.Value));
            Assert.That(e.Scalars, Is.EqualTo(expected));
        }
        Assert.That(Events(first), Has.Count.EqualTo(1 + lines.Count));

        Directory.Delete(Path.Combine(run, "model"), recursive: true);
        CommandLineRun.Of([.. command, "--resume"]).Succeeded();
        var second = Events(Directory.GetFiles(board).Single(f => f != first));
        Assert.That(second.Select(static e => (e.Step, e.Starts)), Is.EqualTo(new[] { (0L, false), (2, true), (2, false), (3, false) }));
    }

    [Test]
    public void SftTakesItAndAFolderThatCannotBeIsRefusedBeforeAnyStep()
    {
        var (model, data) = (TinyModelFolder.Save(_folder.File("model")), _folder.File("texts.jsonl"));
        File.WriteAllText(data, "{\"text\": \"the film was good\"}");
        CommandLineRun.Of("sft", "--model", model, "--data", data, "--out", _folder.File("sft"), "--tensorboard", _folder.File("board")).Succeeded();
        Assert.That(Events(Directory.GetFiles(_folder.File("board")).Single())[1].Scalars.Select(static s => s.Tag), Does.Contain("train/loss"));
        CommandLineRun.Of("sft", "--model", model, "--data", data, "--out", _folder.File("again"), "--tensorboard", data).AssertFails(CommandLine.Failure, data);
        Assert.That(Directory.Exists(_folder.File("again/model")), Is.False);
    }

    private sealed record Event(double WallTime, long Step, string Version, bool Starts, IReadOnlyList<(string Tag, float Value)> Scalars);

    private static List<Event> Events(string path)
    {
        var events = new List<Event>();
        var bytes = File.ReadAllBytes(path).AsSpan();
        while (bytes.Length > 0)
        {
            var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes);
            Assert.That(BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]), Is.EqualTo(TensorBoardFile.MaskedCrc(bytes[..8])));
            var data = bytes.Slice(12, length);
            Assert.That(BinaryPrimitives.ReadUInt32LittleEndian(bytes[(12 + length)..]), Is.EqualTo(TensorBoardFile.MaskedCrc(data)));
            events.Add(Read(data.ToArray()));
            bytes = bytes[(16 + length)..];
        }
        return events;
    }

    // The numbers of the fields are those of event.proto and summary.proto.
    private static Event Read(byte[] data)
    {
        var (fields, scalars) = (Fields(data), new List<(string, float)>());
        foreach (var value in fields.Where(static f => f.Number == 5).SelectMany(static f => Fields((byte[])f.Value)))
        {
            var inner = Fields((byte[])value.Value);
            scalars.Add((Text(inner.Single(static f => f.Number == 1).Value), BitConverter.UInt32BitsToSingle((uint)inner.Single(static f => f.Number == 2).Value)));
        }
        return new Event(
            BitConverter.UInt64BitsToDouble((ulong)fields.Single(static f => f.Number == 1).Value),
            fields.Where(static f => f.Number == 2).Select(static f => (long)(ulong)f.Value).SingleOrDefault(),
            fields.Where(static f => f.Number == 3).Select(static f => Text(f.Value)).SingleOrDefault(""),
            fields.Where(static f => f.Number == 7).SelectMany(static f => Fields((byte[])f.Value)).Any(static f => f is { Number: 1, Value: 1UL }),
            scalars);

        static string Text(object bytes) => Encoding.UTF8.GetString((byte[])bytes);
    }

    private static List<(int Number, object Value)> Fields(byte[] message)
    {
        var (input, fields) = (new CodedInputStream(message), new List<(int, object)>());
        for (var tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
        {
            fields.Add((WireFormat.GetTagFieldNumber(tag), WireFormat.GetTagWireType(tag) switch
            {
                WireFormat.WireType.Varint => input.ReadUInt64(),
                WireFormat.WireType.Fixed64 => input.ReadFixed64(),
                WireFormat.WireType.Fixed32 => input.ReadFixed32(),
                _ => input.ReadBytes().ToByteArray(),
            }));
        }
        return fields;
    }
}
