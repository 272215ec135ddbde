namespace TinyDpo.Dpo;

/// <summary>What a filter, a test, a method or a function can be called with.</summary>
/// <param name="Name">Empty where it has none that a template can use, as those of Python's own methods.</param>
/// <param name="Default">Its value where none is given, or <see cref="Required"/>.</param>
internal readonly record struct JinjaParameter(string Name, object? Default)
{
    /// <summary>The default of what must be given.</summary>
    public static object Required { get; } = new();
}

/// <summary>What one is called with.</summary>
internal readonly record struct JinjaArguments(List<object?> Items, Dictionary<string, object?> Named)
{
    /// <summary>The parameters' values, by place, by name or their defaults: none is passed over.</summary>
    /// <exception cref="JinjaException">There is one too many or too few, or one of a name that is none of the parameters'.</exception>
    public object?[] Bind(string function, JinjaParameter[] parameters, JinjaPlace at)
    {
        if (Items.Count > parameters.Length)
        {
            throw at.Fault($"{function} takes {(parameters.Length == 0 ? "no arguments" : $"{parameters.Length} at most")}: {Items.Count} given");
        }
        var values = Array.ConvertAll(parameters, static p => p.Default);
        Items.CopyTo(values);
        foreach (var (name, value) in Named)
        {
            var place = Array.FindIndex(parameters, p => p.Name == name && name.Length > 0);
            if (place < 0)
            {
                throw at.Fault($"{function} has no argument of the name '{name}'");
            }
            values[place] = place >= Items.Count ? value : throw at.Fault($"{function} is given its argument '{name}' twice");
        }
        return Array.FindIndex(values, static v => v == JinjaParameter.Required) is >= 0 and var missing
            ? throw at.Fault($"{function} lacks its argument {(parameters[missing].Name.Length > 0 ? $"'{parameters[missing].Name}'" : $"{missing + 1}")}")
            : values;
    }
}
