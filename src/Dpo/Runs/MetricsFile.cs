using System.Text;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>metrics.jsonl: a line a step, flushed as it is written, so that a crash loses none.</summary>
public sealed class MetricsFile : IDisposable
{
    private readonly StreamWriter _writer;

    /// <param name="path">The file; its folder exists.</param>
    /// <param name="keepBelow">Keeps the lines of steps below this (a resumed run), drops the rest; 0 starts anew.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public MetricsFile(string path, int keepBelow = 0)
    {
        var kept = keepBelow > 0 && File.Exists(path) ? Kept(path, keepBelow) : [];
        AtomicFile.WriteText(path, string.Concat(kept.Select(static line => line + "\n")));
        _writer = new StreamWriter(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read), new UTF8Encoding(false)) { NewLine = "\n" };
    }

    public void Write(StepReport report, string? stage = null)
    {
        var line = new Dictionary<string, object>();
        if (stage is not null)
        {
            line.Add("stage", stage);
        }
        line.Add("step", report.Step);
        line.Add("epoch", report.Epoch);
        foreach (var (name, value) in report.Metrics)
        {
            line.Add(name, value);
        }
        _writer.WriteLine(JsonSerializer.Serialize(line));
        _writer.Flush();
    }

    public void Dispose() => _writer.Dispose();

    private static List<string> Kept(string path, int keepBelow)
    {
        var kept = new List<string>();
        foreach (var line in File.ReadLines(path))
        {
            try
            {
                using var json = JsonDocument.Parse(line);
                if (json.RootElement.TryGetProperty("step", out var step) && step.GetInt32() < keepBelow)
                {
                    kept.Add(line);
                }
            }
            catch (JsonException)
            {
                break; // the line that a crash tore
            }
        }
        return kept;
    }
}
