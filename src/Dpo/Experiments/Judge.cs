using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>An answer as judges see it.</summary>
/// <param name="Reward">The true one.</param>
/// <param name="Learned">The reward model's.</param>
internal sealed record JudgedAnswer(string Text, int Tokens, double Reward, double Learned, bool Grammatical);

/// <summary>
/// A judge of two answers: it prefers the one that it sees first with probability sigmoid(c(first) - c(second) + bias), or, without noise,
/// where that argument is above 0.
/// </summary>
/// <param name="Criterion">c, what an answer is worth to it.</param>
/// <param name="Noisy">Whether it draws.</param>
/// <param name="PositionBias">Its leaning to the answer that it sees first.</param>
internal sealed record Judge(string Name, Func<JudgedAnswer, double> Criterion, bool Noisy = false, double PositionBias = 0)
{
    // What an answer that the grammar refuses loses, as a difference of true rewards.
    private const double Ungrammatical = 0.25;

    /// <summary>Who labels pairs: Bradley-Terry on the true reward.</summary>
    public static Judge Annotator { get; } = new("another annotator", TrueReward, Noisy: true);

    /// <summary>Judges of different quality, each with the criterion alone and with grammar as a second one.</summary>
    public static IReadOnlyList<Judge> All { get; } =
    [
        Annotator,
        new("true reward", TrueReward),
        new("true reward and grammar", static a => TrueReward(a) + Grammar(a)),
        new("annotator with a bias to the first", TrueReward, Noisy: true, PositionBias: 1),
        new("reward model", static a => a.Learned),
        new("reward model and grammar", static a => a.Learned + Grammar(a)),
        new("good words less bad ones", Words),
        new("good words less bad ones, and grammar", static a => Words(a) + Grammar(a)),
        new("length", static a => a.Tokens),
    ];

    /// <summary>1 where it prefers a, 0 where b, 1/2 where it sees no difference. Which of them it sees first is drawn.</summary>
    /// <param name="address">Of its random numbers: seed, and what is judged.</param>
    public double Prefers(JudgedAnswer a, JudgedAnswer b, (ulong Seed, int Matchup, int Prompt, int Judge) address)
    {
        var aFirst = Draw(0) < 0.5;
        var lead = Criterion(a) - Criterion(b) + (aFirst ? PositionBias : -PositionBias);
        return Noisy ? (Draw(1) < 1 / (1 + Math.Exp(-lead)) ? 1 : 0) : lead > 0 ? 1 : lead < 0 ? 0 : 0.5;

        double Draw(int what) => Philox.Uniform(address.Seed, RandomPurpose.Preference, 1 + address.Matchup, address.Prompt, (2 * address.Judge) + what);
    }

    private static double TrueReward(JudgedAnswer answer) => World.PreferenceScale * answer.Reward;

    private static double Grammar(JudgedAnswer answer) => answer.Grammatical ? 0 : -World.PreferenceScale * Ungrammatical;

    private static double Words(JudgedAnswer answer) => answer.Text.ToLowerInvariant().Split(' ', StringSplitOptions.RemoveEmptyEntries)
        .Sum(static word => Math.Sign(ReviewWorldRules.Valence.GetValueOrDefault(word.Trim('.', ','))));
}
