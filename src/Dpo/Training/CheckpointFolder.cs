using System.Text.Json;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// The checkpoints of a run: OUT/checkpoint-N/ after N steps, each a folder with the weights, the optimiser's state and the step. A folder
/// is written under another name and renamed once whole, so one that bears its name is complete.
/// </summary>
/// <param name="folder">OUT.</param>
/// <param name="key">What the run must agree in to be resumed: its data, options and starting weights.</param>
public sealed class CheckpointFolder(string folder, string key)
{
    private const string Prefix = "checkpoint-";

    /// <summary>The path of the newest checkpoint, or null.</summary>
    public string? Newest() => Steps().Select(FolderOf).LastOrDefault();

    /// <summary>Writes a checkpoint of the current step, then deletes all but the newest <paramref name="keep"/>.</summary>
    /// <exception cref="InputException">The folder cannot be written; older checkpoints are intact.</exception>
    public string Save(Transformer model, Optimiser optimiser, int keep = int.MaxValue)
    {
        var target = FolderOf(optimiser.Steps);
        if (Directory.Exists(target))
        {
            return target;
        }
        var partial = target + ".partial";
        AtomicFile.RequireWritableFolder(partial);
        ModelFile.SaveRawWeights(Path.Combine(partial, "model.safetensors"), model);
        SafetensorsWriter.Write(
            Path.Combine(partial, "optimizer.safetensors"),
            [.. optimiser.State.Select(s => (s.Name, new[] { s.Values.Length }, (ReadOnlyMemory<Real>)Download(model.Backend, s.Values)))]);
        AtomicFile.WriteText(Path.Combine(partial, "trainer_state.json"), JsonSerializer.Serialize(new State(optimiser.Steps, key)));
        Directory.Move(partial, target);
        foreach (var old in Steps().SkipLast(keep).ToList())
        {
            Directory.Delete(FolderOf(old), recursive: true);
        }
        return target;
    }

    /// <summary>Loads the newest checkpoint into model and optimiser; false where there is none.</summary>
    /// <exception cref="InputException">It belongs to a run with other data, options or starting weights, or is damaged.</exception>
    public bool TryLoadNewest(Transformer model, Optimiser optimiser)
    {
        if (Newest() is not { } newest)
        {
            return false;
        }
        var stateFile = Path.Combine(newest, "trainer_state.json");
        using var json = JsonInput.ReadFile(stateFile);
        if (json.RootElement.Deserialize<State>() is not { } state || state.Key != key)
        {
            throw new InputException(
                stateFile, null, "belongs to a run with other data, options or starting weights", "repeat that run's command, or give another --out");
        }
        ModelFile.ReadWeights(model, Path.Combine(newest, "model.safetensors"), prefix: "");
        var optimiserFile = Path.Combine(newest, "optimizer.safetensors");
        using var file = SafetensorsFile.Open(optimiserFile);
        foreach (var (name, values) in optimiser.State)
        {
            if (!file.Contains(name))
            {
                throw new InputException(optimiserFile, $"tensor '{name}'", "is missing", "delete this checkpoint and resume from an older one");
            }
            var numbers = new Real[values.Length];
            file.Read(name, [values.Length], numbers);
            model.Backend.Upload(numbers, values);
        }
        optimiser.Steps = state.Step;
        return true;
    }

    private static Real[] Download(IBackend backend, DeviceBuffer values)
    {
        var numbers = new Real[values.Length];
        backend.Download(values, numbers);
        return numbers;
    }

    private string FolderOf(int step) => Path.Combine(folder, $"{Prefix}{step}");

    private IEnumerable<int> Steps() => !Directory.Exists(folder)
        ? []
        : Directory.EnumerateDirectories(folder, Prefix + "*")
            .Select(path => int.TryParse(Path.GetFileName(path)[Prefix.Length..], out var step) ? step : -1)
            .Where(static step => step >= 0)
            .Order();

    private sealed record State(int Step, string Key);
}
