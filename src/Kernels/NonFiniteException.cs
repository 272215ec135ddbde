namespace TinyDpo.Kernels;

/// <summary>A NaN or an infinity where a finite number must stand; <see cref="What"/> names it.</summary>
public sealed class NonFiniteException(string what) : Exception($"{what} is not finite")
{
    public string What { get; } = what;
}
