using TinyDpo.Models;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Dpo;

/// <summary>r(x, y) of a reward model: its scalar head at the last token of prompt and completion, the end token included where there is one.</summary>
public static class RewardScores
{
    /// <summary>Scores of the completions of rank 0 of every group, then of rank 1, and so on: a tensor [groups] each.</summary>
    /// <param name="model">A transformer with a scalar head.</param>
    /// <param name="groups">Prompts with as many completions each.</param>
    public static Tensor[] Of(Transformer model, IReadOnlyList<PromptGroup> groups)
    {
        // A packed completion's last token is not run, so one more that nobody looks at stands behind it.
        var packed = PackedBatch.Pack(
            model.Backend, [.. groups.Select(static g => g with { Completions = [.. g.Completions.Select(static c => (int[])[.. c, c[^1]])] })]);
        var scores = RowGather(model.Scores(packed), packed.LastPredictions(model.Backend));
        return [.. Enumerable.Range(0, groups[0].Completions.Count).Select(rank => scores.Slice(rank * groups.Count, groups.Count))];
    }

    /// <summary>Scores without gradients, a micro-batch at a time: [groups][completions].</summary>
    public static double[][] Measure(
        Transformer model, IReadOnlyList<PromptGroup> groups, int tokenBudget = SftTask.DefaultTokenBudget, Action<int>? done = null,
        CancellationToken cancellation = default)
    {
        var result = new double[groups.Count][];
        var finished = 0;
        foreach (var (from, micro) in MicroBatches.Of(groups, Tokens, tokenBudget))
        {
            cancellation.ThrowIfCancellationRequested();
            using var step = new StepScope(model.Backend, gradients: false);
            Real[][] ranks = [.. Of(model, micro).Select(static scores => scores.ToArray())];
            for (var i = 0; i < micro.Length; i++)
            {
                result[from + i] = [.. ranks.Select(scores => (double)scores[i])];
            }
            done?.Invoke(finished += micro.Length);
        }
        return result;
    }

    /// <summary>Tokens of the prompt, which is run once, and of all completions.</summary>
    public static int Tokens(this PromptGroup group) => group.Prompt.Length + group.Completions.Sum(static c => c.Length);
}
