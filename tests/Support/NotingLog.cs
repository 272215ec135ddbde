using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>A log that keeps its notes.</summary>
internal sealed class NotingLog : IRunLog
{
    public List<string> Notes { get; } = [];

    public void Note(string line) => Notes.Add(line);
}
