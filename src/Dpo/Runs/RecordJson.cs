using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace TinyDpo.Dpo;

/// <summary>
/// What <see cref="JsonSerializer"/> makes of an object of ours, to the letter. The serializer first compiles code for each property of its type, which took a fifth
/// of a run's start; this reads them by reflection, once.
/// </summary>
/// <remarks>Values may be texts, numbers (int, long, ulong, double), truth values, enums, lists, and objects of such properties.</remarks>
internal static class RecordJson
{
    /// <summary>With indentation and the names of enums: for people.</summary>
    public static string Readable(object record) => Text(record, readable: true);

    /// <summary>In one line, with the numbers of enums: for hashes.</summary>
    public static string Compact(object record) => Text(record, readable: false);

    private static string Text(object record, bool readable)
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Indented = readable }))
        {
            Write(json, record, readable);
        }
        return Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length);
    }

    private static void Write(Utf8JsonWriter json, object? value, bool readable)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case string text:
                json.WriteStringValue(text);
                break;
            case Enum when readable:
                json.WriteStringValue(value.ToString());
                break;
            case bool truth:
                json.WriteBooleanValue(truth);
                break;
            case double number:
                json.WriteNumberValue(number);
                break;
            case ulong number:
                json.WriteNumberValue(number);
                break;
            case int or long or Enum:
                json.WriteNumberValue(Convert.ToInt64(value, CultureInfo.InvariantCulture));
                break;
            case IConvertible:
                throw new NotSupportedException($"RecordJson writes no {value.GetType()}");
            case IEnumerable list:
                json.WriteStartArray();
                foreach (var item in list)
                {
                    Write(json, item, readable);
                }
                json.WriteEndArray();
                break;
            default:
                WriteProperties(json, value, readable);
                break;
        }
    }

    private static void WriteProperties(Utf8JsonWriter json, object record, bool readable)
    {
        json.WriteStartObject();
        foreach (var property in record.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance))
        {
            var value = property.GetValue(record);
            if (value is false && property.GetCustomAttribute<JsonIgnoreAttribute>() is { Condition: JsonIgnoreCondition.WhenWritingDefault })
            {
                continue;
            }
            json.WritePropertyName(property.Name);
            Write(json, value, readable);
        }
        json.WriteEndObject();
    }
}
