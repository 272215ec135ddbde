using System.Runtime.CompilerServices;
using System.Text;

namespace TinyDpo.Simulator;

// Initialisation, errors, the device and its one context.
public sealed unsafe partial class SimulatedCudaDriver
{
    public int cuInit(uint flags)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (flags != 0)
        {
            return CudaResult.InvalidValue;
        }
        _initialised = true;
        return CudaResult.Success;
    }

    public int cuDriverGetVersion(out int version)
    {
        version = SimulatedDevice.DriverVersion;
        return CudaResult.Success;
    }

    public int cuGetErrorName(int error, out byte* name)
    {
        var names = CudaResult.Describe(error);
        name = names is null ? null : Address(names.Value.Name);
        return names is null ? CudaResult.InvalidValue : CudaResult.Success;
    }

    public int cuGetErrorString(int error, out byte* text)
    {
        var names = CudaResult.Describe(error);
        text = names is null ? null : Address(names.Value.Text);
        return names is null ? CudaResult.InvalidValue : CudaResult.Success;
    }

    public int cuDeviceGetCount(out int count)
    {
        count = _initialised ? 1 : 0;
        return _initialised ? CudaResult.Success : CudaResult.NotInitialized;
    }

    public int cuDeviceGet(out int device, int ordinal)
    {
        device = 0;
        return RefusalOfDevice(ordinal);
    }

    public int cuDeviceGetName(byte* name, int length, int device)
    {
        if (RefusalOfDevice(device) is var code and not 0)
        {
            return code;
        }
        if (name == null || length < 1)
        {
            return CudaResult.InvalidValue;
        }
        var text = Encoding.UTF8.GetBytes(SimulatedDevice.Name);
        var count = Math.Min(text.Length, length - 1);
        text.AsSpan(0, count).CopyTo(new Span<byte>(name, count));
        name[count] = 0;
        return CudaResult.Success;
    }

    public int cuDeviceGetAttribute(out int value, int attribute, int device)
    {
        value = SimulatedDevice.Attribute(attribute) ?? 0;
        return RefusalOfDevice(device) is var code and not 0 ? code
            : SimulatedDevice.Attribute(attribute) is null ? CudaResult.InvalidValue : CudaResult.Success;
    }

    public int cuDeviceTotalMem(out nuint bytes, int device)
    {
        bytes = (nuint)_options.MemoryBytes;
        return RefusalOfDevice(device);
    }

    public int cuDevicePrimaryCtxRetain(out nint context, int device)
    {
        context = 0;
        if (RefusalOfDevice(device) is var code and not 0)
        {
            return code;
        }
        if (_contextUsers++ == 0)
        {
            _context = _handles.Add(s_context);
        }
        context = _context;
        return CudaResult.Success;
    }

    public int cuDevicePrimaryCtxRelease(int device)
    {
        if (RefusalOfDevice(device) is var code and not 0)
        {
            return code;
        }
        if (_contextUsers == 0)
        {
            return CudaResult.InvalidContext;
        }
        if (--_contextUsers == 0)
        {
            RunEverything();
            _handles.Destroy(_context, "context");
            _context = 0;
        }
        return CudaResult.Success;
    }

    public int cuCtxSetCurrent(nint context)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (!_initialised)
        {
            return CudaResult.NotInitialized;
        }
        if (context != 0 && context != _context)
        {
            return Find<object>(context, nameof(cuCtxSetCurrent)) is null ? CudaResult.InvalidContext : CudaResult.InvalidValue;
        }
        _current.Value = context;
        return CudaResult.Success;
    }

    private static readonly object s_context = new();

    private static byte* Address(byte[] pinned) => (byte*)Unsafe.AsPointer(ref pinned[0]);

    private int RefusalOfDevice(int device)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _calls++;
        return !_initialised ? CudaResult.NotInitialized : device == 0 ? CudaResult.Success : CudaResult.InvalidDevice;
    }
}
