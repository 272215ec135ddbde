using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// The checkpoints of a run: OUT/checkpoint-N/ after N steps, each a folder with the weights, the optimiser's state, the task's where it has
/// one, the step, the metrics' last lines, and the checksums of all. A folder is written under another name and renamed once whole, so one that bears its name is
/// complete.
/// </summary>
/// <param name="folder">OUT.</param>
/// <param name="key">What the run must agree in to be resumed: its data, options and starting weights.</param>
/// <param name="maxShardBytes">The most bytes of weights in a file: see <see cref="ShardedWriter"/>.</param>
public sealed class CheckpointFolder(string folder, string key, long maxShardBytes = ShardedWriter.DefaultShardBytes)
{
    private const string Prefix = "checkpoint-";
    private const string MetricsName = "metrics-tail.jsonl";

    private readonly HashSet<int> _damaged = [];

    /// <summary>The path of a step's checkpoint.</summary>
    public string PathOf(int step) => Path.Combine(folder, $"{Prefix}{step}");

    /// <summary>The path of the newest checkpoint, or null.</summary>
    public string? Newest() => Steps().Select(PathOf).LastOrDefault();

    /// <summary>
    /// Writes a checkpoint of the current step, unless there is one, then deletes all but the newest <paramref name="keep"/> and what a
    /// crash has left of others.
    /// </summary>
    /// <param name="taskState">See <see cref="ITrainingTask.State"/>.</param>
    /// <param name="metrics">See <see cref="MetricsFile.Tail"/>.</param>
    /// <exception cref="InputException">A folder cannot be written or deleted; older checkpoints are intact.</exception>
    public string Save(
        Transformer model, Optimiser optimiser, int keep = int.MaxValue, IReadOnlyList<(string Name, DeviceBuffer Values)>? taskState = null,
        IReadOnlyList<string>? metrics = null)
    {
        var target = PathOf(optimiser.Steps);
        foreach (var leftover in Names().Where(AtomicFolder.IsPartial).ToList())
        {
            AtomicFolder.Delete(Path.Combine(folder, leftover));
        }
        if (!Directory.Exists(target) || _damaged.Remove(optimiser.Steps))
        {
            AtomicFolder.Write(target, partial =>
            {
                ModelFile.SaveRawWeights(partial, model, maxShardBytes);
                WriteState(Path.Combine(partial, "optimizer.safetensors"), model.Backend, optimiser.State);
                if (taskState is { Count: > 0 })
                {
                    WriteState(Path.Combine(partial, "task.safetensors"), model.Backend, taskState);
                }
                if (metrics is { Count: > 0 })
                {
                    AtomicFile.WriteText(Path.Combine(partial, MetricsName), string.Concat(metrics.Select(static line => line + "\n")));
                }
                AtomicFile.WriteText(Path.Combine(partial, "trainer_state.json"), JsonSerializer.Serialize(new { Step = optimiser.Steps, Key = key }));
                Checksums.Write(partial);
            });
        }
        foreach (var old in Steps().SkipLast(Math.Max(1, keep)).ToList())
        {
            AtomicFolder.Delete(PathOf(old));
        }
        return target;
    }

    /// <summary>
    /// Loads the newest checkpoint that is whole into model, optimiser and the task's state; false where there is none at all. One that its checksums tell to
    /// be damaged is passed over, and written anew when the run comes to its step.
    /// </summary>
    /// <param name="refused">Told why each damaged one is not taken.</param>
    /// <exception cref="InputException">It belongs to a run with other data, options or starting weights; or all of them are damaged.</exception>
    public bool TryLoadNewest(
        Transformer model, Optimiser optimiser, IReadOnlyList<(string Name, DeviceBuffer Values)>? taskState = null, Action<string>? refused = null)
    {
        InputException? newestFault = null;
        foreach (var step in Steps().Reverse().ToList())
        {
            try
            {
                Checksums.Verify(PathOf(step));
            }
            catch (InputException e)
            {
                newestFault ??= e;
                _damaged.Add(step);
                refused?.Invoke(e.Message);
                continue;
            }
            Load(step, model, optimiser, taskState);
            return true;
        }
        return newestFault is null ? false : throw newestFault;
    }

    /// <summary>The metrics' last lines that a step's checkpoint holds; none where it was written without.</summary>
    /// <exception cref="InputException">They cannot be read.</exception>
    public IReadOnlyList<string> MetricsTail(int step)
    {
        var path = Path.Combine(PathOf(step), MetricsName);
        return File.Exists(path) ? [.. TextLines.Read(path).Select(static l => l.Text)] : [];
    }

    private void Load(int step, Transformer model, Optimiser optimiser, IReadOnlyList<(string Name, DeviceBuffer Values)>? taskState)
    {
        CheckState(Path.Combine(PathOf(step), "trainer_state.json"), step);
        ModelFile.ReadRawWeights(model, PathOf(step));
        ReadState(Path.Combine(PathOf(step), "optimizer.safetensors"), model.Backend, optimiser.State);
        if (taskState is { Count: > 0 })
        {
            ReadState(Path.Combine(PathOf(step), "task.safetensors"), model.Backend, taskState);
        }
        optimiser.Steps = step;
    }

    private static void WriteState(string path, IBackend backend, IEnumerable<(string Name, DeviceBuffer Values)> state) =>
        SafetensorsWriter.Write(
            path,
            [
                .. state.Select(s => (
                    s.Name, new[] { s.Values.Length },
                    (ReadValues)((start, destination) => backend.Download(s.Values.Slice(start, destination.Length), destination)))),
            ],
            format: SafetensorsWriter.Exact);

    private static void ReadState(string path, IBackend backend, IEnumerable<(string Name, DeviceBuffer Values)> state)
    {
        using var file = SafetensorsFile.Open(path);
        foreach (var (name, values) in state)
        {
            if (!file.Contains(name))
            {
                throw Damaged(path, $"tensor '{name}'", "is missing");
            }
            var numbers = new Real[values.Length];
            file.Read(name, [values.Length], numbers);
            backend.Upload(numbers, values);
        }
    }

    private void CheckState(string file, int step)
    {
        using var json = JsonInput.ReadFile(file);
        if (json.RootElement.ValueKind != JsonValueKind.Object
            || !json.RootElement.TryGetProperty("Key", out var saved) || saved.ValueKind != JsonValueKind.String
            || !json.RootElement.TryGetProperty("Step", out var number) || number.ValueKind != JsonValueKind.Number
            || !number.TryGetInt32(out var savedStep) || savedStep != step)
        {
            throw Damaged(file, null, $"is not the state of step {step}");
        }
        if (saved.GetString() != key)
        {
            throw new InputException(
                file, null, "belongs to a run with other data, options or starting weights", "repeat that run's command, or give another --out");
        }
    }

    private static InputException Damaged(string file, string? place, string problem) =>
        new(file, place, problem, "delete this checkpoint and resume from an older one");

    private IEnumerable<string> Names() =>
        Directory.Exists(folder) ? Directory.EnumerateDirectories(folder, Prefix + "*").Select(static path => Path.GetFileName(path)) : [];

    private IEnumerable<int> Steps() => Names()
        .Select(static name => int.TryParse(name[Prefix.Length..], out var step) ? step : -1)
        .Where(static step => step >= 0)
        .Order();
}
