using System.Text.Json;
using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>The report of a run while it goes on: its metrics are kept in memory, for another thread to render.</summary>
public sealed class LiveReport
{
    /// <summary>Seconds after which the page loads itself anew.</summary>
    public const int Refresh = 5;

    private readonly Lock _lock = new();
    private readonly string _folder;
    private readonly Dictionary<string, List<(double, double)>> _metrics = [];
    private readonly Lazy<string> _losses = new(static () =>
    {
        using var backend = new CpuBackend(1);
        return RunReport.LossCharts(backend);
    });

    /// <param name="folder">OUT of the run.</param>
    public LiveReport(string folder) => _folder = folder;

    /// <summary>Metrics of one more step.</summary>
    public void Add(int step, IEnumerable<(string Name, double Value)> metrics)
    {
        lock (_lock)
        {
            foreach (var (name, value) in metrics)
            {
                if (!_metrics.TryGetValue(name, out var points))
                {
                    _metrics.Add(name, points = []);
                }
                points.Add((step, value));
            }
        }
    }

    /// <summary>Lines of metrics.jsonl, of steps before this process.</summary>
    public void AddLines(IEnumerable<string> lines)
    {
        foreach (var line in lines)
        {
            var row = JsonElement.Parse(line);
            Add(
                row.GetProperty("step").GetInt32(),
                row.EnumerateObject().Where(static p => p.Name != "step" && p.Value.ValueKind == JsonValueKind.Number).Select(static p => (p.Name, p.Value.GetDouble())));
        }
    }

    /// <summary>The page as it is now; the run's metrics, and what its folder holds already.</summary>
    public string Render()
    {
        var name = RunMetrics.NamesOf([_folder])[0];
        List<MetricSeries> series;
        lock (_lock)
        {
            series = [.. _metrics.Select(m => new MetricSeries(name, null, m.Key, [.. m.Value]))];
        }
        return RunReport.Render([_folder], series, _losses.Value, Refresh);
    }
}
