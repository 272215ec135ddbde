namespace TinyDpo.Simulator;

// setp and cvt: a comparison or a rounding for every type.
internal static unsafe partial class OperationTable
{
    private static void AddComparisons(Dictionary<string, Operation> t)
    {
        AddComparison<int, Equal<int>>(t, "eq.s32 eq.b32 eq.u32", "prr");
        AddComparison<int, Opposite<int, Equal<int>>>(t, "ne.s32 ne.b32 ne.u32", "prr");
        AddOrder<int>(t, "lt.s32", "le.s32", "gt.s32", "ge.s32", "prr");
        AddOrder<uint>(t, "lt.u32 lo.u32", "le.u32 ls.u32", "gt.u32 hi.u32", "ge.u32 hs.u32", "prr");
        AddComparison<long, Equal<long>>(t, "eq.s64 eq.b64 eq.u64", "pll");
        AddComparison<long, Opposite<long, Equal<long>>>(t, "ne.s64 ne.b64 ne.u64", "pll");
        AddOrder<long>(t, "lt.s64", "le.s64", "gt.s64", "ge.s64", "pll");
        AddOrder<ulong>(t, "lt.u64 lo.u64", "le.u64 ls.u64", "gt.u64 hi.u64", "ge.u64 hs.u64", "pll");
        AddComparison<int, Equal<int>>(t, "eq.s16 eq.b16 eq.u16", "phh");
        AddComparison<int, Opposite<int, Equal<int>>>(t, "ne.s16 ne.b16 ne.u16", "phh");
        AddOrder<uint>(t, "lt.u16 lo.u16", "le.u16 ls.u16", "gt.u16 hi.u16", "ge.u16 hs.u16", "phh");
        AddComparison<int, Signed16<Less<int>>>(t, "lt.s16", "phh");
        AddComparison<int, Signed16<LessOrEqual<int>>>(t, "le.s16", "phh");
        AddComparison<int, Signed16<Greater<int>>>(t, "gt.s16", "phh");
        AddComparison<int, Signed16<GreaterOrEqual<int>>>(t, "ge.s16", "phh");
        AddFloat<float>(t, "f32", "prr");
        AddFloat<double>(t, "f64", "pll");
    }

    private static void AddFloat<T>(Dictionary<string, Operation> t, string type, string operands)
        where T : unmanaged
    {
        AddComparison<T, Equal<T>>(t, $"eq.{type}", operands);
        AddComparison<T, LessOrGreater<T>>(t, $"ne.{type}", operands);
        AddOrder<T>(t, $"lt.{type}", $"le.{type}", $"gt.{type}", $"ge.{type}", operands);
        AddComparison<T, Opposite<T, LessOrGreater<T>>>(t, $"equ.{type}", operands);
        AddComparison<T, Opposite<T, Equal<T>>>(t, $"neu.{type}", operands);
        AddComparison<T, Opposite<T, GreaterOrEqual<T>>>(t, $"ltu.{type}", operands);
        AddComparison<T, Opposite<T, Greater<T>>>(t, $"leu.{type}", operands);
        AddComparison<T, Opposite<T, LessOrEqual<T>>>(t, $"gtu.{type}", operands);
        AddComparison<T, Opposite<T, Less<T>>>(t, $"geu.{type}", operands);
        AddComparison<T, Ordered<T>>(t, $"num.{type}", operands);
        AddComparison<T, Opposite<T, Ordered<T>>>(t, $"nan.{type}", operands);
    }

    private static void AddOrder<T>(Dictionary<string, Operation> t, string less, string lessOrEqual, string greater, string greaterOrEqual, string operands)
        where T : unmanaged
    {
        AddComparison<T, Less<T>>(t, less, operands);
        AddComparison<T, LessOrEqual<T>>(t, lessOrEqual, operands);
        AddComparison<T, Greater<T>>(t, greater, operands);
        AddComparison<T, GreaterOrEqual<T>>(t, greaterOrEqual, operands);
    }

