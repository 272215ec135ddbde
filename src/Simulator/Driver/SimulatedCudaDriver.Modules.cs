using System.Runtime.InteropServices;
using System.Text;

namespace TinyDpo.Simulator;

// Modules and kernels by name.
public sealed unsafe partial class SimulatedCudaDriver
{
    private const int JitErrorLogBuffer = 5;
    private const int JitErrorLogBufferBytes = 6;
    private const int FunctionMaxDynamicSharedBytes = 8;
    private const int FunctionPreferredSharedCarveout = 9;

    public int cuModuleLoadDataEx(out nint module, byte* image, uint optionCount, int* options, void** optionValues)
    {
        module = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (image == null || (optionCount > 0 && (options == null || optionValues == null)))
        {
            return CudaResult.InvalidValue;
        }
        // The length of PTX is where its NUL stands; a text without one runs on into whatever follows it in memory.
        var text = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(image);
        if (text.IndexOfAnyExceptInRange((byte)'\t', (byte)'~') is var odd and >= 0)
        {
            return Refuse(CudaResult.InvalidPtx, $"byte {odd} is no text: does the image end in a NUL?");
        }
        var ptx = Encoding.UTF8.GetString(text);
        if (SimulatedModule.RefusalOfHead(ptx, out var why) is var head and not 0)
        {
            return Refuse(head, why);
        }
        try
        {
            module = _handles.Add(new SimulatedModule(new KernelExecutor(ptx, _memory, _options)));
            return CudaResult.Success;
        }
        catch (SimulationException e)
        {
            return Refuse(CudaResult.InvalidPtx, e.Message);
        }

        int Refuse(int result, string why)
        {
            WriteLog(why, optionCount, options, optionValues);
            return result;
        }
    }

    public int cuModuleUnload(nint module)
    {
        if (RefusalToRelease() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedModule>(module, nameof(cuModuleUnload)) is not { } loaded)
        {
            return CudaResult.InvalidHandle;
        }
        if (_streams.SelectMany(static s => s.Pending).FirstOrDefault(work => work.Module == loaded) is { } work)
        {
            throw Fault($"{Numbered(nameof(cuModuleUnload))}: {work.Call} has not been waited for");
        }
        foreach (var (name, function) in loaded.Functions)
        {
            _handles.Destroy(function, $"kernel {name} of an unloaded module");
        }
        _handles.Destroy(module, "module");
        loaded.Executor.Dispose();
        return CudaResult.Success;
    }

    public int cuModuleGetFunction(out nint function, nint module, byte* name)
    {
        function = 0;
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedModule>(module, nameof(cuModuleGetFunction)) is not { } loaded)
        {
            return CudaResult.InvalidHandle;
        }
        if (name == null)
        {
            return CudaResult.InvalidValue;
        }
        var text = Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name));
        try
        {
            if (loaded.Executor.Parameters(text) is null)
            {
                return CudaResult.NotFound;
            }
        }
        catch (SimulationException e)
        {
            return Because(CudaResult.InvalidPtx, e.Message);
        }
        if (!loaded.Functions.TryGetValue(text, out function))
        {
            loaded.Functions.Add(text, function = _handles.Add(new SimulatedFunction(loaded, text)));
        }
        return CudaResult.Success;
    }

    public int cuFuncSetAttribute(nint function, int attribute, int value)
    {
        if (Refusal() is var code and not 0)
        {
            return code;
        }
        if (Find<SimulatedFunction>(function, nameof(cuFuncSetAttribute)) is not { } kernel)
        {
            return CudaResult.InvalidHandle;
        }
        if (attribute == FunctionPreferredSharedCarveout)
        {
            return value is >= -1 and <= 100 ? CudaResult.Success : CudaResult.InvalidValue;
        }
        var most = SimulatedDevice.SharedBytesOptIn - kernel.Module.Executor.StaticSharedBytes(kernel.Name);
        if (attribute != FunctionMaxDynamicSharedBytes)
        {
            return CudaResult.InvalidValue;
        }
        if (value < 0 || value > most)
        {
            return Because(CudaResult.InvalidValue, $"{value} bytes of dynamic shared memory, where the card leaves at most {most}");
        }
        kernel.MaxDynamicSharedBytes = value;
        return CudaResult.Success;
    }

    // The buffer gets the text and a NUL; the value of its size becomes the number of bytes written.
    private static void WriteLog(string message, uint count, int* options, void** values)
    {
        byte* buffer = null;
        var (bytes, sizeAt) = (0, -1);
        for (var i = 0; i < count; i++)
        {
            if (options[i] == JitErrorLogBuffer)
            {
                buffer = (byte*)values[i];
            }
            else if (options[i] == JitErrorLogBufferBytes)
            {
                (bytes, sizeAt) = ((int)(nuint)values[i], i);
            }
        }
        if (buffer == null || bytes < 1)
        {
            return;
        }
        var text = Encoding.UTF8.GetBytes(message);
        var written = Math.Min(text.Length, bytes - 1);
        text.AsSpan(0, written).CopyTo(new Span<byte>(buffer, written));
        buffer[written] = 0;
        values[sizeAt] = (void*)(nuint)(written + 1);
    }
}
