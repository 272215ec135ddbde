using TinyDpo.Simulator;

namespace TinyDpo.Tests.Simulator;

/// <summary>One opcode at a time, against C#.</summary>
[TestFixture]
internal sealed class OpcodeTests
{
    private static readonly int[] Ints = [0, 1, -1, 2, 31, 32, 33, 255, 256, 65535, 65536, int.MaxValue, int.MinValue, 123456789, -987654321, 7];

    private static readonly float[] Floats =
        [0, -0f, 1, -1, 0.5f, 2.5f, -2.5f, 1e-40f, 3e38f, -3e38f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1234567, 3e9f, -7.75f];

    [TestCase("add.s32"), TestCase("sub.s32"), TestCase("mul.lo.s32"), TestCase("mul.hi.s32"), TestCase("mul.hi.u32"), TestCase("div.s32")]
    [TestCase("rem.u32"), TestCase("min.s32"), TestCase("max.u32"), TestCase("and.b32"), TestCase("or.b32"), TestCase("xor.b32")]
    [TestCase("shl.b32"), TestCase("shr.u32"), TestCase("shr.s32")]
    public void IntegerOperations(string opcode)
    {
        var results = Pairs(Ints, $"{opcode} %r2, %r0, %r1;", "%r0", "%r1", "%r2");
        Each(Ints, (a, b, at) =>
        {
            if (b == 0 && opcode[..3] is "div" or "rem")
            {
                return;
            }
            var expected = opcode switch
            {
                "add.s32" => a + b,
                "sub.s32" => a - b,
                "mul.lo.s32" => a * b,
                "mul.hi.s32" => (int)(((long)a * b) >> 32),
                "mul.hi.u32" => (int)(((ulong)(uint)a * (uint)b) >> 32),
                "div.s32" => (int)((long)a / b),
                "rem.u32" => (int)((uint)a % (uint)b),
                "min.s32" => Math.Min(a, b),
                "max.u32" => (int)Math.Max((uint)a, (uint)b),
                "and.b32" => a & b,
                "or.b32" => a | b,
                "xor.b32" => a ^ b,
                "shl.b32" => (uint)b > 31 ? 0 : a << b,
                "shr.u32" => (uint)b > 31 ? 0 : (int)((uint)a >> b),
                _ => a >> (int)Math.Min(31, (uint)b),
            };
            Assert.That(results[at], Is.EqualTo(expected), $"{opcode} {a}, {b}");
        });
    }

    [TestCase("add.rn.f32"), TestCase("sub.rn.f32"), TestCase("mul.rn.f32"), TestCase("div.rn.f32"), TestCase("min.f32"), TestCase("max.f32")]
    public void FloatOperationsAreThoseOfIEEE(string opcode)
    {
        var results = Pairs(Floats, $"{opcode} %f2, %f0, %f1;", "%f0", "%f1", "%f2");
        Each(Floats, (a, b, at) =>
        {
            var expected = opcode switch
            {
                "add.rn.f32" => a + b,
                "sub.rn.f32" => a - b,
                "mul.rn.f32" => a * b,
                "div.rn.f32" => a / b,
                "min.f32" => float.MinNumber(a, b),
                _ => float.MaxNumber(a, b),
            };
            Assert.That(results[at], Is.EqualTo(expected), $"{opcode} {a}, {b}");
            Assert.That(float.IsNegative(results[at]), Is.EqualTo(float.IsNegative(expected)).Or.EqualTo(float.IsNaN(expected)), $"{opcode} {a}, {b}");
        });
    }

    [Test]
    public void FmaRoundsOnce()
    {
        var results = Pairs(Floats, "fma.rn.f32 %f2, %f0, %f1, 0fBF800000;", "%f0", "%f1", "%f2");
        Each(Floats, (a, b, at) => Assert.That(results[at], Is.EqualTo(MathF.FusedMultiplyAdd(a, b, -1))));
    }

    [TestCase("eq"), TestCase("ne"), TestCase("lt"), TestCase("le"), TestCase("gt"), TestCase("ge"), TestCase("equ"), TestCase("neu")]
    [TestCase("ltu"), TestCase("leu"), TestCase("gtu"), TestCase("geu"), TestCase("num"), TestCase("nan")]
    public void ComparisonsOfFloatsWithAndWithoutNaN(string comparison)
    {
        var results = Pairs(Floats, $"setp.{comparison}.f32 %p0, %f0, %f1; selp.f32 %f2, 0f3F800000, 0f00000000, %p0;", "%f0", "%f1", "%f2");
        Each(Floats, (a, b, at) =>
        {
            var unordered = float.IsNaN(a) || float.IsNaN(b);
            var holds = comparison switch
            {
                "num" => !unordered,
                "nan" => unordered,
                _ when unordered => comparison.EndsWith('u'),
                _ => comparison[..2] switch { "eq" => a == b, "ne" => a != b, "lt" => a < b, "le" => a <= b, "gt" => a > b, _ => a >= b },
            };
            Assert.That(results[at], Is.EqualTo(holds ? 1f : 0f), $"{comparison} {a}, {b}");
        });
    }

