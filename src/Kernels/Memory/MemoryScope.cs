namespace TinyDpo.Kernels;

/// <summary>
/// A lifetime for buffers: all that is rented while it is the innermost scope goes back to the pool when it ends. Scopes nest and end in
/// the order of a stack. The tensor library derives its StepScope from it.
/// </summary>
public class MemoryScope : IDisposable
{
    private readonly DeviceMemoryManager _memory;
    private readonly List<DeviceMemory> _owned = [];
    private bool _ended;

    public MemoryScope(IBackend backend)
    {
        _memory = backend.Memory;
        Parent = _memory.Current;
        _memory.Current = this;
    }

    /// <summary>The scope around this one, or null for the outermost.</summary>
    public MemoryScope? Parent { get; }

    internal void Own(DeviceMemory memory) => _owned.Add(memory);

    /// <summary>Lets a buffer of this scope live as long as the parent.</summary>
    /// <exception cref="InvalidOperationException">This scope does not own it, or has no parent.</exception>
    public void MoveToParent(DeviceMemory memory)
    {
        if (Parent is null || !_owned.Remove(memory))
        {
            throw new InvalidOperationException("only a buffer of a nested scope can be moved to the scope around it");
        }
        Parent.Own(memory);
    }

    /// <summary>Gives everything back.</summary>
    /// <exception cref="InvalidOperationException">A scope opened inside this one is still open.</exception>
    public void Dispose()
    {
        if (_ended)
        {
            return;
        }
        if (_memory.Current != this)
        {
            throw new InvalidOperationException("scopes end in the order of a stack: one opened inside this one is still open");
        }
        _ended = true;
        foreach (var memory in _owned)
        {
            _memory.Return(memory);
        }
        _owned.Clear();
        _memory.Current = Parent;
        GC.SuppressFinalize(this);
    }
}
