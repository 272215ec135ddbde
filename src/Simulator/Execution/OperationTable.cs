using System.Collections.Frozen;

namespace TinyDpo.Simulator;

/// <summary>How an opcode is executed.</summary>
/// <param name="Handler">Address of its handler.</param>
/// <param name="Operands">
/// A letter an operand, the destination first: p predicate, h 16, r 32, l 64 bits. A blank ends the first group and is not an operand.
/// </param>
/// <param name="Class">What the counters call it.</param>
internal readonly record struct Operation(nint Handler, string Operands, InstructionClass Class);

/// <summary>Opcodes that need no more than a handler and its operands.</summary>
internal static unsafe partial class OperationTable
{
    private static readonly FrozenDictionary<string, Operation> Known = Build();

    /// <summary>The operation; null if the opcode is not known here.</summary>
    public static Operation? Find(string opcode) => Known.TryGetValue(opcode, out var operation) ? operation : null;

    private static FrozenDictionary<string, Operation> Build()
    {
        var table = new Dictionary<string, Operation>();
        AddIntegers(table);
        AddFloats(table);
        AddComparisons(table);
        AddConversions(table);
        return table.ToFrozenDictionary();
    }

    private static void Add(
        Dictionary<string, Operation> table, string opcodes, string operands, InstructionClass kind, delegate*<Warp, Instruction*, void> handler)
    {
        foreach (var opcode in opcodes.Split(' '))
        {
            table.Add(opcode, new Operation((nint)handler, operands, kind));
        }
    }

