using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>How a <see cref="CudaBackend"/> computes.</summary>
/// <param name="Ordinal">Which card.</param>
/// <param name="Tf32">Whether matrix products may round their inputs to TF32 (10 bits of mantissa) for speed.</param>
public sealed record CudaOptions(int Ordinal = 0, bool Tf32 = false);

/// <summary>
/// The engine on a CUDA device: hand-written kernels from kernels.ptx, matrix products in cuBLAS. All work goes to one stream; the host
/// waits only where it reads a result. Methods are called from one thread at a time.
/// </summary>
public sealed unsafe partial class CudaBackend : IBackend
{
    private readonly ICudaDriver _driver;
    private readonly ILaunchObserver? _observer;
    private readonly BufferPool _pool;
    private readonly CudaModule _module;
    private readonly PinnedStaging _staging;
    private readonly nint _context;
    private readonly nint _stream;
    private readonly int _device;
    private Thread? _thread;
    private bool _disposed;

    /// <param name="driver">NVIDIA's libraries or the simulator; disposed with the backend, or at once where that cannot start.</param>
    /// <param name="options">The card and its arithmetic.</param>
    /// <param name="ptx">The kernels; null for the ones built in.</param>
    /// <exception cref="CudaException">No such device, or the driver refuses the kernels.</exception>
    public CudaBackend(ICudaDriver driver, CudaOptions? options = null, string? ptx = null)
    {
        options ??= new CudaOptions();
        _driver = driver;
        _observer = driver as ILaunchObserver;
        try
        {
            Check(driver.cuInit(0), nameof(driver.cuInit));
            Check(driver.cuDeviceGet(out _device, options.Ordinal), nameof(driver.cuDeviceGet));
            // A call that fails may leave anything in its result: only what succeeded is kept, and given back.
            Check(driver.cuDevicePrimaryCtxRetain(out var context, _device), nameof(driver.cuDevicePrimaryCtxRetain));
            _context = context;
            BindThread();
            Check(driver.cuStreamCreate(out var stream, StreamNonBlocking), nameof(driver.cuStreamCreate));
            _stream = stream;
            _module = new CudaModule(driver, ptx ?? CudaModule.EmbeddedPtx());
            _staging = new PinnedStaging(driver, Synchronise);
            _pool = new BufferPool(Allocate, address => _ = driver.cuMemFree(address));
            Memory = new DeviceMemoryManager(_pool, _observer);
            CreateBlas(options);
        }
        catch
        {
            Release();
            throw;
        }
    }

    public string Name => _driver.Name;

    /// <summary>False: cuBLAS may choose another order of sums for another number of rows. Our own kernels do not.</summary>
    public bool BatchInvariant => false;

    /// <summary>False: no kernel takes a window.</summary>
    public bool HasSlidingWindow => false;

    public int CacheBlock => 1;

    public DeviceMemoryManager Memory { get; }

    public void Synchronise()
    {
        BindThread();
        Check(_driver.cuStreamSynchronize(_stream), nameof(_driver.cuStreamSynchronize));
        _staging.Reset();
    }

    public void Upload(ReadOnlySpan<Real> source, DeviceBuffer destination)
    {
        RequireEqualLength(destination, source.Length);
        UploadBytes(MemoryMarshal.AsBytes(source), destination.Address);
    }

    public void Upload(ReadOnlySpan<int> source, IndexBuffer destination)
    {
        RequireEqualLength(destination, source.Length);
        destination.HostCopy = source.ToArray();
        UploadBytes(MemoryMarshal.AsBytes(source), destination.Address);
    }

    public void Download(DeviceBuffer source, Span<Real> destination) =>
        DownloadBytes(source.Address, MemoryMarshal.AsBytes(destination[..source.Length]));

    public void Download(IndexBuffer source, Span<int> destination) =>
        DownloadBytes(source.Address, MemoryMarshal.AsBytes(destination[..source.Length]));

