namespace TinyDpo.Dpo;

/// <summary>A reward function: what a continuation of a prompt is worth. Higher is better; the same texts always score the same.</summary>
public interface IReward
{
    string Name { get; }

    double Score(string prompt, string continuation);
}

/// <summary>The true reward of a world, in [0, 1].</summary>
public sealed class WorldReward(World world) : IReward
{
    public string Name => world == World.Reviews ? "world" : "world:" + world.Name;

    public double Score(string prompt, string continuation) => world.Reward(prompt, continuation);

    /// <summary>Share of samples that ended and that the world's grammar accepts after their prefixes.</summary>
    public double GrammaticalShare(IEnumerable<string> prefixes, IEnumerable<ScoredCompletion> samples) =>
        samples.Zip(prefixes, (sample, prefix) => sample.Ended && world.Accepts(prefix, sample.Text)).Average(static ok => ok ? 1.0 : 0.0);
}
