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

    /// <summary>
    /// Writes a checkpoint of the current step, unless there is one, then deletes all but the newest <paramref name="keep"/> and what a
    /// crash has left of others.
    /// </summary>
    /// <exception cref="InputException">A folder cannot be written or deleted; older checkpoints are intact.</exception>
    public string Save(Transformer model, Optimiser optimiser, int keep = int.MaxValue)
    {
        var target = FolderOf(optimiser.Steps);
        foreach (var leftover in Names().Where(static name => name.EndsWith(".partial", StringComparison.Ordinal)).ToList())
        {
            AtomicFolder.Delete(Path.Combine(folder, leftover));
        }
        if (!Directory.Exists(target))
        {
            AtomicFolder.Write(target, partial =>
            {
                ModelFile.SaveRawWeights(Path.Combine(partial, "model.safetensors"), model);
                SafetensorsWriter.Write(
                    Path.Combine(partial, "optimizer.safetensors"),
                    [.. optimiser.State.Select(s => (s.Name, new[] { s.Values.Length }, (ReadOnlyMemory<Real>)Download(model.Backend, s.Values)))],
                    format: SafetensorsWriter.Exact);
                AtomicFile.WriteText(Path.Combine(partial, "trainer_state.json"), JsonSerializer.Serialize(new { Step = optimiser.Steps, Key = key }));
            });
        }
        foreach (var old in Steps().SkipLast(Math.Max(1, keep)).ToList())
        {
            AtomicFolder.Delete(FolderOf(old));
        }
        return target;
    }

    /// <summary>Loads the newest checkpoint into model and optimiser; false where there is none.</summary>
    /// <exception cref="InputException">It belongs to a run with other data, options or starting weights, or is damaged.</exception>
    public bool TryLoadNewest(Transformer model, Optimiser optimiser)
    {
        if (Steps().Cast<int?>().LastOrDefault() is not { } newest)
        {
            return false;
        }
        CheckState(Path.Combine(FolderOf(newest), "trainer_state.json"), newest);
        ModelFile.ReadRawWeights(model, Path.Combine(FolderOf(newest), "model.safetensors"));
        var optimiserFile = Path.Combine(FolderOf(newest), "optimizer.safetensors");
        using var file = SafetensorsFile.Open(optimiserFile);
        foreach (var (name, values) in optimiser.State)
        {
            if (!file.Contains(name))
            {
                throw Damaged(optimiserFile, $"tensor '{name}'", "is missing");
            }
            var numbers = new Real[values.Length];
            file.Read(name, [values.Length], numbers);
            model.Backend.Upload(numbers, values);
        }
        optimiser.Steps = newest;
        return true;
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

    private static Real[] Download(IBackend backend, DeviceBuffer values)
    {
        var numbers = new Real[values.Length];
        backend.Download(values, numbers);
        return numbers;
    }

    private string FolderOf(int step) => Path.Combine(folder, $"{Prefix}{step}");

    private IEnumerable<string> Names() =>
        Directory.Exists(folder) ? Directory.EnumerateDirectories(folder, Prefix + "*").Select(static path => Path.GetFileName(path)) : [];

    private IEnumerable<int> Steps() => Names()
        .Select(static name => int.TryParse(name[Prefix.Length..], out var step) ? step : -1)
        .Where(static step => step >= 0)
        .Order();
}
