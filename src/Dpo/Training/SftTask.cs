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

    public int Tokens(int example) => examples[example].Prompt.Length + examples[example].Completion.Length;

    public BatchResult Accumulate(IReadOnlyList<int> batch)
    {
        double loss = 0;
        var tokens = 0;
        var predicted = batch.Sum(i => examples[i].Completion.Length);
        foreach (var micro in MicroBatches.Split(batch, Tokens, tokenBudget))
        {
            using var step = new StepScope(model.Backend);
            var packed = PackedBatch.Pack(model.Backend, [.. micro.Select(i => new PromptGroup(examples[i].Prompt, [examples[i].Completion]))]);
            var negative = -model.TokenLogProbs(packed).Sum() / predicted;
            loss += negative.Item();
            tokens += micro.Sum(Tokens);
            negative.Backward();
        }
        return new BatchResult([("loss", loss)], tokens);
    }
}
