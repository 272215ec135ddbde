using System.Text.RegularExpressions;

namespace TinyDpo.Kernels;

/// <summary>The head of a kernel in the PTX: its name and the sizes of its parameters in bytes, which every launch is checked against.</summary>
internal sealed partial record PtxEntry(string Name, int[] ParameterSizes)
{
    /// <summary>All entries of a PTX text, by name.</summary>
    public static Dictionary<string, PtxEntry> ReadAll(string ptx) =>
        Head().Matches(ptx).Select(static match => new PtxEntry(
            match.Groups["name"].Value,
            [.. match.Groups["bits"].Captures.Select(static bits => int.Parse(bits.Value, System.Globalization.CultureInfo.InvariantCulture) / 8)]))
            .ToDictionary(static entry => entry.Name);

    [GeneratedRegex(@"\.entry\s+(?<name>\w+)\s*\((\s*\.param\s+\.[usbf](?<bits>32|64)\s+\w+\s*,?)*\s*\)")]
    private static partial Regex Head();
}