    /// <param name="t">The table.</param>
    /// <param name="names">Comparison and type: lt.s32. Each stands alone and with a predicate to combine.</param>
    /// <param name="operands">As in <see cref="Operation"/>.</param>
    private static void AddComparison<T, TOp>(Dictionary<string, Operation> t, string names, string operands)
        where T : unmanaged
        where TOp : IComparison<T>
    {
        var kind = operands[1] == 'l' && typeof(T) == typeof(double) ? InstructionClass.Double
            : typeof(T) == typeof(float) ? InstructionClass.Float : InstructionClass.Integer;
        foreach (var name in names.Split(' '))
        {
            var (comparison, type) = (name.Split('.')[0], name.Split('.')[1]);
            Add(t, $"setp.{name}", operands, kind, &Lanes.Compare<T, TOp>);
            Add(t, $"setp.{comparison}.and.{type}", operands + "p", kind, &Lanes.Compare<T, TOp, BothHold>);
            Add(t, $"setp.{comparison}.or.{type}", operands + "p", kind, &Lanes.Compare<T, TOp, EitherHolds>);
            Add(t, $"setp.{comparison}.xor.{type}", operands + "p", kind, &Lanes.Compare<T, TOp, OneHolds>);
        }
    }

    private static void AddConversions(Dictionary<string, Operation> t)
    {
        const InstructionClass Class = InstructionClass.Convert;
        Add(t, "cvt.s64.s32 cvt.u64.s32", "lr", Class, &Conversions.SignExtend);
        Add(t, "cvt.u64.u32 cvt.s64.u32", "lr", Class, &Conversions.ZeroExtend);
        Add(t, "cvt.rn.f32.s32", "rr", Class, &Conversions.Float<float, int, ToNearest>);
        Add(t, "cvt.rn.f32.u32", "rr", Class, &Conversions.Float<float, uint, ToNearest>);
        Add(t, "cvt.rn.f32.s64", "rl", Class, &Conversions.Float<float, long, ToNearest>);
        Add(t, "cvt.rn.f32.u64", "rl", Class, &Conversions.Float<float, ulong, ToNearest>);
        Add(t, "cvt.rn.f32.f64", "rl", Class, &Conversions.Float<float, double, ToNearest>);
        Add(t, "cvt.rn.f64.s32", "lr", Class, &Conversions.Float<double, int, ToNearest>);
        Add(t, "cvt.rn.f64.u32", "lr", Class, &Conversions.Float<double, uint, ToNearest>);
        Add(t, "cvt.rn.f64.s64", "ll", Class, &Conversions.Float<double, long, ToNearest>);
        Add(t, "cvt.rn.f64.u64", "ll", Class, &Conversions.Float<double, ulong, ToNearest>);
        Add(t, "cvt.f64.f32", "lr", Class, &Conversions.Float<double, float, ToNearest>);
        Add(t, "cvt.rni.f32.f32", "rr", Class, &Lanes.Unary<float, Round>);
        Add(t, "cvt.rmi.f32.f32", "rr", Class, &Lanes.Unary<float, Floor>);
        Add(t, "cvt.rpi.f32.f32", "rr", Class, &Lanes.Unary<float, Ceiling>);
        Add(t, "cvt.rzi.f32.f32", "rr", Class, &Lanes.Unary<float, Truncate>);
        Add(t, "cvt.rni.f64.f64", "ll", Class, &Lanes.Unary<double, Round>);
        Add(t, "cvt.rmi.f64.f64", "ll", Class, &Lanes.Unary<double, Floor>);
        Add(t, "cvt.rpi.f64.f64", "ll", Class, &Lanes.Unary<double, Ceiling>);
        Add(t, "cvt.rzi.f64.f64", "ll", Class, &Lanes.Unary<double, Truncate>);
        AddToInteger<Nearest>(t, "rni");
        AddToInteger<TowardZero>(t, "rzi");
        AddToInteger<Down>(t, "rmi");
        AddToInteger<Up>(t, "rpi");
    }

    private static void AddToInteger<TRound>(Dictionary<string, Operation> t, string rounding)
        where TRound : IWhole
    {
        const InstructionClass Class = InstructionClass.Convert;
        Add(t, $"cvt.{rounding}.s32.f32", "rr", Class, &Conversions.Float<int, float, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.u32.f32", "rr", Class, &Conversions.Float<uint, float, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.s64.f32", "lr", Class, &Conversions.Float<long, float, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.u64.f32", "lr", Class, &Conversions.Float<ulong, float, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.s32.f64", "rl", Class, &Conversions.Float<int, double, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.u32.f64", "rl", Class, &Conversions.Float<uint, double, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.s64.f64", "ll", Class, &Conversions.Float<long, double, ToInteger<TRound>>);
        Add(t, $"cvt.{rounding}.u64.f64", "ll", Class, &Conversions.Float<ulong, double, ToInteger<TRound>>);
    }
}
