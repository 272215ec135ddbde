using System.Buffers;

namespace TinyDpo.Models;

/// <summary>Cuts a text at its added tokens: the leftmost match first, of those the longest, as Hugging Face's tokenizers do.</summary>
internal sealed class AddedTokenSplitter
{
    private readonly AddedToken[] longestFirst;
    private readonly SearchValues<string> contents;

    public AddedTokenSplitter(IEnumerable<AddedToken> tokens)
    {
        longestFirst = [.. tokens.OrderByDescending(token => token.Content.Length)];
        contents = SearchValues.Create([.. longestFirst.Select(token => token.Content)], StringComparison.Ordinal);
    }

    /// <summary>The parts of <paramref name="text"/> in order: stretches of plain text (no Token, never empty) and added tokens.</summary>
    public List<(Range Stretch, AddedToken? Token)> Split(ReadOnlySpan<char> text)
    {
        var parts = new List<(Range, AddedToken?)>();
        var from = 0;
        while (from < text.Length)
        {
            var found = longestFirst.Length == 0 ? -1 : text[from..].IndexOfAny(contents);
            if (found < 0)
            {
                break;
            }
            var start = from + found;
            var token = TokenAt(text[start..]);
            var end = start + token.Content.Length;
            if (token.LStrip)
            {
                start = from + text[from..start].TrimEnd().Length;
            }
            if (start > from)
            {
                parts.Add((from..start, null));
            }
            parts.Add((start..end, token));
            from = token.RStrip ? text.Length - text[end..].TrimStart().Length : end;
        }
        if (from < text.Length)
        {
            parts.Add((from..text.Length, null));
        }
        return parts;
    }

    private AddedToken TokenAt(ReadOnlySpan<char> text)
    {
        foreach (var token in longestFirst)
        {
            if (text.StartsWith(token.Content, StringComparison.Ordinal))
            {
                return token;
            }
        }
        throw new InvalidOperationException("no added token where the search found one");
    }
}
