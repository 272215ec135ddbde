using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

/// <summary>
/// A GPU in software behind the calls of the CUDA driver and cuBLAS. What CUDA reports comes back as CUDA's code. What a card would
/// punish later, or silently get wrong, throws <see cref="SimulationException"/> at the call that does it or waits for it; after that all
/// work is dropped, calls return CUDA_ERROR_LAUNCH_FAILED, and only giving things back succeeds.
/// <para>
/// Work in a stream is deferred until a call waits: cuStreamSynchronize, cuEventSynchronize, cuMemFree, cublasDestroy, the release of the
/// context. Calls come from one thread at a time; each thread needs its own cuCtxSetCurrent.
/// </para>
/// </summary>
public sealed unsafe partial class SimulatedCudaDriver : ICudaDriver, ILaunchObserver
{
    private readonly SimulatorOptions _options;
    private readonly SimulatedMemory _memory = new();
    private readonly HandleTable _handles = new();
    private readonly ThreadLocal<nint> _current = new();
    private readonly WorkerTeam _team;
    private bool _initialised;
    private bool _failed;
    private bool _disposed;
    private nint _context;
    private int _contextUsers;
    private int _calls;

    public SimulatedCudaDriver(SimulatorOptions? options = null)
    {
        _options = options ?? new SimulatorOptions();
        _team = new WorkerTeam(_options.Threads ?? Environment.ProcessorCount);
        _streams.Add(_defaultStream);
    }

    public string Name => "sim";

    public string? WhyRefused { get; private set; }

    /// <summary>Gives everything back, and reports what nobody released.</summary>
    /// <exception cref="SimulationException">Something was not released; not after an error that was thrown before.</exception>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }
        _disposed = true;
        var leaks = Leaks();
        foreach (var module in _handles.All<SimulatedModule>())
        {
            module.Executor.Dispose();
        }
        FreePinned();
        _memory.Dispose();
        _team.Dispose();
        _current.Dispose();
        if (leaks.Count > 0 && !_failed)
        {
            throw new SimulationException($"not released at the end: {string.Join("; ", leaks)}");
        }
    }

    private List<string> Leaks()
    {
        List<string> leaks = [];
        if (_memory.Live is { Count: > 0 } live)
        {
            leaks.Add($"{live.Count} device allocations of {live.Sum(static a => a.Bytes)} bytes (cuMemFree), the first of {live[0].Bytes}");
        }
        if (_pinned.Count > 0)
        {
            leaks.Add($"{_pinned.Count} page-locked blocks of {_pinned.Values.Sum(static b => b.Bytes)} bytes (cuMemFreeHost)");
        }
        Add(_handles.All<SimulatedStream>().Count(), "streams (cuStreamDestroy)");
        Add(_handles.All<SimulatedEvent>().Count(), "events (cuEventDestroy)");
        Add(_handles.All<SimulatedModule>().Count(), "modules (cuModuleUnload)");
        Add(_handles.All<SimulatedBlas>().Count(), "cuBLAS handles (cublasDestroy)");
        Add(_contextUsers, "uses of the context (cuDevicePrimaryCtxRelease)");
        return leaks;

        void Add(int count, string what)
        {
            if (count > 0)
            {
                leaks.Add($"{count} {what}");
            }
        }
    }

    /// <summary>Why a call cannot be answered at all, or 0. Every call that needs a context begins with it.</summary>
    private int Refusal()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _calls++;
        WhyRefused = null;
        if (!_initialised)
        {
            return CudaResult.NotInitialized;
        }
        if (_failed)
        {
            return CudaResult.LaunchFailed;
        }
        if (_current.Value == 0)
        {
            return Because(CudaResult.InvalidContext, "no context is current on this thread: cuCtxSetCurrent holds for one thread");
        }
        return _current.Value == _context ? CudaResult.Success : CudaResult.ContextIsDestroyed;
    }

    /// <summary>The same for a call that gives something back: that works after an error too.</summary>
    private int RefusalToRelease() => Refusal() is var code && code == CudaResult.LaunchFailed ? CudaResult.Success : code;

    /// <summary>The object behind a handle, or null where it never was one: the call then returns CUDA's code for that.</summary>
    /// <exception cref="SimulationException">The object was destroyed: undefined behaviour in CUDA.</exception>
    private T? Find<T>(nint handle, string call)
        where T : class =>
        _handles.Destroyed(handle) is { } what ? throw Fault($"{Numbered(call)} uses a {what} that was destroyed before") : _handles.Get<T>(handle);

    private int Because(int code, string why)
    {
        WhyRefused = why;
        return code;
    }

    private void Fail()
    {
        _failed = true;
        foreach (var stream in _streams)
        {
            stream.Clear();
        }
    }

    private SimulationException Fault(string message)
    {
        Fail();
        return new SimulationException(message);
    }

    private string Numbered(string call) => $"{call} (call {_calls})";
}
