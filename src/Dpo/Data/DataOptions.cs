using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Limits on the token counts of a row. Without them rows are taken whole.</summary>
public sealed record PreferenceDataOptions
{
    private readonly int? maxLength, maxPromptLength;

    /// <summary>
    /// Most tokens of prompt and one completion together (the model's context): a longer completion is cut from the right.
    /// </summary>
    public int? MaxLength
    {
        get => maxLength;
        init => maxLength = AtLeast(2, value);
    }

    /// <summary>Most tokens of a prompt: a longer one is cut from the left, its beginning-of-sequence token kept.</summary>
    public int? MaxPromptLength
    {
        get => maxPromptLength;
        init => maxPromptLength = AtLeast(1, value);
    }

    /// <summary>How conversations become text; null for the tokenizer's own template.</summary>
    public ChatTemplate? Template { get; init; }

    /// <summary>The template of a file's conversations, made when the first of them comes.</summary>
    internal Lazy<ChatTemplate> TemplateFor(ITokenizer? tokenizer) => new(() => Template?.For(tokenizer!) ?? ChatTemplate.Of(tokenizer!));

    /// <summary>A row over a limit is an error instead of being cut.</summary>
    public bool Strict { get; init; }

    /// <summary>Where the token ids lie while they are in use (<see cref="TokenRows{T}"/>); null for the system's folder for temporary files.</summary>
    public string? ScratchFolder { get; init; }

    /// <summary>The model's vocabulary, where it is not the tokenizer's: ids are in [0, VocabSize).</summary>
    public int? VocabSize { get; init; }

    private static int? AtLeast(int least, int? value) =>
        value is null || value >= least
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), $"a limit of {value} tokens is too low");
}
