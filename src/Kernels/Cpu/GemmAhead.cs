using System.Runtime.CompilerServices;

namespace TinyDpo.Kernels;

/// <summary>
/// What a tile to come will read. The tile before it asks the level 2 cache for it while it computes: <see cref="Lines"/> lines each
/// <see cref="Steps"/> steps, so few at a time that its own reads do not wait. The default asks for nothing.
/// </summary>
internal readonly unsafe struct GemmAhead(Real* first, nint stride, nint between)
{
    /// <summary>A request goes with so many steps of k.</summary>
    public const int Steps = Prefetch.Line;

    /// <summary>Lines of a request.</summary>
    public const int Lines = 4;

    /// <summary>The first line of the first request; null for none.</summary>
    public readonly Real* First = first;

    /// <summary>Elements from a request to the next.</summary>
    public readonly nint Stride = stride;

    /// <summary>Elements from a line of a request to its next.</summary>
    public readonly nint Between = between;

    /// <summary>
    /// Part number <paramref name="part"/> of a strip of an operand: <paramref name="count"/> rows of op(A) or columns of op(B) over
    /// <paramref name="depth"/> steps. The steps lie next to each other when <paramref name="alongSteps"/>, else <paramref name="ld"/> elements
    /// apart. The default once the parts before it are the whole strip.
    /// </summary>
    public static GemmAhead Part(Real* strip, nint ld, bool alongSteps, int count, int depth, int part)
    {
        if (alongSteps)
        {
            var row = Lines * part;
            return row >= count ? default : new GemmAhead(strip + (row * ld), Prefetch.Line, ld);
        }
        // So many parts reach through the depth.
        var (column, down) = Math.DivRem(part, Steps / Lines);
        var steps = Lines * Requests(depth);
        return column * Prefetch.Line >= count ? default : new GemmAhead(strip + (down * steps * ld) + (column * Prefetch.Line), Lines * ld, ld);
    }

    /// <summary>Requests of a tile of this depth (one less where its last step is an odd one that begins a request).</summary>
    public static int Requests(int depth) => (depth + Steps - 1) / Steps;
}

/// <summary>
/// A tile's requests while it computes, each <see cref="GemmAhead.Steps"/> steps: a row of C and of the addend, its own first, then those of the
/// tiles below; and some lines of what comes after it.
/// </summary>
internal unsafe struct GemmRequests(Real* c, nint ldc, nint toAddend, int lanes, Real* elsewhere, in GemmAhead ahead)
{
    private readonly nint stride = ahead.Stride;
    private readonly nint between = ahead.Between;

    // Where there is nothing to ask for, a line that is at hand: without a branch.
    private Real* next = ahead.First == null ? elsewhere : ahead.First;

    /// <summary>The rows of C are four vectors when <paramref name="wide"/>, else two.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Next(bool wide)
    {
        Prefetch.ToLevel1(c);
        Prefetch.ToLevel1(c + lanes);
        Prefetch.ToLevel1(c + toAddend);
        Prefetch.ToLevel1(c + toAddend + lanes);
        if (wide)
        {
            Prefetch.ToLevel1(c + (2 * lanes));
            Prefetch.ToLevel1(c + (3 * lanes));
            Prefetch.ToLevel1(c + toAddend + (2 * lanes));
            Prefetch.ToLevel1(c + toAddend + (3 * lanes));
        }
        c += ldc;
        Prefetch.ToLevel2(next);
        Prefetch.ToLevel2(next + between);
        Prefetch.ToLevel2(next + (2 * between));
        Prefetch.ToLevel2(next + (3 * between));
        next += stride;
    }

    /// <summary>The next step of a transposed A, bytes further on. Such strides are long, and no hardware foresees them: asks for the eighth after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Real* NextStep(Real* a, nint bytes)
    {
        a = (Real*)((byte*)a + bytes);
        Prefetch.ToLevel1((byte*)a + (8 * bytes));
        return a;
    }

    /// <summary>
    /// Where the steps end that go with one request: at most <see cref="GemmAhead.Steps"/> of them, each of <paramref name="width"/> elements of B.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Real* End(Real* b, int width, Real* last)
    {
        var end = b + (GemmAhead.Steps * width);
        return end < last ? end : last;
    }
}
