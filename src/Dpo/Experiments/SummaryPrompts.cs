using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Texts with summaries as tokens: the text, "\nTL;DR:", a summary (Radford et al. 2019, section 3.6).</summary>
internal sealed class SummaryPrompts(ITokenizer tokenizer, int context, int maxTokens)
{
    private const string Cue = "\nTL;DR:";

    private readonly int[] _cue = tokenizer.EncodeContinuation(Cue);

    /// <summary>What the tokenizer is trained on.</summary>
    public static string Whole(SummaryExample text) => text.Text + Cue + string.Concat(text.Targets.Select(Continuation));

    /// <summary>Whether the text is cut at its end, so that the cue and a summary have room behind it.</summary>
    public bool IsCut(SummaryExample text) => tokenizer.Encode(text.Text).Length > Room;

    /// <summary>A prompt, and what it reads as.</summary>
    public (int[] Ids, string Text) Prompt(SummaryExample text)
    {
        int[] ids = [.. tokenizer.Encode(text.Text).Take(Room), .. _cue];
        return (ids, tokenizer.Decode(ids));
    }

    /// <summary>A summary behind its prompt: with the end token, but for one that must be cut.</summary>
    public int[] Summary(string summary)
    {
        int[] ids = [.. tokenizer.EncodeContinuation(Continuation(summary)), tokenizer.EosId];
        return ids.Length <= maxTokens ? ids : ids[..maxTokens];
    }

    private int Room => context - maxTokens - _cue.Length;

    private static string Continuation(string summary) => " " + summary.Trim();
}
