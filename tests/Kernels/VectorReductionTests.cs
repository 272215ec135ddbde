using System.Runtime.Intrinsics;
using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public class VectorReductionTests
{
    [Test]
    public void TheSumHasItsStatedOrder() =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed =>
        {
            // Magnitudes far apart, so that another order almost surely gives other bits.
            var v = Enumerable.Range(0, Vector256<Real>.Count)
                .Select(i => (Real)(Philox.Normal((ulong)seed, RandomPurpose.Test, 0, 0, i) * Math.Pow(10, i % 3))).ToArray();
#if DOUBLE
            var expected = (v[0] + v[2]) + (v[1] + v[3]);
#else
            var expected = ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
#endif
            return VectorReduction.Sum(Vector256.Create(v)).Equals(expected);
        }).QuickCheckThrowOnFailure();
}
