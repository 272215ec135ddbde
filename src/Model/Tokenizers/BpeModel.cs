namespace TinyDpo.Models;

/// <summary>A token that is matched in the text as a whole, before anything is split or merged (Hugging Face's added_tokens).</summary>
/// <param name="Special">It controls the model and is no text: decoding leaves it out.</param>
/// <param name="LStrip">It swallows the white space before it.</param>
/// <param name="RStrip">It swallows the white space after it.</param>
/// <param name="Normalized">Kept for other readers of the file; matching here is always on the text as given.</param>
public sealed record AddedToken(
    int Id, string Content, bool Special, bool LStrip = false, bool RStrip = false, bool Normalized = false);

/// <summary>What a byte-pair tokenizer is made of, whichever file it came from.</summary>
public sealed record BpeModel
{
    /// <summary>Where it was read from: the file that errors name.</summary>
    public required string Source { get; init; }

    /// <summary>The pieces by id, added tokens included; null where an id has none.</summary>
    public required IReadOnlyList<string?> Pieces { get; init; }

    /// <summary>The rules in order of rank.</summary>
    public required IReadOnlyList<Merge> Merges { get; init; }

    public required IReadOnlyList<AddedToken> AddedTokens { get; init; }

    /// <summary>How a byte-level tokenizer cuts words; a byte-fallback one cuts none.</summary>
    public WordPattern Words { get; init; } = WordPattern.Gpt2;

    /// <summary>Whether a word that is a piece is taken as such, though no merges lead to it (Llama 3).</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Whether text is brought into Unicode's normalization form C before it is cut into words (Qwen2), added tokens apart.</summary>
    public bool NormalizesToFormC { get; init; }

    /// <summary>The id that a text starts with, or null for none.</summary>
    public int? BosId { get; init; }

    /// <summary>The token that begins a sequence where a chat template writes it: <see cref="BosId"/>, or one that no text starts with by itself; null for none.</summary>
    public int? BosTokenId { get => BosId ?? field; init; }

    public required int EosId { get; init; }

    /// <summary>The Jinja text of conversations, kept as it is; null for none.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>The id for bytes that have no piece, or null for none.</summary>
    public int? UnkId { get; init; }

    /// <summary>
    /// Whether text that looks like a special token is split like any other text, as Hugging Face's split_special_tokens has it. Added
    /// tokens that are not special are recognised either way.
    /// </summary>
    public required bool SplitSpecialTokens { get; init; }

    /// <summary>
    /// Whether some rules share a rank: tokenizer.json cannot say so (there each rule has a rank of its own), so the ranks are then saved
    /// beside it.
    /// </summary>
    public bool HasTiedRanks => Merges.Where((merge, i) => i > 0 && merge.Rank == Merges[i - 1].Rank).Any();
}
