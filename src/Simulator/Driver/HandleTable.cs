namespace TinyDpo.Simulator;

/// <summary>
/// Handles of driver objects. Numbers are never used twice, so that a handle which was destroyed is told from one that never was: CUDA
/// reports the second, while the first is undefined behaviour.
/// </summary>
internal sealed class HandleTable
{
    private const nint First = 0x1000;

    private readonly Dictionary<nint, object> _objects = [];
    private readonly Dictionary<nint, string> _destroyed = [];
    private nint _next = First;

    public nint Add(object value)
    {
        _objects.Add(_next, value);
        return _next++;
    }

    /// <summary>The object, or null where the handle is none of this kind.</summary>
    public T? Get<T>(nint handle)
        where T : class => _objects.GetValueOrDefault(handle) as T;

    /// <summary>What the handle once was, or null where nothing with it was destroyed.</summary>
    public string? Destroyed(nint handle) => _destroyed.GetValueOrDefault(handle);

    public void Destroy(nint handle, string what)
    {
        _objects.Remove(handle);
        _destroyed.Add(handle, what);
    }

    public IEnumerable<T> All<T>() => _objects.Values.OfType<T>();
}
