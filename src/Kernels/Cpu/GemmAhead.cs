using System.Runtime.CompilerServices;

namespace TinyDpo.Kernels;

/// <summary>
/// What a tile to come will read. The tile before it asks the level 2 cache for it while it computes: a pair of lines each
/// <see cref="StepsAPair"/> steps, so few at a time that its own reads do not wait. The default asks for nothing.
/// </summary>
internal readonly unsafe struct GemmAhead(Real* first, nint stride, nint second)
{
    /// <summary>A pair goes with so many steps of k.</summary>
    public const int StepsAPair = Prefetch.Line;

    /// <summary>The first line of the first pair; null for none.</summary>
    public readonly Real* First = first;

    /// <summary>Elements from a pair to the next.</summary>
    public readonly nint Stride = stride;

    /// <summary>Elements from the first line of a pair to its second.</summary>
    public readonly nint Second = second;

    /// <summary>
    /// Part number <paramref name="part"/> of a strip of an operand: <paramref name="count"/> rows of op(A) or columns of op(B) over
    /// <paramref name="depth"/> steps. The steps lie next to each other when <paramref name="alongSteps"/>, else <paramref name="ld"/> elements
    /// apart. The default once the parts before it are the whole strip.
    /// </summary>
    public static GemmAhead Part(Real* strip, nint ld, bool alongSteps, int count, int depth, int part)
    {
        if (alongSteps)
        {
            var row = 2 * part;
            return row >= count ? default : new GemmAhead(strip + (row * ld), Prefetch.Line, row + 1 < count ? ld : 0);
        }
        // A part asks for two lines each StepsAPair steps: StepsAPair / 2 parts reach through the depth.
        var (column, down) = Math.DivRem(part, StepsAPair / 2);
        var steps = 2 * Pairs(depth);
        return column * Prefetch.Line >= count ? default : new GemmAhead(strip + (down * steps * ld) + (column * Prefetch.Line), 2 * ld, ld);
    }

    /// <summary>Pairs of lines that a tile of this depth asks for (one less where its last step is an odd one that begins a pair).</summary>
    public static int Pairs(int depth) => (depth + StepsAPair - 1) / StepsAPair;
}

/// <summary>
/// A tile's requests while it computes, each <see cref="GemmAhead.StepsAPair"/> steps: a row of C and of the addend, its own first, then those of the
/// tiles below; and a pair of lines of what comes after it.
/// </summary>
internal unsafe struct GemmRequests(Real* c, nint ldc, nint toAddend, int lanes, Real* elsewhere, in GemmAhead ahead)
{
    private readonly nint stride = ahead.Stride;
    private readonly nint second = ahead.Second;

    // Where there is nothing to ask for, a line that is at hand: without a branch.
    private Real* next = ahead.First == null ? elsewhere : ahead.First;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Next()
    {
        Prefetch.ToLevel1(c);
        Prefetch.ToLevel1(c + lanes);
        Prefetch.ToLevel1(c + toAddend);
        Prefetch.ToLevel1(c + toAddend + lanes);
        c += ldc;
        Prefetch.ToLevel2(next);
        Prefetch.ToLevel2(next + second);
        next += stride;
    }

    /// <summary>
    /// Where the steps end that go with one request: at most <see cref="GemmAhead.StepsAPair"/> of them, each of <paramref name="width"/> elements of B.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Real* End(Real* b, int width, Real* last)
    {
        var end = b + (GemmAhead.StepsAPair * width);
        return end < last ? end : last;
    }
}
