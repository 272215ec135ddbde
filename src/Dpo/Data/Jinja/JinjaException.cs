using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>What a template holds that is no Jinja or is not followed here, or what it says of a conversation itself (raise_exception).</summary>
internal sealed class JinjaException(string message) : Exception(Quoted.Text(message))
{
    /// <param name="line">Of the template, from 1.</param>
    /// <param name="problem">What is wrong there.</param>
    public static JinjaException At(int line, string problem) => new($"line {line}: {problem}");
}
