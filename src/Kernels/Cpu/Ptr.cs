namespace TinyDpo.Kernels;

/// <summary>A pointer that may stand in a tuple (pointer types may not be type arguments): <c>(x: (Ptr)px, n)</c>.</summary>
public readonly unsafe struct Ptr(Real* p)
{
    private readonly Real* p = p;

    public static implicit operator Ptr(Real* p) => new(p);

    public static implicit operator Real*(Ptr ptr) => ptr.p;

    public static Ptr operator +(Ptr ptr, long offset) => new(ptr.p + offset);
}
