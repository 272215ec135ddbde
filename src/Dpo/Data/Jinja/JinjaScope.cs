using System.Text;

namespace TinyDpo.Dpo;

/// <summary>The variables of a template while it runs; what a loop's body sets is gone after the turn.</summary>
internal sealed class JinjaScope(JinjaScope? outer, StringBuilder output)
{
    // Of a conversation of many turns a template makes less; a hostile one could go on for ever.
    private const int MostTurns = 1 << 20, MostText = 1 << 26;

    private readonly Dictionary<string, object?> _variables = [];
    private readonly JinjaScope? _root = outer?._root ?? outer;
    private int _turns;

    public StringBuilder Output => output;

    public object? this[string name]
    {
        get => _variables.TryGetValue(name, out var value) ? value : outer is null ? new JinjaUndefined(name) : outer[name];
        set => _variables[name] = value;
    }

    /// <summary>The scope of a turn of a loop.</summary>
    /// <exception cref="JinjaException">The template has made more turns than any conversation needs.</exception>
    public JinjaScope Inner(int line) =>
        ++(_root ?? this)._turns <= MostTurns ? new(this, output) : throw JinjaException.At(line, $"more than {MostTurns} turns of loops are made");

    /// <exception cref="JinjaException">There is more text than any conversation has.</exception>
    public void Write(string text, int line)
    {
        if (output.Length + (long)text.Length > MostText)
        {
            throw JinjaException.At(line, $"more than {MostText} characters are written");
        }
        output.Append(text);
    }
}

/// <summary>A name that stands for nothing: false, printed as nothing, an error in all else.</summary>
internal sealed record JinjaUndefined(string Name);
