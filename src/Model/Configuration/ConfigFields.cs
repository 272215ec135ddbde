using System.Text.Json;

namespace TinyDpo.Models;

/// <summary>An object of a configuration, its values asked for by kind; null in the file counts as absent.</summary>
internal sealed class ConfigFields
{
    private readonly JsonElement element;
    private readonly string prefix;

    public ConfigFields(string file, JsonElement element, string prefix = "")
    {
        (File, this.element, this.prefix) = (file, element, prefix);
        if (element.ValueKind != JsonValueKind.Object)
        {
            var place = prefix.Length > 0 ? prefix.TrimEnd('.') : null;
            throw new InputException(file, place, "is no JSON object", "correct the configuration");
        }
    }

    public string File { get; }

    public InputException Fault(string key, string problem, string remedy) => new(File, prefix + key, problem, remedy);

    public InputException Missing(string key) => Fault(key, "is missing", "add it to the configuration");

    public bool Has(string key) => Find(key) is not null;

    /// <summary>Whether the key is there at all, be it with null.</summary>
    public bool Names(string key) => element.TryGetProperty(key, out _);

    public bool IsString(string key) => Find(key) is { ValueKind: JsonValueKind.String };

    /// <summary>Whether the key is absent, or a list or an object that holds nothing.</summary>
    public bool IsEmpty(string key) => Find(key) switch
    {
        null => true,
        { ValueKind: JsonValueKind.Array } list => list.GetArrayLength() == 0,
        { ValueKind: JsonValueKind.Object } members => members.GetPropertyCount() == 0,
        _ => false,
    };

    public int RequiredInt(string key) => Int(key) ?? throw Missing(key);

    public int? Int(string key) => Find(key) is { } value ? ToInt(key, value) : null;

    public int? FirstInt(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } several => several.GetArrayLength() == 0 ? null : ToInt(key, several[0]),
        { } one => ToInt(key, one),
    };

    public double? Double(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value => value.GetDouble(),
        { } other => throw Wrong(key, "number", other),
    };

    public bool? Bool(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.True or JsonValueKind.False } value => value.GetBoolean(),
        { } other => throw Wrong(key, "true or false", other),
    };

    public string? String(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value => value.GetString(),
        { } other => throw Wrong(key, "string", other),
    };

    public IReadOnlyList<string> Strings(string key) => Find(key) switch
    {
        null => [],
        { ValueKind: JsonValueKind.Array } value when value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) =>
            [.. value.EnumerateArray().Select(item => item.GetString()!)],
        { } other => throw Wrong(key, "list of strings", other),
    };

    public ConfigFields? Object(string key) => Find(key) is { } value ? new ConfigFields(File, value, $"{prefix}{key}.") : null;

    private JsonElement? Find(string key) =>
        element.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private int ToInt(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) ? number : throw Wrong(key, "whole number", value);

    private InputException Wrong(string key, string wanted, JsonElement actual) =>
        Fault(key, $"must be a {wanted}, is {Quoted.Text(actual.GetRawText())}", "correct the configuration");
}
