using System.Security.Cryptography;
using System.Text.RegularExpressions;
using TinyDpo.Kernels;
using TinyDpo.Simulator;

namespace TinyDpo.Tests.Cuda;

/// <summary>
/// What can be said of kernels.ptx without a compiler: it was made from the kernels.cu that lies beside it, it holds nothing that has no
/// place in it, and every kernel has its launcher. .ci/run makes it anew and compares the bytes.
/// </summary>
public partial class KernelsPtxTests
{
    private static readonly string s_cuda = File.ReadAllText(Path.Combine(Repository.Root, "kernels.cu"));
    private static readonly string s_ptx = File.ReadAllText(Path.Combine(Repository.Root, "kernels.ptx"));

    [Test]
    public void WasMadeFromThisSource() => Assert.That(
        s_ptx.Split('\n')[0],
        Does.EndWith("sha256 " + Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(Repository.Root, "kernels.cu"))))),
        "run tools/ptx.sh");

    [Test]
    public void IsTheOneThatIsBuiltIn() => Assert.That(CudaModule.EmbeddedPtx(), Is.EqualTo(s_ptx));

    [TestCase(@"\.extern\s+\.func", "no function of libdevice, which nobody would link")]
    [TestCase(@"\.local\b|__local_depot", "no arrays in local memory")]
    [TestCase(@"\.approx\b", "no approximate arithmetic")]
    [TestCase(@"\.ftz\b", "no flushing of denormals")]
    [TestCase(@"\b(atom|red)\.[a-z.]*\.f(16|32|64)", "no floating-point atomics, whose order varies")]
    [TestCase(@"\s*\.file\s+\d+\s+"".*/", "no folders of the machine that compiled it")]
    public void HasNothingThatHasNoPlaceInIt(string pattern, string rule) =>
        Assert.That(Regex.Matches(s_ptx, $"(?m)^.*(?:{pattern}).*$").Select(static match => match.Value.Trim()).Take(5), Is.Empty, rule);

    /// <summary>sm_70 and PTX 6.3: every card from Volta on, every driver from CUDA 10.0 on.</summary>
    [Test]
    public void AsksForNoNewerCardOrDriver() => Assert.That(s_ptx, Does.Contain("\n.version 6.3\n.target sm_70\n"));

    /// <summary>The simulator decodes a kernel when it is first launched; here all are.</summary>
    [Test]
    public void HasNoOpcodeThatTheSimulatorDoesNotKnow() =>
        Assert.That(PtxParser.Parse(s_ptx).Kernels.Values.Select(Decoder.Decode).Count(), Is.EqualTo(Regex.Count(s_ptx, @"\.entry\b")));

    [Test]
    public void EveryKernelOfTheSourceIsAnEntry()
    {
        var kernels = Kernel().Matches(s_cuda).Select(static match => match.Groups["name"].Value).ToList();
        Assert.That(kernels, Is.Not.Empty);
        Assert.That(kernels, Is.SubsetOf(PtxEntry.ReadAll(s_ptx).Keys));
    }

    /// <summary>Where the parameter list of an entry is not understood, launches of it could not be checked.</summary>
    [Test]
    public void EveryEntryIsRead() =>
        Assert.That(PtxEntry.ReadAll(s_ptx), Has.Count.EqualTo(Regex.Matches(s_ptx, @"\.entry\s").Count));

    /// <summary>By name: as a string of the launchers, or as one that they compose, where a hole stands for part of a name.</summary>
    [Test]
    public void EveryEntryHasALauncher()
    {
        var names = Directory.EnumerateFiles(Path.Combine(Repository.Root, "src", "Kernels", "Cuda"), "CudaBackend.*.cs")
            .SelectMany(static file => Name().Matches(File.ReadAllText(file)).Select(static match => match.Groups["name"].Value))
            .Select(static name => Hole().Replace(name, @"\w+")).Distinct().ToList();
        var launched = new Regex($"^(?:{string.Join('|', names)})$");
        Assert.That(PtxEntry.ReadAll(s_ptx).Keys.Where(name => !launched.IsMatch(name)), Is.Empty, "kernels that nothing launches");
    }

    // At the start of a line: a macro that makes kernels is indented, and its names are not in the text.
    [GeneratedRegex(@"^extern ""C"" __global__ void (?:__launch_bounds__\(.*?\) )?(?!__)(?<name>\w+)\(", RegexOptions.Multiline)]
    private static partial Regex Kernel();

    // "sum_blocks", $"unary_{kernel}_backward"; not $"{name}", which would be any of them.
    [GeneratedRegex("\"(?<name>[a-z](?:\\w|\\{[^}\"]*\\})*)\"")]
    private static partial Regex Name();

    [GeneratedRegex("\\{[^}]*\\}")]
    private static partial Regex Hole();
}
