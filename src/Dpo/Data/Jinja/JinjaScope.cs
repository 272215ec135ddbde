namespace TinyDpo.Dpo;

/// <summary>The variables of a template while it runs; what a loop's body sets is gone after the turn.</summary>
internal sealed class JinjaScope(JinjaScope? outer, JinjaWork work)
{
    private readonly Dictionary<string, object?> _variables = [];

    public JinjaWork Work => work;

    public object? this[string name]
    {
        get => _variables.TryGetValue(name, out var value) ? value : outer is null ? new JinjaUndefined(name) : outer[name];
        set => _variables[name] = value;
    }

    public JinjaPlace At(int line) => new(work, line);

    /// <summary>The scope of a turn of a loop.</summary>
    /// <exception cref="JinjaException">The template has made more turns than any conversation needs.</exception>
    public JinjaScope Inner(int line)
    {
        work.Turn(line);
        return new(this, work);
    }
}

/// <summary>A name that stands for nothing: false, printed as nothing, an error in all else.</summary>
internal sealed record JinjaUndefined(string Name);
