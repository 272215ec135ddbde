namespace TinyDpo.Dpo;

/// <summary>A held-out prompt and an answer to compare with.</summary>
/// <param name="Ids">What a policy continues.</param>
/// <param name="Prefix">The opening.</param>
/// <param name="Begun">What the prompt already holds of the review, with its leading space; empty for nothing.</param>
/// <param name="Answer">The world's own continuation from there.</param>
internal sealed record JudgedPrompt(int[] Ids, string Prefix, string Begun, string Answer)
{
    /// <summary>The true reward of the world's answer.</summary>
    public double AnswerReward => ReviewWorld.Reward(Begun + Answer);
}
