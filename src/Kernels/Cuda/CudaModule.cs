using System.Text;

namespace TinyDpo.Kernels;

/// <summary>A kernel that is loaded: its handle and what its parameter list is.</summary>
internal sealed record CudaKernel(nint Function, PtxEntry Entry)
{
    /// <exception cref="ArgumentException">The arguments are not those of the PTX: kernels.ptx is not that of this launcher.</exception>
    public void Require(ReadOnlySpan<KernelArgument> arguments)
    {
        var sizes = Entry.ParameterSizes;
        var fits = sizes.Length == arguments.Length;
        for (var i = 0; fits && i < sizes.Length; i++)
        {
            fits = sizes[i] == arguments[i].Size;
        }
        if (!fits)
        {
            var given = new List<int>();
            foreach (var argument in arguments)
            {
                given.Add(argument.Size);
            }
            throw new ArgumentException(
                $"kernel {Entry.Name} takes parameters of {string.Join(", ", sizes)} bytes, but is launched with {string.Join(", ", given)}");
        }
    }
}

/// <summary>kernels.ptx, compiled by the driver, and its kernels by name.</summary>
internal sealed unsafe class CudaModule : IDisposable
{
    private const int JitErrorLogBuffer = 5;
    private const int JitErrorLogBufferBytes = 6;
    private const int FunctionMaxDynamicSharedBytes = 8;
    private const int SharedBytesWithoutAsking = 48 * 1024;

    private readonly ICudaDriver _driver;
    private readonly nint _module;
    private readonly Dictionary<string, PtxEntry> _entries;
    private readonly Dictionary<string, CudaKernel> _kernels = [];
    private readonly Dictionary<string, uint> _sharedBytes = [];

    /// <exception cref="CudaException">The driver cannot compile the PTX; the message has its log.</exception>
    public CudaModule(ICudaDriver driver, string ptx)
    {
        _driver = driver;
        _entries = PtxEntry.ReadAll(ptx);
        var image = Encoding.UTF8.GetBytes(ptx + '\0');
        var log = new byte[8192];
        int result;
        fixed (byte* text = image, error = log)
        {
            var options = stackalloc int[] { JitErrorLogBuffer, JitErrorLogBufferBytes };
            var values = stackalloc void*[] { error, (void*)log.Length };
            result = driver.cuModuleLoadDataEx(out _module, text, 2, options, values);
        }
        if (result != 0)
        {
            var end = Array.IndexOf(log, (byte)0);
            throw CudaErrors.Exception(driver, result, nameof(driver.cuModuleLoadDataEx), null, Encoding.UTF8.GetString(log, 0, Math.Max(0, end)));
        }
    }

    /// <summary>The kernels built into this assembly.</summary>
    public static string EmbeddedPtx()
    {
        using var stream = typeof(CudaModule).Assembly.GetManifestResourceStream("kernels.ptx")!;
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <exception cref="ArgumentException">There is no such kernel.</exception>
    public CudaKernel Kernel(string name, uint sharedBytes)
    {
        if (!_kernels.TryGetValue(name, out var kernel))
        {
            if (!_entries.TryGetValue(name, out var entry))
            {
                throw new ArgumentException($"kernels.ptx has no kernel {name}");
            }
            nint function;
            fixed (byte* utf8 = Encoding.UTF8.GetBytes(name + '\0'))
            {
                CudaBackend.Check(_driver, _driver.cuModuleGetFunction(out function, _module, utf8), nameof(_driver.cuModuleGetFunction), name);
            }
            _kernels.Add(name, kernel = new CudaKernel(function, entry));
        }
        if (sharedBytes > SharedBytesWithoutAsking && (!_sharedBytes.TryGetValue(name, out var asked) || asked < sharedBytes))
        {
            CudaBackend.Check(
                _driver, _driver.cuFuncSetAttribute(kernel.Function, FunctionMaxDynamicSharedBytes, (int)sharedBytes),
                nameof(_driver.cuFuncSetAttribute), name);
            _sharedBytes[name] = sharedBytes;
        }
        return kernel;
    }

    public void Dispose() => _ = _driver.cuModuleUnload(_module);
}
