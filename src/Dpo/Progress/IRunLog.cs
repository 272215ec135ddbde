namespace TinyDpo.Dpo;

/// <summary>Where long work says how far it is. The command line draws it; tests and quiet runs pass <see cref="Silent"/>.</summary>
public interface IRunLog
{
    /// <summary>A log that says nothing.</summary>
    static IRunLog Silent { get; } = new SilentLog();

    /// <summary>Begins a stage of <paramref name="total"/> units; the one before it has ended.</summary>
    void Stage(string name, int total)
    {
    }

    /// <summary>So many units of the stage are done.</summary>
    /// <param name="done">From the stage's start.</param>
    /// <param name="detail">What to show beside the bar: loss, margin, tokens/s.</param>
    void Advance(int done, string? detail = null)
    {
    }

    /// <summary>A line worth keeping.</summary>
    void Note(string line)
    {
    }

    /// <summary>A line that whoever reads the output must not miss: something was lost.</summary>
    void Warn(string line) => Note(line);

    private sealed class SilentLog : IRunLog;
}
