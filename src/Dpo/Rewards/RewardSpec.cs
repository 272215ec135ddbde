using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>Names of rewards as the command line takes them.</summary>
public static class RewardSpec
{
    /// <summary>What <see cref="Parse"/> takes, for messages.</summary>
    public const string Takes = "world, world:summaries, world:dialogue, lexicon:FILE or model:DIR";

    private const string Reviews = "world";
    private const string World = "world:";
    private const string Lexicon = "lexicon:";
    private const string Model = "model:";

    /// <summary>Whether <see cref="Parse"/> knows the name; the file is another matter.</summary>
    public static bool IsKnown(string spec) => spec == Reviews || Other(spec) is not null || Rest(spec, Lexicon) is not null || Rest(spec, Model) is not null;

    /// <summary><c>world</c>, that of reviews, <c>world:NAME</c>, that of another world, <c>lexicon:FILE</c>, or <c>model:DIR</c>, a folder that reward-model wrote.</summary>
    /// <param name="backend">Where a reward model runs.</param>
    /// <exception cref="InputException">The name is unknown, or the file is no lexicon, or the folder holds no reward model.</exception>
    public static IReward Parse(string spec, IBackend backend) =>
        spec == Reviews ? new WorldReward(Dpo.World.Reviews)
        : Other(spec) is { } world ? new WorldReward(world)
        : Rest(spec, Lexicon) is { } file ? LexiconReward.Read(file)
        : Rest(spec, Model) is { } folder ? ModelReward.Load(folder, backend)
        : throw new InputException($"reward '{spec}'", null, "there is no such reward", $"give {Takes}");

    private static World? Other(string spec) => Rest(spec, World) is { } name ? Dpo.World.All.FirstOrDefault(w => w.Name == name) : null;

    private static string? Rest(string spec, string kind) =>
        spec.StartsWith(kind, StringComparison.Ordinal) && spec.Length > kind.Length ? spec[kind.Length..] : null;
}
