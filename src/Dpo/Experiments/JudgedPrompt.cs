namespace TinyDpo.Dpo;

/// <summary>A held-out prompt and an answer to compare with.</summary>
/// <param name="Ids">What a policy continues.</param>
/// <param name="Prefix">The opening.</param>
/// <param name="Begun">What the prompt already holds of the review, with its leading space; empty for nothing.</param>
/// <param name="Answer">The world's own continuation from there.</param>
/// <param name="AnswerReward">The true reward of that, with what the prompt holds of it.</param>
internal sealed record JudgedPrompt(int[] Ids, string Prefix, string Begun, string Answer, double AnswerReward);
