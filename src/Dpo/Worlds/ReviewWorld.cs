namespace TinyDpo.Dpo;

/// <summary>
/// Short film reviews with a latent sentiment. A prefix is a neutral opening of 6 to 10 words, the continuation, independent of it, holds the
/// sentiment, which is drawn first.
/// </summary>
internal sealed class ReviewWorld() : World("reviews", new Language(ReviewWorldRules.Grammar, ReviewWorldRules.Prefix))
{
    /// <summary>In (0, 1); 0.5 where the text says nothing. See <see cref="ReviewReward"/>.</summary>
    public override double Reward(string prefix, string continuation) => ReviewReward.Of(continuation);

    private protected override Language Continuations { get; } = new(ReviewWorldRules.Grammar, ReviewWorldRules.Latent);

    private protected override Language Writer(string prefix) => Continuations;
}
