using System.Diagnostics;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Files that are damaged or lie: each is refused with its message, none is believed.</summary>
public class SafetensorsHostileTests
{
    private const string Good = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}""";

    private static readonly object[] WrongHeaders =
    [
        Case("[]", 0, "header: does not start with '{'"),
        Case(" {}", 0, "header: does not start with '{'"),
        Case("{", 0, "header, line 1, byte 2: not valid JSON"),
        Case("{}x", 0, "header, line 1, byte 3: not valid JSON"),
        Case("{\"a\":" + new string('[', 100) + new string(']', 100) + "}", 0, "header, line 1, byte 69: not valid JSON"),
        Case("{\"\\ud800\":{}}", 0, "half of a surrogate pair"),
        Case("""{"__metadata__":{"a":1}}""", 0, "__metadata__: is no JSON object of strings"),
        Case("""{"__metadata__":"pt"}""", 0, "__metadata__: is no JSON object of strings"),
        Case("""{"a":7}""", 0, "tensor 'a': its entry is no JSON object"),
        Case("""{"a":{"shape":[1],"data_offsets":[0,4]}}""", 4, "tensor 'a': its entry has no dtype of kind string"),
        Case("""{"a":{"dtype":"F32","data_offsets":[0,4]}}""", 4, "tensor 'a': its entry has no shape of kind array"),
        Case("""{"a":{"dtype":"F32","shape":[1]}}""", 4, "tensor 'a': its entry has no data_offsets of kind array"),
        Case("""{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}""", 4, "tensor 'a': dtype 'F31' is not supported; save it as F32"),
        Case("""{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,4]}}""", 4, "tensor 'a': data_offsets span 4 bytes, but I64 of shape [1] takes 8"),
        Case("""{"a":{"dtype":"BOOL","shape":[4],"data_offsets":[4,8]}}""", 8, "tensor 'a': leaves 4 bytes unused before it"),
        Case("""{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}""", 8, "file is cut short: expects"),
        Case(Entry("[-1]", 0, 4), 4, "tensor 'a': shape [-1] holds something else than sizes"),
        Case(Entry("[1.5]", 0, 4), 4, "tensor 'a': shape [1.5] holds something else than sizes"),
        Case(Entry("[\"1\"]", 0, 4), 4, "tensor 'a': shape [\"1\"] holds something else than sizes"),
        Case(Entry("[99999999999999999999]", 0, 4), 4, "holds something else than sizes"),
        Case(Entry("[4294967296]", 0, 4), 4, "tensor 'a': shape [4294967296] holds more than 2147483647 numbers"),
        Case(Entry("[65536,65536]", 0, 0), 0, "tensor 'a': shape [65536,65536] holds more than 2147483647 numbers"),
        Case(Entry("[65536,65536,0]", 0, 0), 0, "tensor 'a': shape [65536,65536,0] holds more than 2147483647 numbers"),
        Case(Entry("[2147483647,2147483647,2147483647,2147483647]", 0, 4), 4, "holds more than 2147483647 numbers"),
        Case(Entry("[1]", 4, 0), 4, "tensor 'a': data_offsets [4,0] are no range of bytes"),
        Case(Entry("[1]", -4, 0), 4, "tensor 'a': data_offsets [-4,0] are no range of bytes"),
        Case("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", 8, "tensor 'a': data_offsets [0,4,8] are no range of bytes"),
        Case("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e999]}}""", 8, "tensor 'a': data_offsets [0,1e999] are no range of bytes"),
        Case(Entry("[3]", 0, 8), 8, "tensor 'a': data_offsets span 8 bytes, but F32 of shape [3] takes 12"),
        Case(Entry("[]", 0, 8), 8, "tensor 'a': data_offsets span 8 bytes, but F32 of shape [] takes 4"),
        Case(Entry("[1]", 4, 8), 8, "tensor 'a': leaves 4 bytes unused before it"),
        Case(Entry("[1]", 9223372036854775803, 9223372036854775807), 8, "tensor 'a': leaves 9223372036854775803 bytes unused before it"),
        Case(Good.Replace("[8,12]", "[4,8]"), 8, "tensor 'b': overlaps the tensor before it"),
        Case(Good.Replace("[8,12]", "[12,16]"), 16, "tensor 'b': leaves 4 bytes unused before it"),
        Case(Good.Replace("\"b\"", "\"a\""), 12, "uplicate"),
        Case(Good, 13, "has 1 bytes after the last tensor"),
        Case("{}", 1, "has 1 bytes after the last tensor"),
        Case(Entry("[1073741824]", 0, 4294967296), 8, "file is cut short: expects 4294967"),
    ];

    [TestCaseSource(nameof(WrongHeaders))]
    public void AWrongHeaderIsRefusedWithItsMessage(string header, int dataBytes, string message)
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x.safetensors");
        File.WriteAllBytes(path, SafetensorsBytes.File(header, dataBytes));
        var thrown = Assert.Throws<InputException>(() => SafetensorsFile.Open(path).Dispose());
        Assert.That(thrown!.Message, Does.StartWith(path).And.Contain(message).And.Not.Contain("\n"));
    }

    [TestCase("BOOL", 3)]
    [TestCase("U8", 3)]
    [TestCase("I64", 24)]
    public void ATensorOfAnotherKindIsRefusedWhenItIsAskedFor(string dtype, int bytes)
    {
        using var folder = new TemporaryFolder();
        var header = $$$"""{"mask":{"dtype":"{{{dtype}}}","shape":[3],"data_offsets":[0,{{{bytes}}}]},"a":{"dtype":"F32","shape":[1],"data_offsets":[{{{bytes}}},{{{bytes + 4}}}]}}""";
        File.WriteAllBytes(folder.File("x"), SafetensorsBytes.File(header, [.. new byte[bytes], .. BitConverter.GetBytes(1.5f)]));
        using var file = SafetensorsFile.Open(folder.File("x"));
        var number = new Real[1];
        file.Read("a", [1], number);
        Assert.That(number[0], Is.EqualTo((Real)1.5));
        foreach (var ask in new Action[] { () => file.Read("mask", new Real[3]), () => file.RequireShape("mask", [3]) })
        {
            Assert.That(Assert.Throws<InputException>(ask)!.Message, Does.Contain($"tensor 'mask': dtype '{dtype}' is not supported; save it as F32"));
        }
    }

    [Test]
    public void TheGoodHeaderIsGood()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("x"), SafetensorsBytes.File(Good + "   ", 12));
        using var file = SafetensorsFile.Open(folder.File("x"));
        Assert.That(file.Names, Is.EqualTo(new[] { "a", "b" }));
    }

    [Test]
    public void ANameCannotForgeALineOfTheMessage()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("x"), SafetensorsBytes.File("{\"a\\n\\u001b[2J\\u2028" + new string('n', 5000) + "\":7}", 0));
        var thrown = Assert.Throws<InputException>(() => SafetensorsFile.Open(folder.File("x")).Dispose());
        Assert.That(thrown!.Message, Does.Contain("tensor 'a??[2J?nnn"));
        Assert.That(thrown.Message, Has.Length.LessThan(500));
    }

    [TestCase(16_777_217ul, "its header would take 16777217 bytes, more than the 16777216 allowed")]
    [TestCase(ulong.MaxValue, "its header would take 18446744073709551615 bytes, more than the 16777216 allowed")]
    [TestCase(16_777_216ul, "file is cut short: expects 16777224 bytes, has 10")]
    [TestCase(0ul, "header: does not start with '{'")]
    public void AWrongLengthFieldIsRefused(ulong length, string message)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.File("x"), [.. BitConverter.GetBytes(length), .. "{}"u8]);
        Assert.That(() => SafetensorsFile.Open(folder.File("x")), Throws.TypeOf<InputException>().With.Message.Contains(message));
    }

    [Test]
    public void AFileCutAnywhereIsRefused()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x");
        var whole = SafetensorsBytes.File(Good, 12);
        for (var length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            var expected = length < 8 ? 8 : length < 8 + Good.Length ? 8 + Good.Length : whole.Length;
            Assert.That(() => SafetensorsFile.Open(path), Throws.TypeOf<InputException>()
                .With.Message.EqualTo($"{path}: file is cut short: expects {expected} bytes, has {length}; copy or download it again"));
        }
    }

    // Another program's doing: .NET's own locks would keep the test from it.
    [Test, Platform("Linux")]
    public void AFileCutWhileOpenIsRefused()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x");
        File.WriteAllBytes(path, SafetensorsBytes.File(Good, 12));
        using var file = SafetensorsFile.Open(path);
        using (var truncate = Process.Start("truncate", ["-s", $"{8 + Good.Length + 10}", path]))
        {
            truncate.WaitForExit();
            Assert.That(truncate.ExitCode, Is.Zero);
        }
        Assert.That(() => file.Read("a", new Real[2]), Throws.Nothing);
        Assert.That(() => file.Read("b", new Real[1]), Throws.TypeOf<InputException>().With.Message.Contains("file is cut short"));
    }

    // Whatever the bytes: an answer or an InputException, never another exception.
    [Test]
    public void DamagedBytesNeverCrash()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("x");
        var good = SafetensorsBytes.File(Good, 12);
        var random = new Random(7);
        var refused = 0;
        for (var round = 0; round < 500; round++)
        {
            var bytes = (byte[])good.Clone();
            for (var change = random.Next(1, 4); change > 0; change--)
            {
                var value = random.Next(2) == 0 ? (byte)random.Next(256) : "{}[]\":,-0123456789eE\\u"u8[random.Next(22)];
                bytes[random.Next(8, bytes.Length)] = value;
            }
            File.WriteAllBytes(path, bytes);
            try
            {
                using var file = SafetensorsFile.Open(path);
                foreach (var name in file.Names)
                {
                    file.Read(name, new Real[file.Shape(name).Aggregate(1, (a, b) => a * b)]);
                }
            }
            catch (InputException)
            {
                refused++;
            }
        }
        Assert.That(refused, Is.InRange(200, 499));
    }

    private static object[] Case(string header, int dataBytes, string message) => [header, dataBytes, message];

    private static string Entry(string shape, long begin, long end) =>
        $$"""{"a":{"dtype":"F32","shape":{{shape}},"data_offsets":[{{begin}},{{end}}]} }""";
}
