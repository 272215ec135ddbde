using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>A row that was left out, and why.</summary>
public sealed record DroppedRow(int Line, string Reason);

/// <summary>What was read from a data file. Lengths are in tokens, after cutting, over the rows kept.</summary>
public record DataSummary
{
    /// <summary>The most dropped, and cut, rows that are named; all are counted.</summary>
    public const int MostNamed = 1000;

    private const int MostDescribed = 3;

    internal DataSummary(DataTally tally)
    {
        (Read, Kept, DroppedCount, Truncated) = (tally.Read, tally.Kept, tally.DroppedCount, tally.Truncated);
        (Dropped, TruncatedLines) = (tally.Dropped, tally.TruncatedLines);
        (Longest, MeanPrompt, MeanCompletion) = (tally.Longest, tally.Prompts.Mean, tally.AllCompletions.Mean);
    }

    public int Read { get; }

    public int Kept { get; }

    public int DroppedCount { get; }

    /// <summary>The first <see cref="MostNamed"/> rows dropped.</summary>
    public IReadOnlyList<DroppedRow> Dropped { get; }

    /// <summary>Rows kept of which something was cut off.</summary>
    public int Truncated { get; }

    /// <summary>The lines of the first <see cref="MostNamed"/> of them.</summary>
    public IReadOnlyList<int> TruncatedLines { get; }

    /// <summary>Prompt and its longest completion together, over all rows.</summary>
    public int Longest { get; }

    public double MeanPrompt { get; }

    public double MeanCompletion { get; }

    /// <summary>One line for people.</summary>
    public virtual string Describe()
    {
        var dropped = string.Concat(Dropped.Take(MostDescribed).Select(d => $"; line {d.Line} dropped: {d.Reason}"));
        var more = DroppedCount > MostDescribed ? $"; and {DroppedCount - MostDescribed} more dropped" : "";
        return string.Create(CultureInfo.InvariantCulture,
            $"{Read} rows read, {Kept} kept, {Truncated} cut to length{DescribeTruncated()}; longest {Longest} tokens, mean prompt {MeanPrompt:F1}, " +
            $"mean completion {MeanCompletion:F1}{dropped}{more}");
    }

    private string DescribeTruncated() => Truncated == 0
        ? ""
        : $" (line {string.Join(", ", TruncatedLines.Take(MostDescribed))}{(Truncated > MostDescribed ? $" and {Truncated - MostDescribed} more" : "")})";
}

/// <summary>The summary of preference data.</summary>
public sealed record PreferenceSummary : DataSummary
{
    internal PreferenceSummary(DataTally tally)
        : base(tally) => (MeanChosen, MeanRejected) = (tally.Completions[0].Mean, tally.Completions[1].Mean);

    public double MeanChosen { get; }

    public double MeanRejected { get; }

    /// <summary>Rows kept that hold one completion and whether it is desirable.</summary>
    public required int Unpaired { get; init; }

    /// <summary>Pairs kept whose completions are the same tokens (perhaps for having been cut): they teach nothing.</summary>
    public required int Identical { get; init; }

    public override string Describe() =>
        base.Describe() + (Unpaired == 0 ? "" : $"; {Unpaired} of them unpaired") + (Identical == 0 ? "" : $"; {Identical} pairs of two equal completions");
}

/// <summary>Counts rows as they are read, so that a summary needs no second look at them.</summary>
internal sealed class DataTally
{
    private readonly List<DroppedRow> _dropped = [];
    private readonly List<int> _truncatedLines = [];
    private readonly List<Lengths> _completions = [];

    public int Read { get; private set; }

    public int Kept { get; private set; }

    public int Truncated { get; private set; }

    public int Longest { get; private set; }

    public Lengths Prompts { get; private set; }

    public int DroppedCount => Read - Kept;

    public IReadOnlyList<DroppedRow> Dropped => _dropped;

    public IReadOnlyList<int> TruncatedLines => _truncatedLines;

    /// <summary>The lengths of each row's first completions, of their second ones, and so on.</summary>
    public IReadOnlyList<Lengths> Completions => _completions;

    public Lengths AllCompletions => _completions.Aggregate(default(Lengths), static (a, b) => new(a.Tokens + b.Tokens, a.Count + b.Count));

    public void Drop(DroppedRow row)
    {
        Read++;
        AddNamed(_dropped, row);
    }

    public void Keep(int line, int[] prompt, int[][] completions, bool cut)
    {
        Read++;
        Kept++;
        Longest = Math.Max(Longest, prompt.Length + completions.Max(static c => c.Length));
        Prompts = Prompts.With(prompt);
        for (var i = 0; i < completions.Length; i++)
        {
            if (i == _completions.Count)
            {
                _completions.Add(default);
            }
            _completions[i] = _completions[i].With(completions[i]);
        }
        if (cut)
        {
            Truncated++;
            AddNamed(_truncatedLines, line);
        }
    }

    private static void AddNamed<T>(List<T> rows, T row)
    {
        if (rows.Count < DataSummary.MostNamed)
        {
            rows.Add(row);
        }
    }

    /// <summary>The lengths of sequences. Empty ones, of what a row lacks, do not count.</summary>
    public readonly record struct Lengths(long Tokens, int Count)
    {
        /// <summary>0 where there is none.</summary>
        public double Mean => Count == 0 ? 0 : (double)Tokens / Count;

        public Lengths With(int[] sequence) => sequence.Length == 0 ? this : new(Tokens + sequence.Length, Count + 1);
    }
}
