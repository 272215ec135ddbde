using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// Supervised fine-tuning: the mean negative log-prob over the completion tokens of a batch. Prompts are read, not learnt.
/// </summary>
public sealed class SftTask(Transformer model, IReadOnlyList<SftExample> examples, int tokenBudget = SftTask.DefaultTokenBudget) : ITrainingTask
{
    public const int DefaultTokenBudget = 4096;

    public int Examples => examples.Count;

    public int Tokens(int example) => Tokens(examples[example]);

    public BatchResult Accumulate(IReadOnlyList<int> batch)
    {
        double loss = 0;
        SftExample[] all = [.. batch.Select(i => examples[i])];
        var predicted = all.Sum(static e => e.Completion.Length);
        foreach (var (_, micro) in MicroBatches.Of(all, Tokens, tokenBudget))
        {
            using var step = new StepScope(model.Backend);
            var packed = PackedBatch.Pack(model.Backend, [.. micro.Select(static e => new PromptGroup(e.Prompt, [e.Completion]))]);
            var negative = -model.TokenLogProbs(packed).Sum() / predicted;
            loss += negative.Item();
            negative.Backward();
        }
        return new BatchResult([("loss", loss)], all.Sum(Tokens));
    }

    private static int Tokens(SftExample example) => example.Prompt.Length + example.Completion.Length;
}
