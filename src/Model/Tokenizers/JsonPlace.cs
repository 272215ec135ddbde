using System.Text.Json;
using System.Text.Unicode;

namespace TinyDpo.Models;

/// <summary>A value in a JSON file that knows where it stands, so that whatever is wrong with it can be reported in one line.</summary>
internal readonly record struct JsonPlace(string File, string Place, JsonElement Value)
{
    /// <exception cref="InputException">The file cannot be read, is too large, or is not JSON with an object at its root.</exception>
    public static JsonPlace Read(string file, InputLimit limit)
    {
        var content = InputFile.ReadAll(file, limit.Bytes);
        if (content.Span.StartsWith("\uFEFF"u8))
        {
            content = content[3..];
        }
        if (!Utf8.IsValid(content.Span))
        {
            throw new InputException(file, null, "is not valid UTF-8", "save it again as UTF-8");
        }
        try
        {
            JsonInput.RequireFewTokens(content.Span, limit);
            var root = new JsonPlace(file, "the root", JsonDocument.Parse(content).RootElement);
            return root.Expect(JsonValueKind.Object, "an object");
        }
        catch (JsonException e)
        {
            throw new InputException(file, $"line {e.LineNumber + 1}", "is not valid JSON here",
                "the file may be cut short: fetch or save it again");
        }
    }

    /// <summary>A member of an object, or null where it is absent or null.</summary>
    public JsonPlace? this[string name]
    {
        get
        {
            // The search unescapes the names that it passes, too.
            var value = Expect(JsonValueKind.Object, "an object").Value;
            var member = Unescaped(() => value.TryGetProperty(name, out var found) ? found : default);
            return member.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null ? null : Below(name, member);
        }
    }

    public JsonPlace Required(string name) => this[name] ?? throw Error($"has no \"{name}\"", "is this the right file?");

    public string Text()
    {
        var value = Expect(JsonValueKind.String, "a string").Value;
        return Unescaped(() => value.GetString()!);
    }

    public int Integer() => Value.ValueKind == JsonValueKind.Number && Value.TryGetInt32(out var number)
        ? number : throw Error("is no integer", "write one of at most 32 bits");

    public bool Flag() => Value.ValueKind is JsonValueKind.True or JsonValueKind.False
        ? Value.ValueKind == JsonValueKind.True : throw Error("is neither true nor false", "write one of them");

    public bool IsText => Value.ValueKind == JsonValueKind.String;

    public bool IsList => Value.ValueKind == JsonValueKind.Array;

    public List<JsonPlace> Items()
    {
        var items = new List<JsonPlace>();
        foreach (var item in Expect(JsonValueKind.Array, "a list").Value.EnumerateArray())
        {
            items.Add(new JsonPlace(File, $"{Place}[{items.Count}]", item));
        }
        return items;
    }

    public List<(string Name, JsonPlace Value)> Members()
    {
        var members = new List<(string, JsonPlace)>();
        foreach (var member in Expect(JsonValueKind.Object, "an object").Value.EnumerateObject())
        {
            var name = Unescaped(() => member.Name);
            members.Add((name, Below(name, member.Value)));
        }
        return members;
    }

    /// <summary>The steps of a part of tokenizer.json, which may be absent, one step, or a Sequence of them.</summary>
    public List<JsonPlace> Steps(string name, string listName) => this[name] switch
    {
        null => [],
        { } sequence when sequence.Type == "Sequence" => sequence.Required(listName).Items(),
        { } single => [single],
    };

    public string Type => Required("type").Text();

    public InputException Error(string problem, string remedy) => new(File, Quoted.Text(Place), problem, remedy);

    private JsonPlace Below(string name, JsonElement value) => new(File, Place == "the root" ? name : $"{Place}.{name}", value);

    private JsonPlace Expect(JsonValueKind kind, string what) =>
        Value.ValueKind == kind ? this : throw Error($"is not {what}", "is this the right file?");

    // An escape such as \ud800 alone is valid JSON, but no text.
    private T Unescaped<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException)
        {
            throw Error("holds half a surrogate pair", "escape a character beyond U+FFFF as two \\u codes, or write it as UTF-8");
        }
    }
}
