using System.Text.Encodings.Web;
using System.Text.Json;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>Machine output: one JSON object a line on stdout.</summary>
internal static class JsonLine
{
    private static readonly JsonSerializerOptions s_format = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <exception cref="InputException">stdout is a file on a full disk, or the like.</exception>
    public static void Write(object value)
    {
        var line = JsonSerializer.Serialize(value, s_format);
        try
        {
            Console.Out.WriteLine(line);
        }
        catch (IOException e)
        {
            throw new InputException("stdout", null, $"cannot be written ({e.Message.TrimEnd('.')})", "free some space or send it elsewhere");
        }
    }

    /// <summary>Named numbers in their order.</summary>
    public static void Write(IEnumerable<(string Name, double Value)> values) =>
        Write(values.ToDictionary(static v => v.Name, static v => v.Value));
}
