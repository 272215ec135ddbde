using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>The numbers that one stage of a run logged under one name, by step.</summary>
public sealed record MetricSeries(string Run, string? Stage, string Metric, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Reads metrics.jsonl, which <see cref="MetricsFile"/> writes.</summary>
public static class RunMetrics
{
    /// <param name="folder">RUN.</param>
    /// <param name="run">What it is called in legends: see <see cref="NamesOf"/>.</param>
    /// <exception cref="InputException">No metrics.jsonl, none of its lines is a step, or one is torn; names the line.</exception>
    public static IReadOnlyList<MetricSeries> Read(string folder, string run)
    {
        var path = Path.Combine(folder, MetricsFile.Name);
        if (!File.Exists(path))
        {
            throw new InputException(path, null, "is not there", "give the --out folder of a training run");
        }
        var series = new Dictionary<(string? Stage, string Metric), List<(double, double)>>();
        foreach (var (line, row) in JsonInput.ReadLines(path))
        {
            if (row.ValueKind != JsonValueKind.Object || !row.TryGetProperty("step", out var step) || step.ValueKind != JsonValueKind.Number)
            {
                throw new InputException(path, $"line {line}", "has no step", "correct or delete the line");
            }
            var stage = row.TryGetProperty("stage", out var named) && named.ValueKind == JsonValueKind.String ? named.GetString() : null;
            foreach (var metric in row.EnumerateObject())
            {
                if (metric.Name != "step" && metric.Value.ValueKind == JsonValueKind.Number)
                {
                    if (!series.TryGetValue((stage, metric.Name), out var points))
                    {
                        series.Add((stage, metric.Name), points = []);
                    }
                    points.Add((step.GetDouble(), metric.Value.GetDouble()));
                }
            }
        }
        return series.Count > 0
            ? [.. series.Select(s => new MetricSeries(run, s.Key.Stage, s.Key.Metric, s.Value))]
            : throw new InputException(path, null, "holds no step", "give a run that made at least one step");
    }

    /// <summary>What runs are called in legends: of each folder's path the fewest last parts that no other one ends in.</summary>
    /// <param name="folders">Different ones.</param>
    public static IReadOnlyList<string> NamesOf(IReadOnlyList<string> folders)
    {
        string[][] paths = [.. folders.Select(static f => Path.TrimEndingDirectorySeparator(Path.GetFullPath(f)).Split(Path.DirectorySeparatorChar))];
        return [.. paths.Select(path => Enumerable.Range(1, path.Length)
            .Select(count => Tail(path, count))
            .First(tail => tail.Length == path.Length || paths.Count(other => Tail(other, tail.Length).SequenceEqual(tail)) == 1))
            .Select(static tail => string.Join('/', tail))];

        static string[] Tail(string[] path, int count) => path[^Math.Min(count, path.Length)..];
    }
}
