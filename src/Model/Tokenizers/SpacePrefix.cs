namespace TinyDpo.Models;

/// <summary>Where <see cref="BpeTokenizer.Encode"/> of a byte-fallback tokenizer puts a space in front.</summary>
public enum SpacePrefix
{
    Never,

    /// <summary>Before every stretch between added tokens: Hugging Face's normalizer Prepend.</summary>
    Always,

    /// <summary>The same, but not before a space: the pre-tokenizer Metaspace with prepend_scheme "always".</summary>
    UnlessThere,

    /// <summary>Before the text's first stretch alone, and not before a space: Metaspace with prepend_scheme "first".</summary>
    FirstUnlessThere,
}

/// <summary>The names that Metaspace's prepend_scheme has for a <see cref="SpacePrefix"/>.</summary>
internal static class MetaspaceScheme
{
    private static readonly (string Name, SpacePrefix Prefix)[] s_names =
        [("never", SpacePrefix.Never), ("always", SpacePrefix.UnlessThere), ("first", SpacePrefix.FirstUnlessThere)];

    public static string Of(SpacePrefix prefix) => s_names.First(n => n.Prefix == prefix).Name;

    /// <summary>Null for a name that is not known.</summary>
    public static SpacePrefix? Of(string name) => s_names.Where(n => n.Name == name).Select(static n => (SpacePrefix?)n.Prefix).FirstOrDefault();
}
