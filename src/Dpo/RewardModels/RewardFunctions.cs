using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Rewards of texts as scores of tokens, which PPO asks for.</summary>
internal static class RewardFunctions
{
    /// <param name="tokenizer">Turns prompts and completions back into texts.</param>
    /// <param name="score">The score that a reward gives.</param>
    public static RewardFunction Of(IReward reward, ITokenizer tokenizer, Func<double, double> score)
    {
        return completions => [.. completions.Select(group => score(reward.Score(tokenizer.Decode(group.Prompt), Text(group.Completions[0]))))];

        string Text(int[] ids) => tokenizer.DecodeContinuation(ids[^1] == tokenizer.EosId ? ids.AsSpan(..^1) : ids);
    }
}
