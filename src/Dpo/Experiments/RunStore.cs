using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Results of runs, a JSON file each: a run whose file is there is not repeated.</summary>
internal static class RunStore
{
    private static readonly JsonSerializerOptions s_format = new() { WriteIndented = true, RespectRequiredConstructorParameters = true };

    private sealed record Stored<T>(string Settings, T Result);

    /// <summary>Reads the result, or makes and writes it.</summary>
    /// <param name="settings">Names all that the result depends on besides its path.</param>
    /// <exception cref="InputException">The file is there but is damaged, or of a run with other settings.</exception>
    public static T LoadOrMake<T>(string path, string settings, Func<T> make)
    {
        if (!File.Exists(path))
        {
            var made = make();
            AtomicFile.WriteText(path, JsonSerializer.Serialize(new Stored<T>(settings, made), s_format) + "\n");
            return made;
        }
        var stored = Read<Stored<T>>(path);
        return stored.Settings == settings
            ? stored.Result
            : throw new InputException(path, null, "is the result of a run with other settings", "repeat that run's command, or give another --out");
    }

    private static T Read<T>(string path)
    {
        using var json = JsonInput.ReadFile(path);
        try
        {
            return json.RootElement.Deserialize<T>(s_format) ?? throw new JsonException();
        }
        catch (JsonException)
        {
            throw new InputException(path, null, "is not the result of an experiment's run", "delete it, and the run is made again");
        }
    }
}
