using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>
/// Kernels of kernels.ptx with one bug planted each, run through their own launchers: every one is found, and the message says which
/// kernel, block, thread and line. The same calls on the kernels as they are give no finding.
/// </summary>
public class PlantedBugTests
{
    private static IEnumerable<TestCaseData> KernelBugs()
    {
        yield return Bug("missing barrier", Block("rms_norm_block").Replace(@"^\s*bar\.sync\s+0;\n", "", -1), RmsNorm, "race");
        yield return Bug("missing barrier between two rounds", Block("segment_attention_32").Replace(@"^\s*bar\.sync\s+0;\n", "", 2), Attention, "race");
        yield return Bug("off-by-one bound", Block("affine").Replace(@"setp\.ge\.u32(\s+%p\d+, %r\d+, %r11)", "setp.gt.u32$1"), AffineOf36, "bounds");
        yield return Bug("unwritten shared memory", Block("rms_norm_block").Replace(@"^\s*st\.shared\.f32.*\n", "", -1), RmsNorm, "never written");
        yield return Bug("race between blocks", Block("affine").Replace(@"mov\.u32(\s+%r\d+), %ctaid\.x;", "mov.u32$1, 0;"), AffineOf4096, "race");
        yield return Bug("misaligned vector", Block("affine").Replace(@"(ld\.global\.v4\.f32\s+\{[^}]*\}, \[%rd\d+)\]", "$1+4]"), AffineOf4096, "align");
        yield return Bug("wrong stride", Block("affine").Replace(@"shl\.b32(\s+%r\d+, %r\d+), 2;", "shl.b32$1, 3;"), AffineOf4096, "race");
        yield return Bug("read beyond the buffer", Block("affine").ReplaceAll(@"(ld\.global\.v4\.f32\s+\{[^}]*\}, \[%rd10)\]", "$1+16]"), AffineOf4096, "bounds");
        yield return Bug(
            "divergent barrier", Block("rms_norm_block").Replace(@"bar\.sync\s+0;", "setp.gt.u32 %p1, %tid.x, 8;\n@%p1 bar.sync 0;", -1), RmsNorm, "barrier");
        yield return Bug("shuffle with a wrong mask", Block("rms_norm_block").ReplaceAll(@"(shfl\.sync\.bfly\.b32.*), -1;", "$1, 65535;"), RmsNorm, "mask");
        yield return Bug("store through a pointer that is read only", Block("affine").Replace(@"st\.global\.v4\.f32\s+\[%rd\d+\]", "st.global.v4.f32 [%rd10]"), AffineOf4096, "read");
        yield return Bug(
            "cached read of what the launch has stored",
            Block("affine").Replace(@"(^\s*)(st\.global\.v4\.f32\s+(\[%rd\d+\]), \{(%f\d+), [^}]*\};)", "$1$2\n$1ld.global.nc.f32 $4, $3;"), AffineOf4096, "nc");
        yield return Bug("shared memory beyond its end", Block("rms_norm_block").ReplaceAll(@"(ld\.shared\.f32\s+%f\d+, \[\S+)\+28\]", "$1+262144]"), RmsNorm, "shared");
    }

    [TestCaseSource(nameof(KernelBugs))]
    public void AKernelsBugIsFoundWithItsPlace(PlantedKernel planted, string kernel, Action<CudaBackend> call, string what)
    {
        using var backend = new CudaBackend(new SimulatedCudaDriver(new SimulatorOptions { Threads = 1 }), null, planted.Ptx);
        var finding = Assert.Throws<SimulationException>(() =>
        {
            call(backend);
            backend.Synchronise();
        })!;
        Assert.That(finding.Message, Does.Contain(what).IgnoreCase);
        Assert.That(finding.Message, Does.Contain($"kernel {kernel}"));
        Assert.That(finding.Message, Does.Match(@"block \(?\d+").And.Match(@"thread \(?\d+").And.Match(@"kernels\.ptx:\d+").And.Match(@"kernels\.cu:\d+"));
    }

    [Test]
    public void TheKernelsAsTheyAreGiveNoFinding()
    {
        foreach (var (kernel, call) in new (string, Action<CudaBackend>)[]
        {
            ("affine", AffineOf36), ("affine", AffineOf4096), ("rms_norm_block", RmsNorm), ("segment_attention_32", Attention),
        })
        {
            using var backend = new CudaBackend(new SimulatedCudaDriver(), null, new PlantedKernel(kernel).Ptx);
            call(backend);
            backend.Synchronise();
        }
    }

    private static PlantedKernel Block(string kernel) => new(kernel);

    private static TestCaseData Bug(string name, PlantedKernel planted, Action<CudaBackend> call, string what) =>
        new TestCaseData(planted, planted.Name, call, what).SetArgDisplayNames(name);

    private static void AffineOf36(CudaBackend backend) => Affine(backend, 36);

    private static void AffineOf4096(CudaBackend backend) => Affine(backend, 4096);

    private static void Affine(CudaBackend backend, int n)
    {
        using var scope = new MemoryScope(backend);
        backend.Affine(Numbers(backend, n), 2, 1, backend.Memory.Rent(n), accumulate: false);
        backend.Synchronise();
    }

    // Rows long enough for a block each.
    private static void RmsNorm(CudaBackend backend)
    {
        const int rows = 2, columns = 4096;
        using var scope = new MemoryScope(backend);
        backend.RmsNorm(
            Numbers(backend, rows * columns), Numbers(backend, columns), rows, columns, 1e-5f, backend.Memory.Rent(rows * columns),
            backend.Memory.Rent(rows));
        backend.Synchronise();
    }

    private static void Attention(CudaBackend backend)
    {
        var shape = new AttentionShape(1, 1, 32);
        const int tokens = 130;
        using var scope = new MemoryScope(backend);
        backend.SegmentAttention(
            shape, SegmentLayout.Validate([new Segment(0, 0, 0, tokens)], tokens), Numbers(backend, tokens * 32), Numbers(backend, tokens * 32),
            Numbers(backend, tokens * 32), backend.Memory.Rent(tokens * 32), backend.Memory.Rent(tokens));
        backend.Synchronise();
    }

    private static DeviceBuffer Numbers(CudaBackend backend, int count)
    {
        var buffer = backend.Memory.Rent(count);
        backend.Upload([.. Enumerable.Range(0, count).Select(static i => (float)Philox.Normal(1, RandomPurpose.Test, 0, 0, i))], buffer);
        return buffer;
    }
}