    public void Copy(DeviceBuffer source, DeviceBuffer destination)
    {
        RequireLength(destination, source.Length);
        if (source.Length > 0)
        {
            BindThread();
            Check(
                _driver.cuMemcpyDtoDAsync(destination.Address, source.Address, (nuint)source.Length * sizeof(Real), _stream),
                nameof(_driver.cuMemcpyDtoDAsync));
        }
    }

    public void Fill(DeviceBuffer destination, Real value)
    {
        if (destination.Length > 0)
        {
            BindThread();
            Check(
                _driver.cuMemsetD32Async(destination.Address, BitConverter.SingleToUInt32Bits(value), (nuint)destination.Length, _stream),
                nameof(_driver.cuMemsetD32Async));
        }
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }
        _disposed = true;
        // After an error of the card every call returns it again: giving back goes on, and hides nothing that was thrown.
        _ = _driver.cuCtxSetCurrent(_context);
        _ = _driver.cuStreamSynchronize(_stream);
        Release();
    }

    /// <exception cref="CudaException">The result is not success.</exception>
    internal static void Check(ICudaDriver driver, int result, string call, string? kernel = null)
    {
        if (result != 0)
        {
            throw CudaErrors.Exception(driver, result, call, kernel);
        }
    }

    private const uint StreamNonBlocking = 1;
    private const int OutOfMemory = 2;

    private void Check(int result, string call, string? kernel = null) => Check(_driver, result, call, kernel);

    // Of a constructor that threw midway, what there is.
    private void Release()
    {
        DisposeBlas();
        Memory?.Dispose();
        _staging?.Dispose();
        _module?.Dispose();
        if (_stream != 0)
        {
            _ = _driver.cuStreamDestroy(_stream);
        }
        if (_context != 0)
        {
            _ = _driver.cuDevicePrimaryCtxRelease(_device);
        }
        _driver.Dispose();
    }

    // A context is current for one thread of the operating system; the work of a command may move between threads at an await. The id of
    // a thread would not do: a later thread gets it again.
    private void BindThread()
    {
        var thread = Thread.CurrentThread;
        if (_thread != thread)
        {
            Check(_driver.cuCtxSetCurrent(_context), nameof(_driver.cuCtxSetCurrent));
            _thread = thread;
        }
    }

    private nint Allocate(nuint bytes)
    {
        BindThread();
        var result = _driver.cuMemAlloc(out var address, bytes);
        if (result == OutOfMemory && _pool.HasFree)
        {
            // What the pool keeps in other sizes makes room, once the card is done with it.
            Synchronise();
            _pool.Trim();
            result = _driver.cuMemAlloc(out address, bytes);
        }
        Check(result, nameof(_driver.cuMemAlloc));
        return address;
    }

    private void UploadBytes(ReadOnlySpan<byte> source, nint destination)
    {
        BindThread();
        while (source.Length > 0)
        {
            var count = Math.Min(source.Length, PinnedStaging.Capacity);
            var staged = _staging.Take(count);
            source[..count].CopyTo(new Span<byte>(staged, count));
            Check(_driver.cuMemcpyHtoDAsync(destination, staged, (nuint)count, _stream), nameof(_driver.cuMemcpyHtoDAsync));
            source = source[count..];
            destination += count;
        }
    }

    private void DownloadBytes(nint source, Span<byte> destination)
    {
        BindThread();
        while (destination.Length > 0)
        {
            var count = Math.Min(destination.Length, PinnedStaging.Capacity);
            var staged = _staging.Take(count);
            Check(_driver.cuMemcpyDtoHAsync(staged, source, (nuint)count, _stream), nameof(_driver.cuMemcpyDtoHAsync));
            Synchronise();
            new ReadOnlySpan<byte>(staged, count).CopyTo(destination);
            destination = destination[count..];
            source += count;
        }
    }

    /// <summary>The values of an index on the host: what was uploaded, or what a kernel wrote.</summary>
    private int[] HostValues(IndexBuffer index)
    {
        if (index.HostCopy is null)
        {
            var values = new int[index.Length];
            Download(index, values);
            index.HostCopy = values;
        }
        return index.HostCopy;
    }

    private void RequireIndices(IndexBuffer index, int from, int count, int limit)
    {
        RequireLength(index, (long)from + count);
        IndexBuffer.RequireRange(HostValues(index).AsSpan(from, count), limit);
    }

    private static void RequireEqualLength(DeviceMemory buffer, int length) => DeviceMemory.RequireEqualLength(buffer, length);

    private static void RequireLength(DeviceMemory buffer, long length) => DeviceMemory.RequireLength(buffer, length);

    /// <summary>
    /// Scratch numbers for one method: given back when it ends, which is safe before the kernels have run, because whoever gets the
    /// memory next uses it in the same stream.
    /// </summary>
    private Scratch Temporary(int length) => new(this, length);

    private readonly ref struct Scratch(CudaBackend backend, int length)
    {
        public DeviceBuffer Buffer { get; } = backend.Memory.Allocate(length);

        public void Dispose() => backend.Memory.Return(Buffer);
    }

    // What a kernel does with a buffer: its first `length` elements are read, written, or both, each once at the least.
    private static KernelArgument In(DeviceMemory buffer, long length) => In(buffer, length, length);

    /// <param name="buffer">The whole of what may be read.</param>
    /// <param name="length">Elements that may be touched.</param>
    /// <param name="needed">Elements that must be read at the least, where that is not all of them.</param>
    private static KernelArgument In(DeviceMemory buffer, long length, long needed) =>
        KernelArgument.Pointer(buffer.Address, length * sizeof(float), Access.Read, needed * sizeof(float), 0);

    private static KernelArgument Out(DeviceMemory buffer, long length) => Out(buffer, length, length);

    private static KernelArgument Out(DeviceMemory buffer, long length, long needed) =>
        KernelArgument.Pointer(buffer.Address, length * sizeof(float), Access.Write, 0, needed * sizeof(float));

    private static KernelArgument InOut(DeviceMemory buffer, long length) =>
        KernelArgument.Pointer(buffer.Address, length * sizeof(float), Access.ReadWrite, length * sizeof(float), length * sizeof(float));

    /// <summary>A result that is written, or added to what stands there.</summary>
    private static KernelArgument Result(DeviceMemory buffer, long length, bool accumulate) => accumulate ? InOut(buffer, length) : Out(buffer, length);

    /// <summary>Puts a kernel into the stream. Arguments are checked against the PTX: their number, and the size of each.</summary>
    private void Launch(string name, Grid grid, params ReadOnlySpan<KernelArgument> arguments)
    {
        BindThread();
        var kernel = _module.Kernel(name, grid.SharedBytes);
        kernel.Require(arguments);
        var values = stackalloc ulong[arguments.Length];
        var pointers = stackalloc void*[arguments.Length];
        for (var i = 0; i < arguments.Length; i++)
        {
            values[i] = arguments[i].Bits;
            pointers[i] = &values[i];
        }
        if (_observer is not null)
        {
            Announce(arguments);
        }
        Check(
            _driver.cuLaunchKernel(kernel.Function, grid.X, grid.Y, grid.Z, grid.Threads, 1, 1, grid.SharedBytes, _stream, pointers, null),
            nameof(_driver.cuLaunchKernel), name);
    }

    private void Announce(ReadOnlySpan<KernelArgument> arguments)
    {
        var extents = new List<PointerExtent>(arguments.Length);
        foreach (var argument in arguments)
        {
            if (argument.IsPointer)
            {
                extents.Add(argument.Extent);
            }
        }
        _observer!.BeforeLaunch(CollectionsMarshal.AsSpan(extents));
    }

    /// <summary>The shape of a launch: blocks, threads of a block (one dimension), bytes of dynamic shared memory.</summary>
    private readonly record struct Grid(uint X, uint Threads, uint SharedBytes = 0, uint Y = 1, uint Z = 1)
    {
        public static Grid Of(long blocks, int threads, int sharedBytes = 0) => new(checked((uint)blocks), (uint)threads, (uint)sharedBytes);
    }
}
