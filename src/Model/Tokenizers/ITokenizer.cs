namespace TinyDpo.Models;

/// <summary>Turns text into token ids and back.</summary>
public interface ITokenizer
{
    /// <summary>Number of ids: every id is in [0, VocabSize).</summary>
    int VocabSize { get; }

    /// <summary>The id that <see cref="Encode"/> puts in front, or null where the tokenizer puts none.</summary>
    int? BosId { get; }

    /// <summary>The id that ends a completion.</summary>
    int EosId { get; }

    /// <summary>How a chat template writes the token that begins a sequence, whether or not <see cref="Encode"/> puts it in front; empty for none.</summary>
    string BosText { get; }

    /// <summary>How a chat template writes <see cref="EosId"/>.</summary>
    string EosText { get; }

    /// <summary>The Jinja text by which conversations become prompts, as tokenizer_config.json has it; null for none.</summary>
    string? ChatTemplate => null;

    /// <summary>SHA-256, in hex, of all that determines the ids: part of the key of a cached reference.</summary>
    string Fingerprint { get; }

    /// <summary>
    /// A text that starts a sequence: with the beginning-of-sequence id and the leading space that the tokenizer prescribes. Whether text
    /// that spells a special token becomes that token is the tokenizer's to say (split_special_tokens): by default it does in Hugging Face's
    /// files, and not in llama2.c's, as SentencePiece has it. A lone surrogate is read as
    /// U+FFFD.
    /// </summary>
    int[] Encode(string text);

    /// <summary>A text that continues a sequence: its own tokens and nothing more. Never merges with what stands before.</summary>
    int[] EncodeContinuation(string text);

    /// <summary>
    /// The text of a whole sequence: the inverse of <see cref="Encode"/>; special tokens are left out, and so are ids from
    /// <see cref="VocabSize"/> on, which a model may have and no text stands for. Bytes that are not UTF-8 become U+FFFD.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    string Decode(ReadOnlySpan<int> ids);

    /// <summary>The text of a continuation: the inverse of <see cref="EncodeContinuation"/>; special tokens are left out.</summary>
    string DecodeContinuation(ReadOnlySpan<int> ids);

    /// <summary>
    /// Writes tokenizer.json and tokenizer_config.json, as Hugging Face's tools read them, into <paramref name="folder"/>, which is made
    /// where it is not there.
    /// </summary>
    void Save(string folder);
}
