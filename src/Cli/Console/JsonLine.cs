using System.Text.Encodings.Web;
using System.Text.Json;

namespace TinyDpo.Cli;

/// <summary>Machine output: one JSON object a line on stdout.</summary>
internal static class JsonLine
{
    private static readonly JsonSerializerOptions s_format = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(object value) => Console.Out.WriteLine(JsonSerializer.Serialize(value, s_format));

    /// <summary>Named numbers in their order.</summary>
    public static void Write(IEnumerable<(string Name, double Value)> values) =>
        Write(values.ToDictionary(static v => v.Name, static v => v.Value));
}
