namespace TinyDpo.Dpo;

/// <summary>The F of a <see cref="Rouge"/> measure against the references of the prompt, the best over them, in [0, 1].</summary>
public sealed class RougeReward : IReward
{
    private readonly Func<string, string, RougeScore> _measure;
    private readonly Dictionary<string, string[]> _references;

    /// <param name="name">The measure's, in messages.</param>
    /// <param name="measure">Of an answer against a reference.</param>
    /// <param name="references">A prompt and its references, at least one; those of a prompt that is there twice are put together.</param>
    public RougeReward(string name, Func<string, string, RougeScore> measure, IEnumerable<(string Prompt, IReadOnlyList<string> References)> references)
    {
        (Name, _measure) = (name, measure);
        _references = references.GroupBy(static r => r.Prompt).ToDictionary(static g => g.Key, static g => g.SelectMany(static r => r.References).ToArray());
    }

    public string Name { get; }

    /// <exception cref="ArgumentException">The prompt has no references.</exception>
    public double Score(string prompt, string continuation) => _references.TryGetValue(prompt, out var references)
        ? Rouge.BestF(_measure, continuation, references)
        : throw new ArgumentException("the prompt has no references", nameof(prompt));
}
