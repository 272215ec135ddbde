using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Text;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>The machine's C compiler; tests that need one are skipped, with a message, where there is none.</summary>
internal static class CCompiler
{
    public static string StubFolder { get; } = Path.Combine(Repository.Root, "tests", "Cuda", "stub");

    /// <summary>Compiles with warnings as errors; fails the test with the compiler's words where it does not.</summary>
    public static void Compile(params string[] arguments)
    {
        var (exitCode, said) = Run(Find(), ["-std=c11", "-Wall", "-Wextra", "-Werror", "-I", StubFolder, .. arguments]);
        Assert.That(exitCode, Is.Zero, said);
    }

    private static string Find()
    {
        foreach (var name in (string[])["cc", "gcc", "clang", "clang-14"])
        {
            try
            {
                if (Run(name, ["--version"]).ExitCode == 0)
                {
                    return name;
                }
            }
            catch (System.ComponentModel.Win32Exception)
            {
                // There is no such program.
            }
        }
        Assert.Ignore("needs a C compiler (cc, gcc or clang), which is not there");
        return "";
    }

    private static (int ExitCode, string Said) Run(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output.Result + error);
    }
}

/// <summary>The two recording stubs, compiled into a folder.</summary>
internal static class StubLibraries
{
    public static string Cuda(string folder) => Path.Combine(folder, "libcuda_stub.so");

    public static string Cublas(string folder) => Path.Combine(folder, "libcublas_stub.so");

    public static void Build(string folder)
    {
        CCompiler.Compile("-shared", "-fPIC", "-o", Cuda(folder), Path.Combine(CCompiler.StubFolder, "cuda_stub.c"));
        CCompiler.Compile("-shared", "-fPIC", "-o", Cublas(folder), Path.Combine(CCompiler.StubFolder, "cublas_stub.c"));
    }
}

/// <summary>
/// A second copy of the engine in this process. A P/Invoke keeps the library that it first found, so tests that call stubs, or look for
/// libraries that are not there, each do so in a copy with statics of its own.
/// </summary>
internal sealed class EngineCopy : AssemblyLoadContext
{
    /// <summary>Runs a lambda that captures nothing, compiled into this assembly, in a copy of this assembly.</summary>
    public static void Run(string argument, Action<string> test)
    {
        var copy = new EngineCopy().LoadFromAssemblyPath(typeof(EngineCopy).Assembly.Location);
        var method = copy.ManifestModule.ResolveMethod(test.Method.MetadataToken)!;
        var target = method.IsStatic ? null : Activator.CreateInstance(method.DeclaringType!);
        method.Invoke(target, BindingFlags.DoNotWrapExceptions, null, [argument], null);
    }

    protected override Assembly? Load(AssemblyName assemblyName) =>
        assemblyName.Name == typeof(ICudaDriver).Assembly.GetName().Name
            ? LoadFromAssemblyPath(typeof(ICudaDriver).Assembly.Location)
            : null;
}

/// <summary>An environment variable that has a value until this is disposed.</summary>
internal sealed class EnvironmentValue : IDisposable
{
    private readonly string _name;
    private readonly string? _before;

    public EnvironmentValue(string name, string? value)
    {
        (_name, _before) = (name, Environment.GetEnvironmentVariable(name));
        Environment.SetEnvironmentVariable(name, value);
    }

    public void Dispose() => Environment.SetEnvironmentVariable(_name, _before);
}

/// <summary>Inside an <see cref="EngineCopy"/>: the stubs in the place of NVIDIA's libraries, and what they recorded.</summary>
internal sealed unsafe class StubSession : IDisposable
{
    private readonly string _log;
    private readonly EnvironmentValue _cuda;
    private readonly EnvironmentValue _cublas;
    private readonly nint[] _libraries;

    /// <param name="folder">Where the stubs were compiled.</param>
    public StubSession(string folder)
    {
        _log = Path.Combine(folder, Path.GetRandomFileName());
        _cuda = new EnvironmentValue("TINYDPO_CUDA_LIBRARY", StubLibraries.Cuda(folder));
        _cublas = new EnvironmentValue("TINYDPO_CUBLAS_LIBRARY", StubLibraries.Cublas(folder));
        _libraries = [NativeLibrary.Load(StubLibraries.Cuda(folder)), NativeLibrary.Load(StubLibraries.Cublas(folder))];
        foreach (var library in _libraries)
        {
            fixed (byte* path = Encoding.UTF8.GetBytes(_log + '\0'))
            {
                ((delegate* unmanaged<byte*, void>)NativeLibrary.GetExport(library, "stub_log_to"))(path);
            }
        }
        Fail("", 0);
    }

    /// <summary>Lets one call, under the name of its entry point, return this result.</summary>
    public void Fail(string entryPoint, int result)
    {
        foreach (var library in _libraries)
        {
            fixed (byte* name = Encoding.UTF8.GetBytes(entryPoint + '\0'))
            {
                ((delegate* unmanaged<byte*, int, void>)NativeLibrary.GetExport(library, "stub_fail"))(name, result);
            }
        }
    }

    /// <summary>The calls since the last look: entry point and arguments, a line each.</summary>
    public string[] Calls()
    {
        var lines = File.Exists(_log) ? File.ReadAllLines(_log) : [];
        File.Delete(_log);
        return lines;
    }

    public void Dispose()
    {
        _cuda.Dispose();
        _cublas.Dispose();
    }
}
