using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// A preference as text, with the rewards that its completions had when it was made, and as ids: what was sampled, to the token. Where a
/// row has both, the ids are read.
/// </summary>
public sealed record PreferenceRow(
    [property: JsonPropertyName("prompt")] string Prompt,
    [property: JsonPropertyName("chosen")] string Chosen,
    [property: JsonPropertyName("rejected")] string Rejected,
    [property: JsonPropertyName("chosen_reward")] double ChosenReward,
    [property: JsonPropertyName("rejected_reward")] double RejectedReward)
{
    public static PreferenceRow Of((int[] Ids, string Text) prompt, SampledPair pair) =>
        new(prompt.Text, pair.Chosen.Text, pair.Rejected.Text, pair.Chosen.Reward, pair.Rejected.Reward)
        {
            PromptIds = prompt.Ids,
            ChosenIds = pair.Chosen.Tokens,
            RejectedIds = pair.Rejected.Tokens,
        };

    [JsonPropertyName("prompt_ids"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int[]? PromptIds { get; init; }

    [JsonPropertyName("chosen_ids"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int[]? ChosenIds { get; init; }

    [JsonPropertyName("rejected_ids"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int[]? RejectedIds { get; init; }
}

/// <summary>Writes preferences as JSON Lines that <see cref="PreferenceData"/> reads.</summary>
public static class PairWriter
{
    // Quotes and letters of every language stay readable; the file is never put into a web page.
    private static readonly JsonSerializerOptions Format = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <exception cref="ArgumentException">A reward is not a finite number, which JSON cannot hold.</exception>
    public static void Write(string path, IEnumerable<PreferenceRow> rows)
    {
        AtomicFile.Write(path, stream =>
        {
            using var writer = new StreamWriter(stream, new UTF8Encoding(false), leaveOpen: true) { NewLine = "\n" };
            foreach (var row in rows)
            {
                writer.WriteLine(JsonSerializer.Serialize(row, Format));
            }
        });
    }
}