    private static void AddIntegers(Dictionary<string, Operation> t)
    {
        const InstructionClass Class = InstructionClass.Integer;
        Add(t, "add.s32 add.u32", "rrr", Class, &Lanes.Binary<uint, Sum<uint>>);
        Add(t, "add.s64 add.u64", "lll", Class, &Lanes.Binary<ulong, Sum<ulong>>);
        Add(t, "sub.s32 sub.u32", "rrr", Class, &Lanes.Binary<uint, Difference<uint>>);
        Add(t, "sub.s64 sub.u64", "lll", Class, &Lanes.Binary<ulong, Difference<ulong>>);
        Add(t, "mul.lo.s32 mul.lo.u32", "rrr", Class, &Lanes.Binary<uint, Product<uint>>);
        Add(t, "mul.lo.s64 mul.lo.u64", "lll", Class, &Lanes.Binary<ulong, Product<ulong>>);
        Add(t, "mad.lo.s32 mad.lo.u32", "rrrr", Class, &Lanes.Ternary<uint, MultiplyAdd<uint>>);
        Add(t, "mad.lo.s64 mad.lo.u64", "llll", Class, &Lanes.Ternary<ulong, MultiplyAdd<ulong>>);
        Add(t, "mul.wide.s32", "lrr", Class, &Conversions.MultiplyWideSigned);
        Add(t, "mul.wide.u32", "lrr", Class, &Conversions.MultiplyWideUnsigned);
        Add(t, "mad.wide.s32", "lrrl", Class, &Lanes.Scalar<ulong, uint, uint, ulong, MultiplyAddWideSigned>);
        Add(t, "mad.wide.u32", "lrrl", Class, &Lanes.Scalar<ulong, uint, uint, ulong, MultiplyAddWideUnsigned>);
        Add(t, "mul.hi.s32", "rrr", Class, &Lanes.Scalar<uint, uint, uint, uint, MultiplyHighSigned>);
        Add(t, "mul.hi.u32", "rrr", Class, &Lanes.Scalar<uint, uint, uint, uint, MultiplyHighUnsigned>);
        Add(t, "mul.hi.s64", "lll", Class, &Lanes.Scalar<ulong, ulong, ulong, ulong, MultiplyHighSigned64>);
        Add(t, "mul.hi.u64", "lll", Class, &Lanes.Scalar<ulong, ulong, ulong, ulong, MultiplyHighUnsigned64>);
        Add(t, "mad.hi.s32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, MultiplyAddHighSigned>);
        Add(t, "mad.hi.u32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, MultiplyAddHighUnsigned>);
        Add(t, "div.s32", "rrr", InstructionClass.Special, &Lanes.Scalar<uint, uint, uint, uint, DivideSigned>);
        Add(t, "div.u32", "rrr", InstructionClass.Special, &Lanes.Scalar<uint, uint, uint, uint, DivideUnsigned>);
        Add(t, "rem.s32", "rrr", InstructionClass.Special, &Lanes.Scalar<uint, uint, uint, uint, RemainderSigned>);
        Add(t, "rem.u32", "rrr", InstructionClass.Special, &Lanes.Scalar<uint, uint, uint, uint, RemainderUnsigned>);
        Add(t, "div.s64", "lll", InstructionClass.Special, &Lanes.Scalar<ulong, ulong, ulong, ulong, DivideSigned64>);
        Add(t, "div.u64", "lll", InstructionClass.Special, &Lanes.Scalar<ulong, ulong, ulong, ulong, DivideUnsigned>);
        Add(t, "rem.s64", "lll", InstructionClass.Special, &Lanes.Scalar<ulong, ulong, ulong, ulong, RemainderSigned64>);
        Add(t, "rem.u64", "lll", InstructionClass.Special, &Lanes.Scalar<ulong, ulong, ulong, ulong, RemainderUnsigned>);
        Add(t, "min.s32", "rrr", Class, &Lanes.Binary<int, Smaller<int>>);
        Add(t, "min.u32", "rrr", Class, &Lanes.Binary<uint, Smaller<uint>>);
        Add(t, "min.s64", "lll", Class, &Lanes.Binary<long, Smaller<long>>);
        Add(t, "min.u64", "lll", Class, &Lanes.Binary<ulong, Smaller<ulong>>);
        Add(t, "max.s32", "rrr", Class, &Lanes.Binary<int, Larger<int>>);
        Add(t, "max.u32", "rrr", Class, &Lanes.Binary<uint, Larger<uint>>);
        Add(t, "max.s64", "lll", Class, &Lanes.Binary<long, Larger<long>>);
        Add(t, "max.u64", "lll", Class, &Lanes.Binary<ulong, Larger<ulong>>);
        Add(t, "abs.s32", "rr", Class, &Lanes.Unary<int, Magnitude<int>>);
        Add(t, "abs.s64", "ll", Class, &Lanes.Unary<long, Magnitude<long>>);
        Add(t, "neg.s32", "rr", Class, &Lanes.Unary<int, Negative<int>>);
        Add(t, "neg.s64", "ll", Class, &Lanes.Unary<long, Negative<long>>);
        Add(t, "and.b32", "rrr", Class, &Lanes.Binary<uint, And<uint>>);
        Add(t, "and.b64", "lll", Class, &Lanes.Binary<ulong, And<ulong>>);
        Add(t, "and.b16", "hhh", Class, &Lanes.Binary<uint, And<uint>>);
        Add(t, "and.pred", "ppp", Class, &Lanes.Predicate<BothHold>);
        Add(t, "or.b32", "rrr", Class, &Lanes.Binary<uint, Or<uint>>);
        Add(t, "or.b64", "lll", Class, &Lanes.Binary<ulong, Or<ulong>>);
        Add(t, "or.b16", "hhh", Class, &Lanes.Binary<uint, Or<uint>>);
        Add(t, "or.pred", "ppp", Class, &Lanes.Predicate<EitherHolds>);
        Add(t, "xor.b32", "rrr", Class, &Lanes.Binary<uint, Xor<uint>>);
        Add(t, "xor.b64", "lll", Class, &Lanes.Binary<ulong, Xor<ulong>>);
        Add(t, "xor.b16", "hhh", Class, &Lanes.Binary<uint, Xor<uint>>);
        Add(t, "xor.pred", "ppp", Class, &Lanes.Predicate<OneHolds>);
        Add(t, "not.b32", "rr", Class, &Lanes.Unary<uint, Not<uint>>);
        Add(t, "not.b64", "ll", Class, &Lanes.Unary<ulong, Not<ulong>>);
        Add(t, "not.b16", "hh", Class, &Lanes.Scalar<uint, uint, uint, uint, Not16>);
        Add(t, "not.pred", "pp", Class, &Lanes.Predicate<FirstFails>);
        Add(t, "mov.pred", "pp", Class, &Lanes.Predicate<FirstHolds>);
        Add(t, "shl.b32", "rrr", Class, &Lanes.Binary<uint, ShiftLeft>);
        Add(t, "shr.u32 shr.b32", "rrr", Class, &Lanes.Binary<uint, ShiftRight>);
        Add(t, "shr.s32", "rrr", Class, &Lanes.Binary<int, ShiftRight>);
        Add(t, "shl.b64", "llr", Class, &Lanes.Scalar<ulong, ulong, uint, uint, ShiftLeft64>);
        Add(t, "shr.u64 shr.b64", "llr", Class, &Lanes.Scalar<ulong, ulong, uint, uint, ShiftRight64>);
        Add(t, "shr.s64", "llr", Class, &Lanes.Scalar<ulong, ulong, uint, uint, ShiftRightSigned64>);
        Add(t, "shl.b16", "hhr", Class, &Lanes.Scalar<uint, uint, uint, uint, ShiftLeft16>);
        Add(t, "shr.u16 shr.b16", "hhr", Class, &Lanes.Scalar<uint, uint, uint, uint, ShiftRight16>);
        Add(t, "shr.s16", "hhr", Class, &Lanes.Scalar<uint, uint, uint, uint, ShiftRightSigned16>);
        Add(t, "add.s16 add.u16", "hhh", Class, &Lanes.Scalar<uint, uint, uint, uint, Add16>);
        Add(t, "sub.s16 sub.u16", "hhh", Class, &Lanes.Scalar<uint, uint, uint, uint, Subtract16>);
        Add(t, "mul.lo.s16 mul.lo.u16", "hhh", Class, &Lanes.Scalar<uint, uint, uint, uint, MultiplyLow16>);
        Add(t, "mad.lo.s16 mad.lo.u16", "hhhh", Class, &Lanes.Scalar<uint, uint, uint, uint, MultiplyAddLow16>);
        Add(t, "neg.s16", "hh", Class, &Lanes.Scalar<uint, uint, uint, uint, Negate16>);
        Add(t, "bfe.u32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, ExtractUnsigned>);
        Add(t, "bfe.s32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, ExtractSigned>);
        Add(t, "bfi.b32", "rrrrr", Class, &Lanes.InsertBits);
        Add(t, "prmt.b32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, Permute>);
        Add(t, "shf.l.clamp.b32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, FunnelLeftClamp>);
        Add(t, "shf.l.wrap.b32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, FunnelLeftWrap>);
        Add(t, "shf.r.clamp.b32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, FunnelRightClamp>);
        Add(t, "shf.r.wrap.b32", "rrrr", Class, &Lanes.Scalar<uint, uint, uint, uint, FunnelRightWrap>);
        Add(t, "popc.b32", "rr", Class, &Lanes.Scalar<uint, uint, uint, uint, CountBits>);
        Add(t, "popc.b64", "rl", Class, &Lanes.Scalar<uint, ulong, uint, uint, CountBits>);
        Add(t, "clz.b32", "rr", Class, &Lanes.Scalar<uint, uint, uint, uint, LeadingZeros>);
        Add(t, "clz.b64", "rl", Class, &Lanes.Scalar<uint, ulong, uint, uint, LeadingZeros64>);
        Add(t, "brev.b32", "rr", Class, &Lanes.Scalar<uint, uint, uint, uint, Reverse>);
        Add(t, "selp.b32 selp.s32 selp.u32 selp.f32", "rrrp", Class, &Lanes.Select<uint>);
        Add(t, "selp.b64 selp.s64 selp.u64 selp.f64", "lllp", Class, &Lanes.Select<ulong>);
        Add(t, "selp.b16 selp.s16 selp.u16", "hhhp", Class, &Lanes.Select<uint>);
        Add(t, "mov.b32 mov.u32 mov.s32 mov.f32", "rr", Class, &Lanes.Move<uint>);
        Add(t, "mov.b64 mov.u64 mov.s64 mov.f64", "ll", Class, &Lanes.Move<ulong>);
        Add(t, "mov.b16 mov.u16 mov.s16", "hh", Class, &Lanes.Move<uint>);
    }

    // Without .rn the driver may fuse a product and a sum, so that form is not here; nor is anything .approx or .ftz.
    private static void AddFloats(Dictionary<string, Operation> t)
    {
        const InstructionClass Single = InstructionClass.Float;
        const InstructionClass Double = InstructionClass.Double;
        const InstructionClass Special = InstructionClass.Special;
        Add(t, "add.rn.f32", "rrr", Single, &Lanes.Binary<float, Sum<float>>);
        Add(t, "sub.rn.f32", "rrr", Single, &Lanes.Binary<float, Difference<float>>);
        Add(t, "mul.rn.f32", "rrr", Single, &Lanes.Binary<float, Product<float>>);
        Add(t, "fma.rn.f32", "rrrr", Single, &Lanes.Ternary<float, FusedMultiplyAdd>);
        Add(t, "min.f32", "rrr", Single, &Lanes.Binary<float, Smaller<float>>);
        Add(t, "max.f32", "rrr", Single, &Lanes.Binary<float, Larger<float>>);
        Add(t, "abs.f32", "rr", Single, &Lanes.Unary<float, Magnitude<float>>);
        Add(t, "neg.f32", "rr", Single, &Lanes.Unary<float, Negative<float>>);
        Add(t, "div.rn.f32", "rrr", Special, &Lanes.Binary<float, Quotient<float>>);
        Add(t, "rcp.rn.f32", "rr", Special, &Lanes.Unary<float, Reciprocal>);
        Add(t, "sqrt.rn.f32", "rr", Special, &Lanes.Unary<float, SquareRoot<float>>);
        Add(t, "add.rn.f64", "lll", Double, &Lanes.Binary<double, Sum<double>>);
        Add(t, "sub.rn.f64", "lll", Double, &Lanes.Binary<double, Difference<double>>);
        Add(t, "mul.rn.f64", "lll", Double, &Lanes.Binary<double, Product<double>>);
        Add(t, "fma.rn.f64", "llll", Double, &Lanes.Ternary<double, FusedMultiplyAdd>);
        Add(t, "min.f64", "lll", Double, &Lanes.Binary<double, Smaller<double>>);
        Add(t, "max.f64", "lll", Double, &Lanes.Binary<double, Larger<double>>);
        Add(t, "abs.f64", "ll", Double, &Lanes.Unary<double, Magnitude<double>>);
        Add(t, "neg.f64", "ll", Double, &Lanes.Unary<double, Negative<double>>);
        Add(t, "div.rn.f64", "lll", Special, &Lanes.Binary<double, Quotient<double>>);
        Add(t, "rcp.rn.f64", "ll", Special, &Lanes.Unary<double, Reciprocal>);
        Add(t, "sqrt.rn.f64", "ll", Special, &Lanes.Unary<double, SquareRoot<double>>);
    }
}
