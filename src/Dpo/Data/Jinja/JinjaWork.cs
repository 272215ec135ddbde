using System.Text;

namespace TinyDpo.Dpo;

/// <summary>
/// What a rendering has written and made so far. Of a conversation of many turns a template makes less than is allowed; a hostile one could go
/// on for ever, or fill the memory with values that are each of a modest size.
/// </summary>
internal sealed class JinjaWork
{
    private const int MostTurns = 1 << 20, MostText = 1 << 26, MostLength = 1 << 24, MostMade = 1 << 26;

    // A place in a list, with a short string or a number in it, takes the memory of some 16 characters.
    private const int Item = 16;

    // Characters that are only looked at go by many times faster than they are made.
    private const int Read = 8;

    // A search may look at all of what is sought at each place, though at many characters in one instruction.
    private const int Searched = 128;

    private readonly StringBuilder _output = new();
    private long _made;
    private int _turns;

    public string Output => _output.ToString();

    /// <exception cref="JinjaException">The template has made more turns than any conversation needs.</exception>
    public void Turn(int line)
    {
        if (++_turns > MostTurns)
        {
            throw JinjaException.At(line, $"more than {MostTurns} turns of loops are made");
        }
    }

    /// <exception cref="JinjaException">There is more text than any conversation has.</exception>
    public void Write(string text, int line)
    {
        if (_output.Length + (long)text.Length > MostText)
        {
            throw JinjaException.At(line, $"more than {MostText} characters are written");
        }
        _output.Append(text);
    }

    /// <summary>Before a string is made.</summary>
    /// <exception cref="JinjaException">A value is so long, or all are, that only a hostile template asks for it.</exception>
    public void Make(long characters, int line)
    {
        if (characters > MostLength)
        {
            throw JinjaException.At(line, $"a value is longer than {MostLength} characters");
        }
        Add(characters, line);
    }

    /// <summary>Before a list is made, or gone through.</summary>
    /// <exception cref="JinjaException">As <see cref="Make"/>.</exception>
    public void MakeList(long items, int line)
    {
        if (items > MostLength / Item)
        {
            throw JinjaException.At(line, $"a value is longer than {MostLength / Item} items");
        }
        Add(items * Item, line);
    }

    /// <summary>Before a string is looked through.</summary>
    /// <exception cref="JinjaException">As <see cref="Make"/>.</exception>
    public void Look(long characters, int line) => Add(characters / Read, line);

    /// <summary>Before one string is sought in another.</summary>
    /// <exception cref="JinjaException">As <see cref="Make"/>.</exception>
    public void Search(string text, string part, int line) =>
        Add((text.Length / Read) + (Math.Max(0L, text.Length - part.Length) * part.Length / Searched), line);

    /// <summary>Before an expression of so many words and signs is worked out.</summary>
    /// <exception cref="JinjaException">As <see cref="Make"/>.</exception>
    public void Step(int tokens, int line) => Add(tokens, line);

    private void Add(long characters, int line)
    {
        _made += characters;
        if (_made > MostMade)
        {
            throw JinjaException.At(line, $"the template makes more than {MostMade} characters in all");
        }
    }
}

/// <summary>Where a value is worked out: the rendering, and the line of the template for what is wrong there.</summary>
internal readonly record struct JinjaPlace(JinjaWork Work, int Line)
{
    public JinjaException Fault(string problem) => JinjaException.At(Line, problem);

    /// <inheritdoc cref="JinjaWork.Make"/>
    public void Make(long characters) => Work.Make(characters, Line);

    /// <inheritdoc cref="JinjaWork.MakeList"/>
    public void MakeList(long items) => Work.MakeList(items, Line);

    /// <inheritdoc cref="JinjaWork.Look"/>
    public void Look(long characters) => Work.Look(characters, Line);

    /// <inheritdoc cref="JinjaWork.Search"/>
    public void Search(string text, string part) => Work.Search(text, part, Line);
}
