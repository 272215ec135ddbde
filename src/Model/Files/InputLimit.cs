namespace TinyDpo.Models;

/// <summary>
/// How much of a file from outside is taken into memory at once, so that no file can fill it: each limit is some times what real models
/// and data have. What is larger is refused before it is read, or as soon as it is seen to be.
/// </summary>
/// <param name="Bytes">The most bytes.</param>
/// <param name="Tokens">
/// The most JSON tokens (values, names and brackets) in them: parsed, a token takes 12 bytes, which for a file of brackets is six times its size.
/// </param>
internal sealed record InputLimit(int Bytes, int Tokens)
{
    /// <summary>
    /// A file of JSON: a configuration, an index of shards (some 100 bytes a tensor), a workload. Or the header of a safetensors file, of some
    /// 100 bytes and 13 tokens a tensor; Hugging Face's own reader allows 100 MB, real ones take less than 10.
    /// </summary>
    public static InputLimit Json { get; } = new(1 << 24, 1 << 20);

    /// <summary>tokenizer.json and its older layouts: those of vocabularies of 262,144 pieces have 33 MB and 2.6 million tokens.</summary>
    public static InputLimit Tokenizer { get; } = new(1 << 26, 1 << 22);

    /// <summary>A line of a text or JSONL file, or a value of a list: a row of a million tokens of text. Read, it takes some 35 times its bytes.</summary>
    public static InputLimit Line { get; } = new(1 << 22, 1 << 18);
}
