using System.CommandLine;

namespace TinyDpo.Cli;

/// <summary>An option whose values have names; anything else is bad usage, and the complaint lists them.</summary>
internal sealed class Choice<T>
{
    private readonly (string Name, T Value)[] _values;

    /// <param name="name">With its dashes.</param>
    /// <param name="description">For --help.</param>
    /// <param name="otherwise">The name of the default.</param>
    /// <param name="values">Names as they are typed.</param>
    public Choice(string name, string description, string otherwise, params (string Name, T Value)[] values)
    {
        _values = values;
        Option = new Option<string>(name)
        {
            Description = description,
            HelpName = string.Join('|', values.Select(static v => v.Name)),
            DefaultValueFactory = _ => otherwise,
            CustomParser = result => CommonOptions.Parse(
                result, text => (values.Any(v => v.Name == text), text), "one of " + string.Join(", ", values.Select(static v => v.Name))) ?? otherwise,
        };
    }

    public Option<string> Option { get; }

    public T Read(ParseResult parsed) => Array.Find(_values, v => v.Name == parsed.GetValue(Option)).Value;

    public string NameOf(T value) => Array.Find(_values, v => Equals(v.Value, value)).Name;

    public bool IsGiven(ParseResult parsed) => parsed.GetResult(Option) is { Implicit: false };
}
