namespace TinyDpo.Dpo;

/// <summary>What a training run from files gives back.</summary>
/// <param name="Model">The folder of the trained model.</param>
/// <param name="Data">What was read of the training data.</param>
/// <param name="Evaluation">Held-out figures after the last step, as eval_*; empty without held-out data.</param>
public sealed record TrainingResult(string Model, DataSummary Data, IReadOnlyList<(string Name, double Value)> Evaluation)
{
    /// <summary>What the run would have taken, where it was a dry one; else null.</summary>
    public RunNeeds? Needs { get; init; }

    /// <summary>
    /// The line that a command prints: model, rows read, kept, dropped and truncated, the lines of the first <see cref="DataSummary.MostNamed"/>
    /// dropped and truncated, lengths in tokens, eval_*.
    /// </summary>
    public IReadOnlyDictionary<string, object> ToLine()
    {
        var line = new Dictionary<string, object>
        {
            ["model"] = Model,
            ["read"] = Data.Read,
            ["kept"] = Data.Kept,
            ["dropped"] = Data.DroppedCount,
            ["dropped_lines"] = Data.Dropped.Select(static row => row.Line),
            ["truncated"] = Data.Truncated,
            ["truncated_lines"] = Data.TruncatedLines,
            ["longest"] = Data.Longest,
            ["mean_prompt"] = Data.MeanPrompt,
            ["mean_completion"] = Data.MeanCompletion,
        };
        foreach (var (name, value) in Evaluation)
        {
            line.Add(name, value);
        }
        return line;
    }
}
