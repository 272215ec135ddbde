using System.Globalization;
using System.Net;

namespace TinyDpo.Dpo;

/// <summary>Texts and numbers as markup that is both HTML and XML.</summary>
internal static class Html
{
    /// <summary>A text for content or a quoted attribute; what XML forbids even escaped becomes U+FFFD.</summary>
    public static string Escape(string text) =>
        WebUtility.HtmlEncode(string.Concat(text.Select(static c => c is < ' ' and not ('\t' or '\n' or '\r') or '\uFFFE' or '\uFFFF' ? '\uFFFD' : c)));

    /// <summary>A coordinate.</summary>
    public static string Pixels(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    /// <summary>How much of a colour shows, from 0 to 1.</summary>
    public static string Opacity(double value) => value.ToString("0.##", CultureInfo.InvariantCulture);

    /// <summary>A number to read, with four digits.</summary>
    public static string Number(double value) => value.ToString("G4", CultureInfo.InvariantCulture);
}
