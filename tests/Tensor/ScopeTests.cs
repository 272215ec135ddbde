using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Tests;

public class ScopeTests
{
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => _backend = PoisonedBackend.Create();

    [TearDown]
    public void Close() => _backend.Dispose();

    [Test]
    public void ATensorUsedAfterItsScopeThrowsEvenWhenItsMemoryServesAnother()
    {
        Tensor old;
        using (var step = new StepScope(_backend))
        {
            old = Vector(1, 2, 3);
        }
        using var next = new StepScope(_backend);
        var current = Vector(4, 5, 6); // takes the same block from the pool
        Assert.That(() => old.ToArray(), Throws.InvalidOperationException.With.Message.Contains("StepScope"));
        Assert.That(() => old + current, Throws.InvalidOperationException);
        Assert.That(() => old.Data.Slice(0, 1), Throws.InvalidOperationException);
        Assert.That(current.ToArray(), Is.EqualTo(new Real[] { 4, 5, 6 }));
    }

    [Test]
    public void AViewEndsWithItsBuffer()
    {
        DeviceBuffer view;
        using (var step = new StepScope(_backend))
        {
            view = Vector(1, 2, 3).Data.Slice(1, 2);
            _backend.Memory.Return(view); // owns nothing: a view cannot give its buffer away
            Assert.That(view.Returned, Is.False);
        }
        Assert.That(view.Returned, Is.True);
        Assert.That(() => view.Address, Throws.InvalidOperationException);
    }

    [Test]
    public void WithoutAScopeNothingCanBeRented()
    {
        Assert.That(() => Vector(1), Throws.InvalidOperationException.With.Message.Contains("StepScope"));
        Assert.That(() => _backend.Memory.RentIndex(1), Throws.InvalidOperationException);
    }

    [Test]
    public void ScopesNestAndAnInnerOneGivesBackItsOwn()
    {
        using var outer = new StepScope(_backend);
        var kept = Vector(1, 2);
        var before = _backend.Memory.Outstanding;
        Tensor moved, lost;
        using (var inner = new StepScope(_backend))
        {
            moved = 2 * kept;
            lost = 3 * kept;
            inner.MoveToParent(moved);
            Assert.That(() => inner.MoveToParent(kept), Throws.InvalidOperationException, "the outer scope's own");
        }
        Assert.That(moved.ToArray(), Is.EqualTo(new Real[] { 2, 4 }));
        Assert.That(() => lost.ToArray(), Throws.InvalidOperationException);
        Assert.That(_backend.Memory.Outstanding, Is.EqualTo(before + 1));
        Assert.That(() => outer.MoveToParent(kept), Throws.InvalidOperationException, "there is no scope around it");
    }

    [Test]
    public void ScopesEndInTheOrderOfAStack()
    {
        var outer = new StepScope(_backend);
        var inner = new StepScope(_backend);
        Assert.That(outer.Dispose, Throws.InvalidOperationException);
        inner.Dispose();
        outer.Dispose();
        outer.Dispose();
        Assert.That(_backend.Memory.Current, Is.Null);
    }

    [Test]
    public void WithoutGradientsNothingIsRecordedHoweverScopesNest()
    {
        var parameters = new ParameterSet(_backend, [("w", Shape.Matrix(2, 2))]);
        _backend.Upload([1, 2, 3, 4], parameters["w"].Data);
        using (var without = new StepScope(_backend, gradients: false))
        {
            var x = Tensor.From(_backend, Shape.Matrix(1, 2), [1, 1], requiresGrad: true);
            Assert.That(Linear(x, parameters["w"]).RequiresGrad, Is.False);
            using var inner = new StepScope(_backend);
            Assert.That(inner.Gradients, Is.False, "an inner scope cannot turn on what an outer one turned off");
            var y = Linear(x, parameters["w"]).Sum();
            Assert.That(y.Item(), Is.EqualTo((Real)10));
            Assert.That(y.Backward, Throws.InvalidOperationException.With.Message.Contains("gradient"));
        }
        using var with = new StepScope(_backend);
        using (var without = new StepScope(_backend, gradients: false))
        {
            Assert.That(parameters["w"].Sum().RequiresGrad, Is.False);
        }
        Assert.That(parameters["w"].Sum().RequiresGrad, Is.True, "the outer scope records again");
    }

    [Test]
    public void BackwardStartsFromAScalarThatDependsOnAParameter()
    {
        using var step = new StepScope(_backend);
        var x = Tensor.From(_backend, Shape.Vector(2), [1, 2], requiresGrad: true);
        Assert.That((x + x).Backward, Throws.InvalidOperationException.With.Message.Contains("scalar"));
        Assert.That(Vector(1, 2).Sum().Backward, Throws.InvalidOperationException);
    }

    [Test]
    public void BackwardGivesItsBuffersBackAndReadingThemThrows()
    {
        using var step = new StepScope(_backend);
        var x = Tensor.From(_backend, Shape.Vector(2), [1, 2], requiresGrad: true);
        var between = Square(x);
        var loss = between.Sum();
        loss.Backward();
        Assert.That(x.GradToArray(), Is.EqualTo(new Real[] { 2, 4 }));
        Assert.That(loss.Item(), Is.EqualTo((Real)5), "the value backward started from stays");
        Assert.That(() => between.ToArray(), Throws.InvalidOperationException);
    }

    [Test]
    public void AnOutputThatNothingWantsGetsNoGradientAndHarmsNobody()
    {
        using var step = new StepScope(_backend);
        var x = Tensor.From(_backend, Shape.Vector(2), [1, 2], requiresGrad: true);
        var constant = Vector(3, 5);
        _ = Exp(x); // a branch that leads nowhere
        ((x * constant) - constant).Sum().Backward();
        Assert.That(x.GradToArray(), Is.EqualTo(new Real[] { 3, 5 }));
        Assert.That(constant.Grad, Is.Null);
    }

    [Test]
    public void ThePoolReusesBlocksOfASizeClass()
    {
        using (var step = new StepScope(_backend))
        {
            _ = Vector(new Real[1000]);
        }
        var bytes = _backend.Memory.Bytes;
        for (var i = 0; i < 5; i++)
        {
            using var step = new StepScope(_backend);
            _ = Vector(new Real[1000 - i]);
            Assert.That(_backend.Memory.Outstanding, Is.EqualTo(1));
        }
        Assert.That(_backend.Memory.Bytes, Is.EqualTo(bytes));
        Assert.That(_backend.Memory.Outstanding, Is.Zero);
    }

    [Test]
    public void ABlockOfUpToTwiceTheSizeIsTakenBeforeMoreMemory()
    {
        Take(2000);
        var bytes = _backend.Memory.Bytes;
        Take(1024); // half of the class of 2,048
        Assert.That(_backend.Memory.Bytes, Is.EqualTo(bytes));
        Take(500);
        Assert.That(_backend.Memory.Bytes, Is.GreaterThan(bytes), "a block four times as large is not wasted on it");
        bytes = _backend.Memory.Bytes;
        Take(2000);
        Take(500);
        Assert.That(_backend.Memory.Bytes, Is.EqualTo(bytes), "each went back to its own class");
        _backend.Memory.Return(_backend.Memory.Allocate(1024));
        Assert.That(_backend.Memory.Bytes, Is.GreaterThan(bytes), "what may be kept for long takes no block of twice its size");

        void Take(int length)
        {
            using var step = new StepScope(_backend);
            _ = Vector(new Real[length]);
        }
    }

    private Tensor Vector(params Real[] values) => Tensor.From(_backend, Shape.Vector(values.Length), values);
}
