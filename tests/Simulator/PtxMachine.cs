using System.Runtime.InteropServices;
using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>A module of PTX with memory of its own, for tests of the executor without a driver.</summary>
internal sealed unsafe class PtxMachine : IDisposable
{
    private readonly List<PointerExtent> _extents = [];

    public PtxMachine(string ptx, SimulatorOptions? options = null)
    {
        try
        {
            Executor = new KernelExecutor(ptx, Memory, options ?? new SimulatorOptions { Threads = 1 });
        }
        catch
        {
            Memory.Dispose();
            throw;
        }
    }

    public SimulatedMemory Memory { get; } = new();

    public KernelExecutor Executor { get; }

    /// <summary>Whether the launches declare their buffers; else live memory is the bound.</summary>
    public bool Declares { get; init; } = true;

    /// <summary>The head of a module around the text of entries.</summary>
    public static string Module(string entries) => $"""
        .version 6.3
        .target sm_70
        .address_size 64
        {entries}
        """;

    /// <summary>
    /// A module with one kernel, k(pointer a, pointer b, u32 n): addresses in %a and %b, n in %n, the thread's number in the block in %t,
    /// and registers %p0..9, %h0..9 (16 bits), %r0..19, %f0..9, %l0..19, %d0..9 for the body.
    /// </summary>
    public static string Kernel(string body, string shared = "") => Module($$"""
        {{shared}}
        .visible .entry k(
            .param .u64 k_param_0,
            .param .u64 k_param_1,
            .param .u32 k_param_2
        )
        {
            .reg .pred %p<10>;
            .reg .b16 %h<10>;
            .reg .b32 %r<20>;
            .reg .f32 %f<10>;
            .reg .b64 %l<20>;
            .reg .f64 %d<10>;
            .reg .b64 %a;
            .reg .b64 %b;
            .reg .b32 %n;
            .reg .b32 %t;
            ld.param.u64 %a, [k_param_0];
            ld.param.u64 %b, [k_param_1];
            ld.param.u32 %n, [k_param_2];
            mov.u32 %t, %tid.x;
            .loc 1 77 0
        {{body}}
            ret;
        }
            .file 1 "some/where/kernels.cu"
        """);

    /// <summary>New memory with these numbers, declared for the next launches.</summary>
    public nint Upload<T>(ReadOnlySpan<T> values, Access access = Access.ReadWrite)
        where T : unmanaged
    {
        var address = Allocate(values.Length * sizeof(T), access);
        values.CopyTo(new Span<T>((void*)address, values.Length));
        Memory.MarkWritten(address, (long)values.Length * sizeof(T));
        return address;
    }

    /// <summary>New memory that nobody has written.</summary>
    public nint Allocate(int bytes, Access access = Access.ReadWrite)
    {
        var address = Memory.Allocate(bytes);
        _extents.Add(new PointerExtent(address, bytes, access, bytes, bytes));
        return address;
    }

    public static T[] Read<T>(nint address, int count)
        where T : unmanaged =>
        new ReadOnlySpan<T>((void*)address, count).ToArray();

    /// <summary>Launches a kernel; arguments are long (pointers), int, float or double.</summary>
    public LaunchCounters? Launch(string kernel, Dim3 grid, Dim3 block, int sharedBytes, params object[] arguments)
    {
        var (bytes, offsets, sizes) = Executor.Parameters(kernel)!.Value;
        var parameters = new byte[bytes];
        for (var i = 0; i < arguments.Length; i++)
        {
            var value = arguments[i] switch
            {
                nint pointer => pointer,
                int number => number,
                float number => BitConverter.SingleToInt32Bits(number),
                double number => BitConverter.DoubleToInt64Bits(number),
                _ => throw new ArgumentException("argument"),
            };
            MemoryMarshal.AsBytes(new ReadOnlySpan<long>(in value))[..sizes[i]].CopyTo(parameters.AsSpan(offsets[i]));
        }
        return Executor.Execute(new LaunchRequest(kernel, grid, block, sharedBytes, parameters, Declares ? [.. _extents] : null));
    }

    /// <summary>Launches k(a, b, n).</summary>
    public LaunchCounters? Launch(int blocks, int threads, nint a, nint b, int n, int sharedBytes = 0) =>
        Launch("k", new Dim3(blocks, 1, 1), new Dim3(threads, 1, 1), sharedBytes, a, b, n);

    public void Dispose()
    {
        Executor.Dispose();
        Memory.Dispose();
    }
}
