using System.Runtime.InteropServices;

namespace TinyDpo.Cli;

/// <summary>
/// While it lives, SIGINT (Ctrl-C) and SIGTERM do not end the program but ask it to save and stop, however often they come: from somebody in a hurry, from
/// <c>timeout</c>, or from <c>dotnet run</c>, which hands on what the terminal has sent to both.
/// </summary>
internal sealed class Interruption : IDisposable
{
    // Never disposed: a signal may be on its way to it.
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _signals;

    public Interruption() =>
        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Ask), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ask)];

    /// <summary>Cancelled at the first signal.</summary>
    public CancellationToken Token => _source.Token;

    public void Dispose() => Array.ForEach(_signals, static signal => signal.Dispose());

    private void Ask(PosixSignalContext signal)
    {
        signal.Cancel = true;
        _source.Cancel();
    }
}
