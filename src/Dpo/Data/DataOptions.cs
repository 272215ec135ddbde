using System.Globalization;

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

    /// <summary>How conversations become text; null for the tokenizer's own template, which must be a known one.</summary>
    public ChatTemplate? Template { get; init; }

    /// <summary>A row over a limit is an error instead of being cut.</summary>
    public bool Strict { get; init; }

    /// <summary>The model's vocabulary, where it is not the tokenizer's: ids are in [0, VocabSize).</summary>
    public int? VocabSize { get; init; }

    private static int? AtLeast(int least, int? value) =>
        value is null || value >= least
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), $"a limit of {value} tokens is too low");
}

/// <summary>A row that was left out, and why.</summary>
public sealed record DroppedRow(int Line, string Reason);

/// <summary>What was read from a data file. Lengths are in tokens, after cutting, over the rows kept.</summary>
public record DataSummary
{
    public required int Read { get; init; }

    public required int Kept { get; init; }

    public required IReadOnlyList<DroppedRow> Dropped { get; init; }

    /// <summary>Rows kept of which something was cut off.</summary>
    public required int Truncated { get; init; }

    /// <summary>Prompt and its longest completion together, over all rows.</summary>
    public required int Longest { get; init; }

    public required double MeanPrompt { get; init; }

    public required double MeanCompletion { get; init; }

    /// <summary>One line for people.</summary>
    public virtual string Describe()
    {
        var dropped = string.Concat(Dropped.Take(3).Select(d => $"; line {d.Line} dropped: {d.Reason}"));
        var more = Dropped.Count > 3 ? $"; and {Dropped.Count - 3} more dropped" : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{Read} rows read, {Kept} kept, {Truncated} cut to length; longest {Longest} tokens, mean prompt {MeanPrompt:F1}, " +
            $"mean completion {MeanCompletion:F1}{dropped}{more}");
    }
}

/// <summary>The summary of preference data.</summary>
public sealed record PreferenceSummary : DataSummary
{
    public required double MeanChosen { get; init; }

    public required double MeanRejected { get; init; }

    /// <summary>Rows kept that hold one completion and whether it is desirable.</summary>
    public required int Unpaired { get; init; }

    /// <summary>Pairs kept whose completions are the same tokens (perhaps for having been cut): they teach nothing.</summary>
    public required int Identical { get; init; }

    public override string Describe() =>
        base.Describe() + (Unpaired == 0 ? "" : $"; {Unpaired} of them unpaired") + (Identical == 0 ? "" : $"; {Identical} pairs of two equal completions");
}
