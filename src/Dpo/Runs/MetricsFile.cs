using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// metrics.jsonl: a line a step, flushed as it is written, so that a crash of the process loses none; what else may befall the file is mended
/// from the checkpoint that a run is resumed from.
/// </summary>
public sealed class MetricsFile : IDisposable
{
    public const string Name = "metrics.jsonl";

    /// <summary>Of how many steps a checkpoint holds the lines.</summary>
    public const int TailSteps = 1000;

    private readonly string _path;
    private readonly FileStream _file;
    private readonly Queue<(int Step, string Line)> _tail = new();

    /// <param name="path">The file; its folder exists.</param>
    /// <param name="keepBelow">Keeps the lines of steps below this (a resumed run), drops the rest; 0 starts anew.</param>
    /// <param name="tail">The checkpoint's <see cref="Tail"/>, which takes the place of the file's lines from its first step on.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public MetricsFile(string path, int keepBelow = 0, IReadOnlyList<string>? tail = null)
    {
        List<(int Step, string Line)> kept = keepBelow > 0 ? [.. Below(tail ?? [], keepBelow)] : [];
        if (keepBelow > 0 && File.Exists(path))
        {
            kept.InsertRange(0, Below(Lines(path), kept.Count > 0 ? kept[0].Step : keepBelow));
        }
        Kept = [.. kept.Select(static l => l.Line)];
        Missing = Ranges(Enumerable.Range(0, keepBelow).Except(kept.Select(static l => l.Step)));
        kept.ForEach(AddToTail);
        AtomicFile.WriteText(path, string.Concat(Kept.Select(static line => line + "\n")));
        _path = path;
        _file = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0); // what failed once is not tried again at the end
    }

    /// <summary>The lines that were there, or in the checkpoint, and stay.</summary>
    public IReadOnlyList<string> Kept { get; }

    /// <summary>The steps before the resumed one that have no line ("3-7, 9"); null for none.</summary>
    public string? Missing { get; }

    /// <summary>The lines of the last <see cref="TailSteps"/> steps: for a checkpoint, so that a resumed run finds them whatever befell the file.</summary>
    public IReadOnlyList<string> Tail => [.. _tail.Select(static l => l.Line)];

    public void Write(StepReport report, string? stage = null) =>
        Write(report.Step, stage, [("epoch", report.Epoch), .. report.Metrics]);

    /// <summary>Figures of the model as it is after so many steps, which belong to no batch.</summary>
    public void Write(int steps, IReadOnlyList<(string Name, double Value)> metrics, string? stage = null) =>
        Write(steps, stage, metrics);

    public void Dispose() => _file.Dispose();

    private void Write(int step, string? stage, IReadOnlyList<(string Name, double Value)> metrics)
    {
        var text = Line(step, stage, metrics);
        AddToTail((step, text));
        try
        {
            _file.Write(Encoding.UTF8.GetBytes(text + "\n"));
        }
        catch (IOException e)
        {
            throw AtomicFile.Unwritable(_path, e);
        }
    }

    private static string Line(int step, string? stage, IReadOnlyList<(string Name, double Value)> metrics)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text))
        {
            json.WriteStartObject();
            if (stage is not null)
            {
                json.WriteString("stage", stage);
            }
            json.WriteNumber("step", step);
            foreach (var (name, value) in metrics)
            {
                json.WriteNumber(name, value);
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length);
    }

    private void AddToTail((int Step, string Line) line)
    {
        _tail.Enqueue(line);
        while (line.Step - _tail.Peek().Step >= TailSteps)
        {
            _tail.Dequeue();
        }
    }

    // Up to a line that is none: one that a crash tore, after which lines were written over it or by somebody else.
    private static IEnumerable<(int Step, string Line)> Below(IEnumerable<string> lines, int keepBelow) => lines
        .Select(static line => (Step: StepOf(line), Line: line)).TakeWhile(static l => l.Step is not null)
        .Where(l => l.Step < keepBelow).Select(static l => (l.Step!.Value, l.Line));

    // Those before one that cannot be read, as before one that is torn.
    private static List<string> Lines(string path)
    {
        var lines = new List<string>();
        try
        {
            lines.AddRange(TextLines.Read(path).Select(static l => l.Text));
        }
        catch (InputException)
        {
            // The checkpoint has the rest, or else they are missing.
        }
        return lines;
    }

    private static string? Ranges(IEnumerable<int> steps)
    {
        var ranges = new List<(int First, int Last)>();
        foreach (var step in steps)
        {
            if (ranges.Count > 0 && ranges[^1].Last == step - 1)
            {
                ranges[^1] = (ranges[^1].First, step);
            }
            else
            {
                ranges.Add((step, step));
            }
        }
        const int shown = 8;
        var text = string.Join(", ", ranges.Take(shown).Select(static r => r.First == r.Last ? $"{r.First}" : $"{r.First}-{r.Last}"));
        return ranges.Count == 0 ? null : ranges.Count > shown ? text + ", ..." : text;
    }

    // Null where the line is none that this class writes.
    private static int? StepOf(string line)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            return json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("step", out var step)
                && step.ValueKind == JsonValueKind.Number && step.TryGetInt32(out var number)
                ? number
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
