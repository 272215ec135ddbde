using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>OUT of a demonstration. All that lies in it under the names below is of one run.</summary>
internal sealed class DemoFolder
{
    /// <summary>What options.json calls the command.</summary>
    public const string Command = "demo";

    private const string Remedy = "give another --out, or delete it";

    private readonly string _folder;

    /// <summary>Makes the folder ready: deletes what an earlier demonstration left, and says in options.json what this one is asked for.</summary>
    /// <exception cref="InputException">OUT cannot be written, or holds what something else left.</exception>
    public DemoFolder(DemoOptions options)
    {
        _folder = options.Out;
        AtomicFile.RequireWritableFolder(_folder);
        AtomicFile.DeleteLeftovers(_folder);
        string[] outputs = [Metrics, Summary, Examples, Report, Pairs, HeldOut, Sft, Model];
        if (IsOfDemo())
        {
            DeleteAll(outputs);
        }
        else if (Array.Find([PathOf(RunFolder.OptionsFile), .. outputs], Path.Exists) is { } left)
        {
            throw new InputException(left, null, "is not of a demonstration", Remedy);
        }
        RunFolder.WriteOptions(_folder, options.Recorded());
    }

    public string Metrics => PathOf(MetricsFile.Name);

    public string Summary => PathOf("summary.json");

    public string Examples => PathOf(RunExamples.FileName);

    public string Report => PathOf(RunReport.FileName);

    public string Pairs => PathOf("pairs.jsonl");

    public string HeldOut => PathOf("held-out.txt");

    public string Sft => PathOf("sft");

    public string Model => PathOf("model");

    private string PathOf(string name) => Path.Combine(_folder, name);

    private bool IsOfDemo()
    {
        if (!File.Exists(PathOf(RunFolder.OptionsFile)))
        {
            return false;
        }
        using var json = JsonInput.ReadFile(PathOf(RunFolder.OptionsFile), Remedy);
        return json.RootElement is { ValueKind: JsonValueKind.Object } options && options.TryGetProperty(nameof(Command), out var command)
            && command.ValueKind == JsonValueKind.String && command.GetString() == Command;
    }

    private static void DeleteAll(string[] outputs)
    {
        foreach (var output in outputs)
        {
            if (Directory.Exists(output))
            {
                AtomicFolder.Delete(output);
            }
            else
            {
                File.Delete(output);
            }
        }
    }
}
