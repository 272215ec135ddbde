namespace TinyDpo.Dpo;

/// <summary>The prompt that two completions share, as TRL's <c>extract_prompt</c> finds it.</summary>
public static class ImplicitPrompt
{
    /// <summary>
    /// The length of the prompt that both texts begin with: up to where they differ, less one space before that place (the space belongs to
    /// the next word). Where one text begins the other, its last character stays with the completions, so that none is emptied.
    /// </summary>
    public static int Length(string chosen, string rejected)
    {
        var shortest = Math.Min(chosen.Length, rejected.Length);
        var length = Shared(shortest, i => chosen[i] == rejected[i]);
        var differ = length < shortest;
        length = differ ? length : Math.Max(shortest - 1, 0);
        // A pair of surrogates is one character: it is never cut in two.
        if (length > 0 && char.IsHighSurrogate(chosen[length - 1]) && char.IsLowSurrogate(chosen[length]))
        {
            length--;
        }
        return differ && length > 0 && chosen[length - 1] == ' ' ? length - 1 : length;
    }

    /// <summary>
    /// The prompt of two transcripts as HH-RLHF has them (Bai et al. 2022): all up to the last "\n\nAssistant:", as the authors of DPO take
    /// it; null where the texts are no such transcripts, or that much of them is not the same. Where one ends with it, its answer is empty.
    /// </summary>
    public static int? OfTranscript(string chosen, string rejected)
    {
        const string start = "\n\nHuman:", answer = "\n\nAssistant:";
        if (!chosen.StartsWith(start, StringComparison.Ordinal) || chosen.LastIndexOf(answer, StringComparison.Ordinal) is not (>= 0 and var at))
        {
            return null;
        }
        // The rejected one may be the transcript without an answer, of which the chosen one has more turns.
        var length = rejected.EndsWith(answer, StringComparison.Ordinal) ? Math.Min(rejected.Length, at + answer.Length) : at + answer.Length;
        return rejected.AsSpan().StartsWith(chosen.AsSpan(0, length)) ? length : null;
    }

    /// <summary>
    /// The number of messages that are the prompt of both conversations; a last shared one stays with the completions, as above.
    /// </summary>
    public static int Length(IReadOnlyList<ChatMessage> chosen, IReadOnlyList<ChatMessage> rejected)
    {
        var shortest = Math.Min(chosen.Count, rejected.Count);
        var length = Shared(shortest, i => chosen[i] == rejected[i]);
        return length < shortest ? length : Math.Max(shortest - 1, 0);
    }

    private static int Shared(int shortest, Func<int, bool> same)
    {
        var length = 0;
        while (length < shortest && same(length))
        {
            length++;
        }
        return length;
    }
}