    [TestCase("and"), TestCase("or"), TestCase("xor")]
    public void AComparisonIsCombinedWithAPredicate(string combine)
    {
        var results = Pairs(
            Ints, $"setp.gt.s32 %p1, %r0, 5; setp.lt.{combine}.s32 %p0, %r0, %r1, %p1; selp.b32 %r2, 1, 0, %p0;", "%r0", "%r1", "%r2");
        Each(Ints, (a, b, at) =>
        {
            bool less = a < b, big = a > 5;
            Assert.That(results[at] == 1, Is.EqualTo(combine switch { "and" => less && big, "or" => less || big, _ => less != big }));
        });
    }

    [Test]
    public void ProductsAndSumsOf64Bits()
    {
        var results = Pairs(
            Ints,
            """
            mul.wide.s32 %l0, %r0, %r1;
            mad.wide.u32 %l1, %r0, %r1, %l0;
            shr.s64 %l2, %l0, 7;
            shl.b64 %l3, %l1, 3;
            xor.b64 %l4, %l2, %l3;
            mul.lo.s64 %l5, %l4, 3528531795;
            mul.hi.u64 %l6, %l5, -3;
            add.s64 %l7, %l6, %l5;
            shr.u64 %l8, %l7, 32;
            cvt.u32.u64 %r3, %l8;
            cvt.u32.u64 %r4, %l7;
            xor.b32 %r2, %r3, %r4;
            """, "%r0", "%r1", "%r2");
        Each(Ints, (a, b, at) =>
        {
            var l0 = (long)a * b;
            var l1 = ((ulong)(uint)a * (uint)b) + (ulong)l0;
            var l5 = (ulong)((l0 >> 7) ^ (long)(l1 << 3)) * 3528531795;
            var l7 = Math.BigMul(l5, unchecked((ulong)-3L), out _) + l5;
            Assert.That(results[at], Is.EqualTo((int)((uint)(l7 >> 32) ^ (uint)l7)));
        });
    }

    [TestCase("rni"), TestCase("rzi"), TestCase("rmi"), TestCase("rpi")]
    public void FloatsRoundToWholeNumbersAndSaturate(string rounding)
    {
        var results = Pairs(Floats, $"cvt.{rounding}.s32.f32 %r0, %f0; cvt.{rounding}.f32.f32 %f3, %f0; mov.b32 %f2, %r0;", "%f0", "%f1", "%f2");
        Each(Floats, (a, _, at) =>
        {
            double whole = rounding switch { "rni" => Math.Round(a), "rzi" => Math.Truncate(a), "rmi" => Math.Floor(a), _ => Math.Ceiling(a) };
            var expected = double.IsNaN(whole) ? 0 : (int)Math.Clamp(whole, int.MinValue, int.MaxValue);
            Assert.That(BitConverter.SingleToInt32Bits(results[at]), Is.EqualTo(expected), $"{a}");
        });
    }

    [Test]
    public void DoublesComputeAndConvert()
    {
        var results = Pairs(
            Floats,
            """
            cvt.f64.f32 %d0, %f0;
            cvt.f64.f32 %d1, %f1;
            fma.rn.f64 %d2, %d0, %d1, 0d3FF0000000000000;
            div.rn.f64 %d3, %d2, 0d4008000000000000;
            setp.lt.f64 %p0, %d3, 0d0000000000000000;
            neg.f64 %d4, %d3;
            selp.f64 %d5, %d4, %d3, %p0;
            sqrt.rn.f64 %d6, %d5;
            cvt.rn.f32.f64 %f2, %d6;
            """, "%f0", "%f1", "%f2");
        Each(Floats, (a, b, at) => Assert.That(results[at], Is.EqualTo((float)Math.Sqrt(Math.Abs(Math.FusedMultiplyAdd(a, b, 1) / 3)))));
    }

