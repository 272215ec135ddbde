using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>metrics.jsonl: a line a step, flushed as it is written, so that a crash loses none.</summary>
public sealed class MetricsFile : IDisposable
{
    public const string Name = "metrics.jsonl";

    private readonly string _path;
    private readonly FileStream _file;

    /// <param name="path">The file; its folder exists.</param>
    /// <param name="keepBelow">Keeps the lines of steps below this (a resumed run), drops the rest; 0 starts anew.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public MetricsFile(string path, int keepBelow = 0)
    {
        Kept = keepBelow > 0 && File.Exists(path) ? Below(path, keepBelow) : [];
        AtomicFile.WriteText(path, string.Concat(Kept.Select(static line => line + "\n")));
        _path = path;
        _file = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0); // what failed once is not tried again at the end
    }

    /// <summary>The lines that were there and stay.</summary>
    public IReadOnlyList<string> Kept { get; }

    public void Write(StepReport report, string? stage = null) =>
        Write([.. stage is null ? [] : Stage(stage), ("step", report.Step), ("epoch", report.Epoch), .. Boxed(report.Metrics)]);

    /// <summary>Figures of the model as it is after so many steps, which belong to no batch.</summary>
    public void Write(int steps, IReadOnlyList<(string Name, double Value)> metrics, string? stage = null) =>
        Write([.. stage is null ? [] : Stage(stage), ("step", steps), .. Boxed(metrics)]);

    public void Dispose() => _file.Dispose();

    private static IEnumerable<(string Name, object Value)> Stage(string stage) => [("stage", stage)];

    private static IEnumerable<(string Name, object Value)> Boxed(IEnumerable<(string Name, double Value)> metrics) =>
        metrics.Select(static m => (m.Name, (object)m.Value));

    private void Write(IEnumerable<(string Name, object Value)> line)
    {
        var text = JsonSerializer.Serialize(line.ToDictionary(static e => e.Name, static e => e.Value)) + "\n";
        try
        {
            _file.Write(Encoding.UTF8.GetBytes(text));
        }
        catch (IOException e)
        {
            throw AtomicFile.Unwritable(_path, e);
        }
    }

    private static List<string> Below(string path, int keepBelow)
    {
        var kept = new List<string>();
        foreach (var line in File.ReadLines(path))
        {
            if (StepOf(line) is not { } step)
            {
                break; // the line that a crash tore; those after it were written over it or by somebody else
            }
            if (step < keepBelow)
            {
                kept.Add(line);
            }
        }
        return kept;
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
