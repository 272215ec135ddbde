using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace TinyDpo.Dpo;

/// <summary>A preference as text, with the rewards that its completions had when it was made.</summary>
public sealed record PreferenceRow(
    [property: JsonPropertyName("prompt")] string Prompt,
    [property: JsonPropertyName("chosen")] string Chosen,
    [property: JsonPropertyName("rejected")] string Rejected,
    [property: JsonPropertyName("chosen_reward")] double ChosenReward,
    [property: JsonPropertyName("rejected_reward")] double RejectedReward);

/// <summary>Writes preferences as JSON Lines that <see cref="PreferenceData"/> reads.</summary>
public static class PairWriter
{
    // Quotes and letters of every language stay readable; the file is never put into a web page.
    private static readonly JsonSerializerOptions Format = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <exception cref="ArgumentException">A reward is not a finite number, which JSON cannot hold.</exception>
    public static void Write(string path, IEnumerable<PreferenceRow> rows)
    {
        using var writer = new StreamWriter(path, append: false, new UTF8Encoding(false)) { NewLine = "\n" };
        foreach (var row in rows)
        {
            writer.WriteLine(JsonSerializer.Serialize(row, Format));
        }
    }
}
