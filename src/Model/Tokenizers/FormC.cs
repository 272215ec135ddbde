using System.Globalization;
using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// Unicode's normalization form C (UAX #15): characters are taken apart canonically, marks put in order, and what can be one character
/// becomes one. The runtime's own Normalize needs ICU; where that is left out (InvariantGlobalization) it gives the text back as it was.
/// </summary>
internal static class FormC
{
    /// <summary>Every character below is in form C and combines with none before it.</summary>
    private const char FirstToLookAt = '\u0300';

    // Hangul syllables are composed of a leading consonant, a vowel and perhaps a trailing consonant by arithmetic (Unicode 3.12).
    private const int SyllableBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TrailBase = 0x11A7;
    private const int Leads = 19, Vowels = 21, Trails = 28, Syllables = Leads * Vowels * Trails;

    private static readonly Lazy<Data> s_data = new(Data.Read);

    /// <summary>The text in form C; half a surrogate pair alone becomes U+FFFD.</summary>
    public static string Normalize(string text)
    {
        if (text.AsSpan().IndexOfAnyInRange(FirstToLookAt, char.MaxValue) < 0)
        {
            return text;
        }
        var decomposed = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            Decompose(rune.Value, decomposed);
        }
        Reorder(decomposed);
        var composed = new StringBuilder(text.Length);
        foreach (var code in Compose(decomposed))
        {
            composed.Append(new Rune(code).ToString());
        }
        return composed.ToString();
    }

    /// <summary>Every character that the data names, and a few Hangul: what tests draw from.</summary>
    internal static IEnumerable<int> Known() =>
        s_data.Value.Parts.SelectMany(static p => new[] { p.Key, p.Value.First, p.Value.Second }).Concat(s_data.Value.Classes.Keys)
            .Concat([LeadBase, LeadBase + 1, VowelBase, VowelBase + 1, TrailBase, TrailBase + 1, SyllableBase, SyllableBase + 1, SyllableBase + Syllables - 1])
            .Where(static code => code != 0).Distinct().Order();

    private static void Decompose(int code, List<int> to)
    {
        if (code - SyllableBase is >= 0 and < Syllables and var syllable)
        {
            to.Add(LeadBase + (syllable / (Vowels * Trails)));
            to.Add(VowelBase + (syllable / Trails % Vowels));
            if (syllable % Trails > 0)
            {
                to.Add(TrailBase + (syllable % Trails));
            }
        }
        else if (s_data.Value.Parts.TryGetValue(code, out var parts))
        {
            Decompose(parts.First, to);
            if (parts.Second != 0)
            {
                Decompose(parts.Second, to);
            }
        }
        else
        {
            to.Add(code);
        }
    }

    // Marks in a row are put in the order of their combining classes; equal ones stay as they stand.
    private static void Reorder(List<int> codes)
    {
        for (var i = 1; i < codes.Count; i++)
        {
            var (code, combining) = (codes[i], ClassOf(codes[i]));
            var to = i;
            for (; combining > 0 && to > 0 && ClassOf(codes[to - 1]) > combining; to--)
            {
                codes[to] = codes[to - 1];
            }
            codes[to] = code;
        }
    }

    // A character joins the last starter, unless another of its class or a higher one stands between.
    private static List<int> Compose(List<int> codes)
    {
        var result = new List<int>(codes.Count);
        var starter = -1;
        foreach (var code in codes)
        {
            var combining = ClassOf(code);
            var reaches = starter >= 0 && (starter == result.Count - 1 || ClassOf(result[^1]) < combining);
            if (reaches && Join(result[starter], code) is { } joined)
            {
                result[starter] = joined;
                continue;
            }
            if (combining == 0)
            {
                starter = result.Count;
            }
            result.Add(code);
        }
        return result;
    }

    private static int? Join(int first, int second)
    {
        if (first - LeadBase is >= 0 and < Leads and var lead && second - VowelBase is >= 0 and < Vowels and var vowel)
        {
            return SyllableBase + (((lead * Vowels) + vowel) * Trails);
        }
        if (first - SyllableBase is >= 0 and < Syllables and var syllable && syllable % Trails == 0 && second - TrailBase is > 0 and < Trails and var trail)
        {
            return first + trail;
        }
        return s_data.Value.Wholes.TryGetValue((first, second), out var whole) ? whole : null;
    }

    private static int ClassOf(int code) => code < FirstToLookAt ? 0 : s_data.Value.Classes.GetValueOrDefault(code);

    /// <summary>What nfc.txt holds; tools/nfc.py says how.</summary>
    /// <param name="Parts">Decompositions; the second part is 0 where there is one part alone.</param>
    /// <param name="Wholes">The characters that two become.</param>
    /// <param name="Classes">Combining classes that are not 0.</param>
    private sealed record Data(
        Dictionary<int, (int First, int Second)> Parts, Dictionary<(int First, int Second), int> Wholes, Dictionary<int, int> Classes)
    {
        public static Data Read()
        {
            var data = new Data([], [], []);
            using var reader = new StreamReader(typeof(FormC).Assembly.GetManifestResourceStream("nfc.txt")!);
            while (reader.ReadLine() is { } line)
            {
                var fields = line.TrimStart('!').Split(' ');
                if (fields[0].Split('-') is [var from, var to])
                {
                    for (var code = Hex(from); code <= Hex(to); code++)
                    {
                        data.Classes.Add(code, int.Parse(fields[1], CultureInfo.InvariantCulture));
                    }
                }
                else if (fields[0] != "#")
                {
                    var parts = (Hex(fields[1]), fields.Length > 2 ? Hex(fields[2]) : 0);
                    data.Parts.Add(Hex(fields[0]), parts);
                    if (line[0] != '!')
                    {
                        data.Wholes.Add(parts, Hex(fields[0]));
                    }
                }
            }
            return data;
        }

        private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
