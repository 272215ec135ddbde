using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using Google.Protobuf;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// A TensorBoard event file: TFRecords, each an Event message of tensorflow's event.proto. A metric NAME is the scalar train/NAME, eval_NAME
/// is eval/NAME, as Hugging Face's trainers write them.
/// </summary>
public sealed class TensorBoardFile : IDisposable
{
    // Fields of Event, Summary, Summary.Value and SessionLog.
    private const int WallTime = 1, Step = 2, FileVersion = 3, SummaryField = 5, SessionLog = 7;
    private const int Value = 1, Tag = 1, SimpleValue = 2, Status = 1, Start = 1;

    private readonly FileStream _file;

    /// <param name="folder">Made if it is not there. The file's name is unique in it.</param>
    /// <param name="firstStep">The step that comes next: what other files of the folder hold from there on was made before an interruption.</param>
    /// <exception cref="InputException">The folder cannot be written.</exception>
    public TensorBoardFile(string folder, int firstStep = 0)
    {
        AtomicFile.RequireWritableFolder(folder);
        var name = string.Create(
            CultureInfo.InvariantCulture, $"events.out.tfevents.{DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()}.{Environment.MachineName}.{Guid.NewGuid():N}");
        _file = new FileStream(Path.Combine(folder, name), FileMode.CreateNew, FileAccess.Write, FileShare.Read);
        Write(0, static output =>
        {
            output.WriteTag(FileVersion, WireFormat.WireType.LengthDelimited);
            output.WriteString("brain.Event:2");
        });
        if (firstStep > 0)
        {
            Write(firstStep, static output => WriteMessage(output, SessionLog, static log =>
            {
                log.WriteTag(Status, WireFormat.WireType.Varint);
                log.WriteEnum(Start);
            }));
        }
    }

    /// <summary>The metrics of a step, flushed.</summary>
    public void Write(int step, IReadOnlyList<(string Name, double Value)> metrics)
    {
        Write(step, output => WriteMessage(output, SummaryField, summary =>
        {
            foreach (var (name, number) in metrics)
            {
                WriteMessage(summary, Value, value =>
                {
                    value.WriteTag(Tag, WireFormat.WireType.LengthDelimited);
                    value.WriteString(TagOf(name));
                    value.WriteTag(SimpleValue, WireFormat.WireType.Fixed32);
                    value.WriteFloat((float)number);
                });
            }
        }));
        _file.Flush();
    }

    public void Dispose() => _file.Dispose();

    /// <summary>CRC-32C (Castagnoli), rotated and shifted as in the record format, so that a record within a record does not have its own sum.</summary>
    internal static uint MaskedCrc(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var b in bytes)
        {
            crc = BitOperations.Crc32C(crc, b);
        }
        return BitOperations.RotateRight(~crc, 15) + 0xa282ead8;
    }

    private static string TagOf(string name) =>
        name.StartsWith("eval_", StringComparison.Ordinal) ? "eval/" + name["eval_".Length..] : "train/" + name;

    private void Write(int step, Action<CodedOutputStream> rest)
    {
        var data = Message(output =>
        {
            output.WriteTag(WallTime, WireFormat.WireType.Fixed64);
            output.WriteDouble(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() / 1000.0);
            output.WriteTag(Step, WireFormat.WireType.Varint);
            output.WriteInt64(step);
            rest(output);
        });
        Span<byte> header = stackalloc byte[12];
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)data.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], MaskedCrc(header[..8]));
        Span<byte> footer = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(footer, MaskedCrc(data));
        _file.Write(header);
        _file.Write(data);
        _file.Write(footer);
    }

    private static void WriteMessage(CodedOutputStream output, int field, Action<CodedOutputStream> write)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(Message(write)));
    }

    private static byte[] Message(Action<CodedOutputStream> write)
    {
        using var bytes = new MemoryStream();
        using (var output = new CodedOutputStream(bytes, leaveOpen: true))
        {
            write(output);
        }
        return bytes.ToArray();
    }
}
