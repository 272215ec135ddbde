using System.Runtime.CompilerServices;

namespace TinyDpo.Tensors;

/// <summary>An interpolated string that is put together only where a condition fails: checks are on the path of every op.</summary>
[InterpolatedStringHandler]
public ref struct FailureMessage
{
    // Not the framework's handler, which would be cleared for each check that holds.
    private string _text;

    public FailureMessage(int literalLength, int formattedCount, bool condition, out bool fails)
    {
        fails = !condition;
        _text = "";
    }

    public void AppendLiteral(string text) => _text += text;

    public void AppendFormatted<T>(T value) => _text += value;

    public string Text() => _text;
}
