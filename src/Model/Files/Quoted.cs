using System.Text;

namespace TinyDpo.Models;

/// <summary>Text from outside inside a message: on one line and of bounded length, whatever the file held.</summary>
public static class Quoted
{
    private const int MaxLength = 120;

    public static string Name(string name) => $"'{Text(name)}'";

    public static string Text(string text)
    {
        var shown = new StringBuilder();
        foreach (var rune in text.EnumerateRunes())
        {
            if (shown.Length >= MaxLength)
            {
                return shown.Append("...").ToString();
            }
            shown.Append(Rune.IsControl(rune) || rune.Value is 0x2028 or 0x2029 ? "?" : rune.ToString());
        }
        return shown.ToString();
    }
}