    [Test]
    public void BitsAreMovedCountedAndPermuted()
    {
        var results = Pairs(
            Ints,
            """
            bfe.u32 %r3, %r0, 5, 9;
            bfe.s32 %r4, %r1, 28, 9;
            bfi.b32 %r5, %r0, %r1, 12, 7;
            prmt.b32 %r6, %r0, %r1, 29974;
            shf.r.wrap.b32 %r7, %r0, %r1, 11;
            shf.l.clamp.b32 %r8, %r0, %r1, 40;
            popc.b32 %r9, %r0;
            clz.b32 %r10, %r1;
            brev.b32 %r11, %r0;
            mov.b64 %l0, {%r3, %r4};
            mov.b64 {%r12, %r13}, %l0;
            xor.b32 %r2, %r12, %r13;
            mad.lo.s32 %r2, %r2, 31, %r5;
            mad.lo.s32 %r2, %r2, 31, %r6;
            mad.lo.s32 %r2, %r2, 31, %r7;
            mad.lo.s32 %r2, %r2, 31, %r8;
            mad.lo.s32 %r2, %r2, 31, %r9;
            mad.lo.s32 %r2, %r2, 31, %r10;
            mad.lo.s32 %r2, %r2, 31, %r11;
            """, "%r0", "%r1", "%r2");
        Each(Ints, (a, b, at) =>
        {
            var both = ((ulong)(uint)b << 32) | (uint)a;
            var permuted = 0u;
            for (var k = 0; k < 4; k++)
            {
                // 29974 is 0x7516: bytes 6, 1, 5, 7 from the lowest up.
                permuted |= (uint)(byte)(both >> (8 * ((29974 >> (4 * k)) & 7))) << (8 * k);
            }
            var reversed = 0u;
            for (var k = 0; k < 32; k++)
            {
                reversed |= (((uint)a >> k) & 1) << (31 - k);
            }
            var expected = (int)(((uint)a >> 5) & 511) ^ (b >> 28);
            var field = 127 << 12;
            foreach (var next in (int[])
            [
                (b & ~field) | ((a << 12) & field), (int)permuted, (int)(both >> 11), a, System.Numerics.BitOperations.PopCount((uint)a),
                System.Numerics.BitOperations.LeadingZeroCount((uint)b), (int)reversed,
            ])
            {
                expected = (expected * 31) + next;
            }
            Assert.That(results[at], Is.EqualTo(expected), $"{a}, {b}");
        });
    }

    [Test]
    public void SmallIntegersAreCutAndExtended()
    {
        var results = Pairs(
            Ints,
            """
            cvt.u16.u32 %h0, %r0;
            cvt.u16.u32 %h1, %r1;
            add.s16 %h2, %h0, %h1;
            cvt.s32.s16 %r3, %h2;
            cvt.u32.u16 %r4, %h2;
            setp.lt.s16 %p0, %h0, %h1;
            selp.b32 %r5, %r3, %r4, %p0;
            cvt.s64.s32 %l0, %r5;
            cvt.s32.s8 %r6, %r0;
            cvt.u64.u32 %l1, %r6;
            add.s64 %l2, %l0, %l1;
            shr.u64 %l2, %l2, 4;
            cvt.u32.u64 %r2, %l2;
            """, "%r0", "%r1", "%r2");
        Each(Ints, (a, b, at) =>
        {
            var sum = (ushort)(a + b);
            var chosen = (short)a < (short)b ? (short)sum : (int)sum;
            Assert.That(results[at], Is.EqualTo((int)(((ulong)(long)chosen + (uint)(sbyte)a) >> 4)));
        });
    }

    [Test]
    public void WhatWouldNotRoundAsIEEESaysIsRefused()
    {
        Assert.That(
            () => Decoded("ex2.approx.f32 %f0, %f1;"),
            Throws.TypeOf<SimulationException>().With.Message.Contains("kernel k, kernels.ptx:").And.Message.Contains("ex2.approx.f32"));
        Assert.That(() => Decoded("mul.f32 %f0, %f1, %f2;"), Throws.TypeOf<SimulationException>().With.Message.Contains(".rn"));

        // A kernel is decoded when it is first asked for.
        static object? Decoded(string body)
        {
            using var machine = new PtxMachine(PtxMachine.Kernel(body));
            return machine.Executor.Parameters("k");
        }
    }

    /// <summary>Runs a body on all pairs of values, a block of 256 threads: a in one register, b in another, the result from a third.</summary>
    private static T[] Pairs<T>(T[] values, string body, string a, string b, string result)
        where T : unmanaged
    {
        var type = typeof(T) == typeof(float) ? "f32" : "u32";
        using var machine = new PtxMachine(PtxMachine.Kernel($"""
            shr.u32 %r18, %t, 4;
            and.b32 %r19, %t, 15;
            mul.wide.u32 %l17, %r18, 4;
            mul.wide.u32 %l18, %r19, 4;
            mul.wide.u32 %l19, %t, 4;
            add.s64 %l17, %l17, %a;
            add.s64 %l18, %l18, %a;
            add.s64 %l19, %l19, %b;
            ld.global.{type} {a}, [%l17];
            ld.global.nc.{type} {b}, [%l18];
            {body}
            st.global.{type} [%l19], {result};
            """));
        var from = machine.Upload<T>(values);
        var to = machine.Allocate(4 * values.Length * values.Length);
        _ = machine.Launch(1, values.Length * values.Length, from, to, 0);
        return PtxMachine.Read<T>(to, values.Length * values.Length);
    }

    private static void Each<T>(T[] values, Action<T, T, int> check)
    {
        for (var i = 0; i < values.Length; i++)
        {
            for (var j = 0; j < values.Length; j++)
            {
                check(values[i], values[j], (i * values.Length) + j);
            }
        }
    }
}
