using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>A reward model's score of a text, taken to end where it stops; any real number.</summary>
public sealed class ModelReward : IReward
{
    private readonly string _folder;
    private readonly Transformer _model;
    private readonly ITokenizer _tokenizer;

    private ModelReward(string folder, Transformer model, ITokenizer tokenizer) => (_folder, _model, _tokenizer) = (folder, model, tokenizer);

    public string Name => "model:" + _folder;

    /// <param name="folder">What reward-model wrote.</param>
    /// <param name="backend">Where it runs.</param>
    /// <exception cref="InputException">It holds no reward model.</exception>
    public static ModelReward Load(string folder, IBackend backend)
    {
        var (model, tokenizer) = ModelFile.LoadRewardModel(folder, backend);
        return new ModelReward(folder, model, tokenizer);
    }

    /// <exception cref="InputException">The text is longer than the model's context, or has no prompt.</exception>
    public double Score(string prompt, string continuation)
    {
        var group = new PromptGroup(_tokenizer.Encode(prompt), [[.. _tokenizer.EncodeContinuation(continuation), _tokenizer.EosId]]);
        if (group.Prompt.Length == 0 || group.Tokens() > _model.Config.MaxPositions)
        {
            throw new InputException(
                _folder, "max_position_embeddings", $"is {_model.Config.MaxPositions}, and a text to score has {group.Tokens()} tokens, {group.Prompt.Length} of them its prompt's",
                "give prompts that are not empty, and shorter texts");
        }
        return RewardScores.Measure(_model, [group])[0][0];
    }
}
