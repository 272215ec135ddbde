using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>A matrix that is kept packed gives the same products, from its panels and no longer than it is kept.</summary>
public class KeepPackedTests
{
    private const int M = 5, N = 20, K = 20;

    private CpuBackend _backend = null!;
    private MemoryScope _scope = null!;
    private DeviceBuffer _a = null!;
    private DeviceBuffer _b = null!;
    private Real[] _expected = null!;

    [SetUp]
    public void Open()
    {
        _backend = PoisonedBackend.Create(threads: 3);
        _scope = new MemoryScope(_backend);
        (_a, _b) = (Put(0, M * K), Put(1, N * K));
        _expected = Product();
    }

    [TearDown]
    public void Close()
    {
        _scope.Dispose();
        _backend.Dispose();
    }

    [Test]
    public void AsLongAsTheScopeLasts()
    {
        using (new MemoryScope(_backend))
        {
            _backend.KeepPacked(_b, N, K);
            _backend.Fill(_b, 0);
            Assert.That(Product(), Is.EqualTo(_expected), "from the panels");
        }
        Assert.That(Product(), Is.All.Zero, "from the matrix as it is");
    }

    [Test]
    public void TheScopeAroundKeepsItAfterAnInnerOne()
    {
        _backend.KeepPacked(_b, N, K);
        using (new MemoryScope(_backend))
        {
            _backend.KeepPacked(_b, N, K);
            Assert.That(Product(), Is.EqualTo(_expected));
        }
        _backend.Fill(_b, 0);
        Assert.That(Product(), Is.EqualTo(_expected));
    }

    [Test]
    public void ForTheTransposeOfItsOwnShapeAlone()
    {
        var (plain, narrow) = (Product(transB: false), Product(n: N / 2, k: K));
        _backend.KeepPacked(_b, N, K);
        Assert.That(Product(transB: false), Is.EqualTo(plain));
        Assert.That(Product(n: N / 2, k: K), Is.EqualTo(narrow));
    }

    [Test]
    public void ABufferThatIsTooShortIsRefused() => Assert.That(() => _backend.KeepPacked(_b, N + 1, K), Throws.ArgumentException);

    private Real[] Product(bool transB = true, int n = N, int k = K)
    {
        var c = Tensor.Uninitialised(_backend, Shape.Matrix(M, n));
        _backend.Gemm(false, transB, M, n, k, 1, _a, _b, false, c.Data, addend: null);
        return c.ToArray();
    }

    private DeviceBuffer Put(int stream, int count) =>
        Tensor.From(_backend, Shape.Vector(count), Array.ConvertAll(TinyModels.Random(11, stream, count), static v => (Real)v)).Data;
}
