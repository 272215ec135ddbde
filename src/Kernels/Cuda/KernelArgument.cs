namespace TinyDpo.Kernels;

/// <summary>One argument of a kernel: a number, or a pointer with the memory that the kernel may touch through it.</summary>
internal readonly struct KernelArgument
{
    private KernelArgument(ulong bits, int size, PointerExtent extent = default)
    {
        Bits = bits;
        Size = size;
        Extent = extent;
    }

    /// <summary>The value, in its lowest <see cref="Size"/> bytes.</summary>
    public ulong Bits { get; }

    /// <summary>4 or 8, as in the PTX's parameter list.</summary>
    public int Size { get; }

    public PointerExtent Extent { get; }

    public bool IsPointer => Extent.Access != 0;

    public static implicit operator KernelArgument(int value) => new((uint)value, sizeof(int));

    public static implicit operator KernelArgument(bool value) => new(value ? 1u : 0u, sizeof(int));

    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToUInt32Bits(value), sizeof(float));

    public static implicit operator KernelArgument(double value) => new(BitConverter.DoubleToUInt64Bits(value), sizeof(double));

    public static implicit operator KernelArgument(ulong value) => new(value, sizeof(ulong));

    /// <summary>A null pointer, for an optional buffer.</summary>
    public static KernelArgument Null => new(0, sizeof(ulong));

    public static KernelArgument Pointer(nint address, long bytes, Access access, long neededRead, long neededWritten) =>
        new((ulong)address, sizeof(ulong), new PointerExtent(address, bytes, access, neededRead, neededWritten));
}
