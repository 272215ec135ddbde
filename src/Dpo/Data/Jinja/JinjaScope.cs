using System.Text;

namespace TinyDpo.Dpo;

/// <summary>The variables of a template while it runs; what a loop's body sets is gone after the turn.</summary>
internal sealed class JinjaScope(JinjaScope? outer, StringBuilder output)
{
    private readonly Dictionary<string, object?> _variables = [];

    public StringBuilder Output => output;

    public object? this[string name]
    {
        get => _variables.TryGetValue(name, out var value) ? value : outer is null ? JinjaUndefined.Of(name) : outer[name];
        set => _variables[name] = value;
    }

    public JinjaScope Inner() => new(this, output);
}

/// <summary>A name that stands for nothing: false, printed as nothing, an error in all else.</summary>
internal sealed record JinjaUndefined(string Name)
{
    public static JinjaUndefined Of(string name) => new(name);
}
