using TinyDpo.Kernels;
using TinyDpo.Simulator;
using TinyDpo.Tests.Kernels;
using static TinyDpo.Tests.AttentionOnDevice;
using static TinyDpo.Tests.Kernels.AttentionTests;

namespace TinyDpo.Tests;

/// <summary>What the attention kernels cost by the simulator's counters: the bytes that they must move, and no bank conflicts.</summary>
public class AttentionTrafficTests
{
    private SimulatedCudaDriver _driver = null!;
    private CudaBackend _sim = null!;

    [OneTimeSetUp]
    public void Open()
    {
        _driver = new SimulatedCudaDriver(new SimulatorOptions { Counters = true });
        _sim = new CudaBackend(_driver);
    }

    [OneTimeTearDown]
    public void Close() => _sim?.Dispose();

    [SetUp]
    public void Forget() => _driver.ResetCounters();

    [TestCase(8)]
    [TestCase(32)]
    [TestCase(64)]
    [TestCase(128)]
    [TestCase(256)]
    public void FullTilesMoveWhatTheyMust(int headSize)
    {
        var x = new AttentionCase { Layout = Layout([64, 128]), Heads = 2, KvHeads = 1, HeadSize = headSize }.Fill(1);
        Backward(_sim, x);
        var counters = _driver.Counters;
        Assert.That(counters.Select(static c => c.Kernel), Has.Exactly(3).StartsWith("segment_attention"));
        foreach (var counter in counters)
        {
            AssertMovesWhatItMust(counter);
        }

        // The formulas of kernels.cu: tiles of queries see 64, 128 and 192 keys; tiles of keys are seen by 192, 128 and 64 queries.
        const long rows = 192, seen = 64 + 128 + 192, heads = 2;
        var keyTiles = headSize > 128 ? 192 + 160 + 128 + 96 + 64 + 32 : seen;
        var forward = heads * 4 * ((headSize * ((2 * rows) + (2 * seen))) + rows);
        var dq = heads * 4 * ((headSize * ((4 * rows) + (2 * seen))) + (2 * rows));
        var dkdv = 4 * ((headSize * ((4 * rows) + (2 * heads * keyTiles))) + (2 * heads * keyTiles));
        var queryList = 3 * AttentionTiles.QueryFields * sizeof(int);
        var keyList = keyTiles == seen ? 3 * AttentionTiles.KeyFields * sizeof(int) : 6 * AttentionTiles.KeyFields * sizeof(int);
        Assert.That(counters.Select(static c => c.NeededReadBytes + c.NeededWrittenBytes),
            Is.EquivalentTo(new[] { forward + queryList, dq + queryList, dkdv + keyList }));
    }

    [Test]
    public void NoShapeHasBankConflicts([Values(1, 13, 16, 40, 72, 130)] int headSize)
    {
        var x = new AttentionCase { Layout = Layout([33, 31, 5]), Heads = 2, KvHeads = 1, HeadSize = headSize }.Fill(1);
        Backward(_sim, x);
        Assert.That(_driver.Counters.Sum(static c => c.SharedRequests), Is.Positive);
        Assert.That(_driver.Counters.Sum(static c => c.BankConflicts), Is.Zero);
    }

    [Test]
    public void DecodingReadsEachCacheOnce()
    {
        const int sequences = 2, capacity = 128, kvWidth = 128, heads = 4, kvHeads = 2;
        using var scope = new MemoryScope(_sim);
        var cache = new Real[sequences * capacity * kvWidth];
        var (q, output) = (Upload(_sim, new Real[sequences * heads * 64]), Empty(_sim, sequences * heads * 64));
        _sim.DecodeAttention(
            new AttentionShape(heads, kvHeads, 64), q, Upload(_sim, cache), Upload(_sim, cache), Upload(_sim, [128, 100]), sequences, capacity, output);
        _sim.Synchronise();
        AssertMovesWhatItMust(_driver.Counters.Single());
    }

    [Test]
    public void RotaryMovesWhatItMust([Values] bool interleaved, [Values] bool accumulate)
    {
        const int tokens = 96, heads = 4, headSize = 64;
        using var scope = new MemoryScope(_sim);
        var (x, y) = (Upload(_sim, new Real[tokens * heads * headSize]), Upload(_sim, new Real[tokens * heads * headSize]));
        var table = Upload(_sim, new Real[tokens * headSize / 2]);
        _sim.Rotary(
            x, Upload(_sim, [.. Enumerable.Range(0, tokens)]), table, table, tokens, heads, headSize, interleaved, inverse: false, y, accumulate);
        _sim.Synchronise();
        AssertMovesWhatItMust(_driver.Counters.Single());
    }

    [Test]
    public void AppendMovesWhatItMust()
    {
        const int sequences = 4, capacity = 3, width = 256;
        using var scope = new MemoryScope(_sim);
        var (x, cache) = (Upload(_sim, new Real[sequences * width]), new Real[sequences * capacity * width]);
        _sim.AppendCache(x, x, Upload(_sim, [1, 2, 3, 1]), sequences, capacity, width, Upload(_sim, cache), Upload(_sim, cache));
        _sim.Synchronise();
        AssertMovesWhatItMust(_driver.Counters.Single());
    }

    private static void AssertMovesWhatItMust(LaunchCounters counter)
    {
        const int sector = 32;
        var needed = counter.NeededReadBytes + counter.NeededWrittenBytes;
        Assert.That((counter.ReadSectors + counter.WriteSectors) * sector / (double)needed, Is.InRange(1, 1.05), $"{counter.Kernel}: traffic");
        Assert.That(counter.BankConflicts, Is.Zero, $"{counter.Kernel}: bank conflicts");
    }
}
