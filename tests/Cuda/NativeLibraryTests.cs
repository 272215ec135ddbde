using System.Text.Json;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>How NVIDIA's libraries are found, and what is said where they are not.</summary>
public class NativeLibraryTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [Test]
    public void AnAbsentDriverIsOneLineWithTheVariable() => EngineCopy.Run(_folder.File("none.so"), static path =>
    {
        using var cuda = new EnvironmentValue("TINYDPO_CUDA_LIBRARY", path);
        var thrown = Assert.Throws<CudaException>(static () => new NativeCudaDriver().Dispose())!;
        Assert.That(
            thrown.Message, Is.EqualTo($"the CUDA driver cannot be opened: TINYDPO_CUDA_LIBRARY names {path}; correct it, or unset it"));
        Assert.That(CudaProbe.Native().Reason, Is.EqualTo(thrown.Message));
    });

    [Test]
    public void AFileThatIsNoLibraryGetsTheLoadersReason() => EngineCopy.Run(_folder.File("text.so"), static path =>
    {
        File.WriteAllText(path, "not a library, but longer than the head of one, so that the loader reads it and finds out");
        using var cuda = new EnvironmentValue("TINYDPO_CUDA_LIBRARY", path);
        var thrown = Assert.Throws<CudaException>(static () => new NativeCudaDriver().Dispose())!;
        Assert.That(thrown.Message, Does.StartWith($"the CUDA driver cannot be opened: TINYDPO_CUDA_LIBRARY names {path} (").And.Not.Contain("\n"));
    });

    [Test]
    public void NamesThatNobodyHasAreListed()
    {
        var file = new NativeLibraryFile("the test", "TINYDPO_NO_SUCH_VARIABLE", ["libtinydpo_a.so", "libtinydpo_b.so"], typeof(NativeCuda), "make one");
        Assert.That(file.Problem, Is.EqualTo(
            "the test was not found: looked for libtinydpo_a.so, libtinydpo_b.so where the system's loader looks; " +
            "make one, or name its file in TINYDPO_NO_SUCH_VARIABLE"));
        Assert.That(file.Handle, Is.EqualTo((nint)0));
        Assert.That(file.Path, Is.Null);
    }

    [Test]
    public void CublasIsNotNeededBeforeItIsUsed()
    {
        StubLibraries.Build(_folder.Path);
        EngineCopy.Run(_folder.Path, static folder =>
        {
            using var stub = new StubSession(folder);
            using var cublas = new EnvironmentValue("TINYDPO_CUBLAS_LIBRARY", StubLibraries.Cublas(folder) + ".gone");
            using var driver = new NativeCudaDriver();
            Assert.That(driver.cuInit(0), Is.Zero);
            var thrown = Assert.Throws<CudaException>(() => driver.cublasCreate(out _))!;
            Assert.That(thrown.Message, Does.StartWith("cuBLAS cannot be opened: TINYDPO_CUBLAS_LIBRARY names ").And.Contain(".gone; "));
        });
    }

    [Test]
    public void ALibraryThatLacksCallsIsNamedWithSomeOfThem()
    {
        StubLibraries.Build(_folder.Path);
        EngineCopy.Run(_folder.Path, static folder =>
        {
            using var cuda = new EnvironmentValue("TINYDPO_CUDA_LIBRARY", StubLibraries.Cublas(folder));
            var thrown = Assert.Throws<CudaException>(static () => new NativeCudaDriver().Dispose())!;
            Assert.That(thrown.Message, Is.EqualTo(
                $"the CUDA driver in {StubLibraries.Cublas(folder)} lacks cuInit, cuDriverGetVersion, cuGetErrorName and " +
                $"{NativeLibraryFile.EntryPoints(typeof(NativeCuda)).Count() - 3} more calls: it is too old, or another library; correct it, or unset it"));
        });
    }

    /// <summary>In a process of its own, as a user would have it: the variables, the libraries, the cards.</summary>
    [Test]
    public void DevicesShowsWhatTheDriverSays()
    {
        StubLibraries.Build(_folder.Path);
        using var cuda = new EnvironmentValue("TINYDPO_CUDA_LIBRARY", StubLibraries.Cuda(_folder.Path));
        using var cublas = new EnvironmentValue("TINYDPO_CUBLAS_LIBRARY", StubLibraries.Cublas(_folder.Path));
        var line = JsonElement.Parse(CommandLineRun.OfProcess([], "devices").Succeeded().Lines[1]);
        Assert.Multiple(() =>
        {
            Assert.That(line.GetProperty("available").GetBoolean(), Is.True);
            Assert.That(line.GetProperty("driver").GetString(), Is.EqualTo("12.4"));
            Assert.That(line.GetProperty("libraries").EnumerateArray().Select(static l => l.GetProperty("found").GetString()), Is.EqualTo(new[]
            {
                StubLibraries.Cuda(_folder.Path), StubLibraries.Cublas(_folder.Path),
            }));
            Assert.That(line.GetProperty("cards").EnumerateArray().Select(static card => card.ToString()), Is.EqualTo(new[]
            {
                """{"ordinal":0,"name":"stub card 40","compute_capability":"8.6","memory_bytes":10737418241,"multiprocessors":116}""",
                """{"ordinal":1,"name":"stub card 41","compute_capability":"8.6","memory_bytes":10737418241,"multiprocessors":116}""",
            }));
        });
    }
}
