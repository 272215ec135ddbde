using System.Runtime.InteropServices;

namespace TinyDpo.Cli;

/// <summary>
/// While it lives, SIGINT (Ctrl-C) and SIGTERM do not end the program but ask it to save and stop. Those that follow at once change nothing: they come from
/// somebody in a hurry, from <c>timeout</c>, or from <c>dotnet run</c>, which hands on what the terminal has sent to both. One that comes
/// <see cref="Patience"/> later ends the program, which may be in work that cannot stop; what is on the disk is whole at any moment.
/// </summary>
internal sealed class Interruption : IDisposable
{
    /// <summary>For how long after the first signal the program is left to stop by itself.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    // Never disposed: a signal may be on its way to it.
    private readonly CancellationTokenSource _source = new();
    private readonly Lock _lock = new();
    private readonly TimeProvider _clock;
    private readonly PosixSignalRegistration[] _signals;
    private long? _first;

    /// <summary>Handles the signals from now on.</summary>
    /// <param name="clock">What <see cref="Patience"/> is measured with, where not the system's.</param>
    public Interruption(TimeProvider? clock = null)
    {
        _clock = clock ?? TimeProvider.System;
        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle)];
    }

    /// <summary>Cancelled at the first signal.</summary>
    public CancellationToken Token => _source.Token;

    public void Dispose() => Array.ForEach(_signals, static signal => signal.Dispose());

    /// <summary>What a signal does.</summary>
    /// <param name="signal">Its <see cref="PosixSignalContext.Cancel"/> becomes true where the program goes on.</param>
    public void Handle(PosixSignalContext signal)
    {
        var terminal = !Console.IsErrorRedirected;
        lock (_lock)
        {
            if (_first is null && terminal)
            {
                Console.Error.WriteLine($"tinydpo: stopping as soon as the work is saved; another Ctrl-C after {Patience.TotalSeconds} seconds stops at once");
            }
            _first ??= _clock.GetTimestamp();
            signal.Cancel = _clock.GetElapsedTime(_first.Value) < Patience;
        }
        if (!signal.Cancel && terminal)
        {
            Console.Error.Write("\e[?25h"); // the cursor, which a progress bar has hidden
        }
        _source.Cancel();
    }
}
