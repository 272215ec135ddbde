using System.Text;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>A simulated card with a context and a stream, for tests that make driver calls themselves.</summary>
internal sealed unsafe class TestCard : IDisposable
{
    /// <summary>put: x[i] = value for i below n, in blocks of 64 threads at most, with 16 KiB of static shared memory.</summary>
    public const string Ptx = """
        .version 6.3
        .target sm_70
        .address_size 64
        .visible .entry put(
            .param .u64 put_param_0,
            .param .f32 put_param_1,
            .param .u32 put_param_2
        )
        .maxntid 64, 1, 1
        {
            .reg .pred %p<2>;
            .reg .b32 %r<6>;
            .reg .f32 %f<2>;
            .reg .b64 %rd<5>;
            .shared .align 4 .b8 put_buffer[16384];

            ld.param.u32 %r1, [put_param_2];
            mov.u32 %r2, %ctaid.x;
            mov.u32 %r3, %ntid.x;
            mov.u32 %r4, %tid.x;
            mad.lo.s32 %r5, %r2, %r3, %r4;
            setp.ge.s32 %p1, %r5, %r1;
            @%p1 bra LBB0_2;
            ld.param.u64 %rd1, [put_param_0];
            ld.param.f32 %f1, [put_param_1];
            cvta.to.global.u64 %rd2, %rd1;
            mul.wide.s32 %rd3, %r5, 4;
            add.s64 %rd4, %rd2, %rd3;
            st.global.f32 [%rd4], %f1;
        LBB0_2:
            ret;
        }
        """;

    public const uint PutMaxThreads = 64;
    public const uint PutSharedBytes = 16384;

    private readonly List<Action> _release = [];

    public TestCard(SimulatorOptions? options = null)
    {
        Driver = new SimulatedCudaDriver(options ?? new SimulatorOptions { Threads = 1 });
        Ok(Driver.cuInit(0));
        Ok(Driver.cuDevicePrimaryCtxRetain(out var context, 0));
        Context = context;
        Ok(Driver.cuCtxSetCurrent(context));
        Ok(Driver.cuStreamCreate(out var stream, 1));
        Stream = stream;
    }

    public SimulatedCudaDriver Driver { get; }

    public nint Context { get; }

    public nint Stream { get; }

    public static void Ok(int result) => Assert.That(result, Is.Zero);

    /// <summary>Device memory that is freed at the end.</summary>
    public nint Allocate(int floats)
    {
        Ok(Driver.cuMemAlloc(out var address, (nuint)floats * sizeof(float)));
        _release.Add(() => _ = Driver.cuMemFree(address));
        return address;
    }

    /// <summary>Page-locked memory that is freed at the end.</summary>
    public float* Pinned(int floats)
    {
        Ok(Driver.cuMemAllocHost(out var host, (nuint)floats * sizeof(float)));
        _release.Add(() => _ = Driver.cuMemFreeHost(host));
        return (float*)host;
    }

    public nint NewStream(uint flags = 1)
    {
        Ok(Driver.cuStreamCreate(out var stream, flags));
        _release.Add(() => _ = Driver.cuStreamDestroy(stream));
        return stream;
    }

    public nint NewEvent(uint flags = 0)
    {
        Ok(Driver.cuEventCreate(out var made, flags));
        _release.Add(() => _ = Driver.cuEventDestroy(made));
        return made;
    }

    public nint NewBlas()
    {
        Ok(Driver.cublasCreate(out var handle));
        _release.Add(() => _ = Driver.cublasDestroy(handle));
        Ok(Driver.cublasSetStream(handle, Stream));
        return handle;
    }

    public void Synchronise() => Ok(Driver.cuStreamSynchronize(Stream));

    /// <summary>New device memory with these numbers; waits.</summary>
    public nint Upload(params float[] values)
    {
        var address = Allocate(values.Length);
        var host = Pinned(values.Length);
        values.CopyTo(new Span<float>(host, values.Length));
        Ok(Driver.cuMemcpyHtoDAsync(address, host, (nuint)values.Length * sizeof(float), Stream));
        Synchronise();
        return address;
    }

    /// <summary>The numbers at a device address; waits for the stream.</summary>
    public float[] Download(nint address, int count)
    {
        var host = Pinned(count);
        Ok(Driver.cuMemcpyDtoHAsync(host, address, (nuint)count * sizeof(float), Stream));
        Synchronise();
        return new Span<float>(host, count).ToArray();
    }

    public int Load(string ptx, out nint module, out string log)
    {
        var image = Encoding.UTF8.GetBytes(ptx + '\0');
        var error = new byte[1024];
        int result;
        fixed (byte* text = image, buffer = error)
        {
            var options = stackalloc int[] { 5, 6 };
            var values = stackalloc void*[] { buffer, (void*)error.Length };
            result = Driver.cuModuleLoadDataEx(out module, text, 2, options, values);
        }
        log = Encoding.UTF8.GetString(error, 0, Array.IndexOf(error, (byte)0));
        return result;
    }

    /// <summary>The kernel put, its module unloaded at the end.</summary>
    public nint Put()
    {
        Ok(Load(Ptx, out var module, out _));
        _release.Add(() => _ = Driver.cuModuleUnload(module));
        return Function(module, "put");
    }

    public nint Function(nint module, string name)
    {
        Ok(GetFunction(module, name, out var function));
        return function;
    }

    public int GetFunction(nint module, string name, out nint function)
    {
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
        {
            return Driver.cuModuleGetFunction(out function, module, text);
        }
    }

    /// <summary>Launches put over n numbers.</summary>
    public int LaunchPut(nint function, nint address, float value, int n, uint threads = 32, uint sharedBytes = 0, nint? stream = null)
    {
        var blocks = ((uint)n + threads - 1) / threads;
        void** parameters = stackalloc void*[] { &address, &value, &n };
        return Driver.cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, sharedBytes, stream ?? Stream, parameters, null);
    }

    public string NameOf(int error)
    {
        Ok(Driver.cuGetErrorName(error, out var name));
        return System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)name)!;
    }

    /// <summary>Releases in reverse what was made here, then the driver, which reports anything else.</summary>
    public void Dispose()
    {
        _ = Driver.cuStreamSynchronize(Stream);
        for (var i = _release.Count - 1; i >= 0; i--)
        {
            _release[i]();
        }
        _ = Driver.cuStreamDestroy(Stream);
        _ = Driver.cuDevicePrimaryCtxRelease(0);
        Driver.Dispose();
    }
}
