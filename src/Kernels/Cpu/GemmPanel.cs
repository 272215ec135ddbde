using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace TinyDpo.Kernels;

/// <summary>Packs a strip of a matrix as a panel [depth, width]: what one micro-kernel reads in turn lies in turn in memory.</summary>
internal static unsafe class GemmPanel
{
    /// <summary>
    /// panel[p, j] = source[p * ld + j], or source[j * ld + p] when <paramref name="transpose"/>, for j below <paramref name="valid"/>;
    /// 0 for j from there to width.
    /// </summary>
    public static void Pack(bool transpose, Real* source, nint ld, int depth, int valid, int width, Real* panel)
    {
        if (transpose)
        {
            Transpose(source, ld, depth, valid, width, panel);
        }
        else
        {
            Copy(source, ld, depth, valid, width, panel);
        }
        for (var p = 0; valid < width && p < depth; p++)
        {
            new Span<Real>(panel + ((nint)p * width) + valid, width - valid).Clear();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Copy(Real* source, nint ld, int depth, int valid, int width, Real* panel)
    {
        for (var p = 0; p < depth; p++)
        {
            CopyRow(source, valid, panel);
            source += ld;
            panel += width;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyRow(Real* source, int count, Real* target)
    {
        var j = 0;
        for (; j <= count - Vector512<Real>.Count; j += Vector512<Real>.Count)
        {
            Vector512.Load(source + j).Store(target + j);
        }
        for (; j <= count - Vector256<Real>.Count; j += Vector256<Real>.Count)
        {
            Vector256.Load(source + j).Store(target + j);
        }
        if (j < count)
        {
            VectorRow.Store(VectorRow.Load(source + j, count - j), target + j, count - j);
        }
    }

    /// <summary>
    /// Panels [depth, stride] one behind the other: panel j / width holds source[p * ld + j] at row p, column j % width, for j below
    /// <paramref name="valid"/>; the rest is anything. Row by row of the source: where its rows lie pages apart, each page is gone to once.
    /// </summary>
    public static void CopyToTiles(Real* source, nint ld, int depth, int valid, int width, int stride, Real* panels)
    {
        var size = (nint)depth * stride;
        for (var p = 0; p < depth; p++, source += ld, panels += stride)
        {
            // Whole vectors, though a tile is narrower; not the last tiles, where that would pass the end of the row.
            var panel = panels;
            var j = 0;
            for (; j <= valid - stride; j += width, panel += size)
            {
                Prefetch.ToLevel1(source + (24 * ld) + j);
                for (var i = 0; i < stride; i += Vector256<Real>.Count)
                {
                    Vector256.Load(source + j + i).Store(panel + i);
                }
            }
            for (; j < valid; j += width, panel += size)
            {
                CopyRow(source + j, Math.Min(width, valid - j), panel);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose(Real* source, nint ld, int depth, int valid, int width, Real* panel)
    {
        var side = Vector256<Real>.Count;
        var inSquares = Avx.IsSupported ? valid - (valid % side) : 0;
        var p = 0;
        for (; p <= depth - side; p += side)
        {
            for (var j = 0; j < inSquares; j += side)
            {
                TransposeSquare(source + (j * ld) + p, ld, panel + ((nint)p * width) + j, width);
            }
        }
        TransposePart(source, ld, p, depth, 0, inSquares, width, panel);
        TransposePart(source, ld, 0, depth, inSquares, valid, width, panel);
    }

    private static void TransposePart(Real* source, nint ld, int fromP, int toP, int fromJ, int toJ, int width, Real* panel)
    {
        for (var j = fromJ; j < toJ; j++)
        {
            for (var p = fromP; p < toP; p++)
            {
                panel[((nint)p * width) + j] = source[(j * ld) + p];
            }
        }
    }

#if DOUBLE
    /// <summary>Transposes a square of the side of a Vector256: 4 x 4 doubles. Needs Avx.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TransposeSquare(Real* source, nint ld, Real* target, nint targetLd)
    {
        var r0 = Vector256.Load(source);
        var r1 = Vector256.Load(source + ld);
        var r2 = Vector256.Load(source + (2 * ld));
        var r3 = Vector256.Load(source + (3 * ld));
        var t0 = Avx.UnpackLow(r0, r1);
        var t1 = Avx.UnpackHigh(r0, r1);
        var t2 = Avx.UnpackLow(r2, r3);
        var t3 = Avx.UnpackHigh(r2, r3);
        Avx.Permute2x128(t0, t2, 0x20).Store(target);
        Avx.Permute2x128(t1, t3, 0x20).Store(target + targetLd);
        Avx.Permute2x128(t0, t2, 0x31).Store(target + (2 * targetLd));
        Avx.Permute2x128(t1, t3, 0x31).Store(target + (3 * targetLd));
    }
#else
    /// <summary>Transposes a square of the side of a Vector256: 8 x 8 floats. Needs Avx.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TransposeSquare(Real* source, nint ld, Real* target, nint targetLd)
    {
        var lower = source + (4 * ld);
        var (r0, r1, r2, r3) = TransposeFours(source, lower, ld);
        var (r4, r5, r6, r7) = TransposeFours(source + 4, lower + 4, ld);
        r0.Store(target);
        r1.Store(target + targetLd);
        r2.Store(target + (2 * targetLd));
        r3.Store(target + (3 * targetLd));
        target += 4 * targetLd;
        r4.Store(target);
        r5.Store(target + targetLd);
        r6.Store(target + (2 * targetLd));
        r7.Store(target + (3 * targetLd));
    }

    /// <summary>Columns 0..3 of 8 rows (4 from upper, 4 from lower) as 4 vectors of 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<Real> C0, Vector256<Real> C1, Vector256<Real> C2, Vector256<Real> C3) TransposeFours(
        Real* upper, Real* lower, nint ld)
    {
        var r0 = Vector256.Create(Vector128.Load(upper), Vector128.Load(lower));
        var r1 = Vector256.Create(Vector128.Load(upper + ld), Vector128.Load(lower + ld));
        var r2 = Vector256.Create(Vector128.Load(upper + (2 * ld)), Vector128.Load(lower + (2 * ld)));
        var r3 = Vector256.Create(Vector128.Load(upper + (3 * ld)), Vector128.Load(lower + (3 * ld)));
        var t0 = Avx.UnpackLow(r0, r1);
        var t1 = Avx.UnpackHigh(r0, r1);
        var t2 = Avx.UnpackLow(r2, r3);
        var t3 = Avx.UnpackHigh(r2, r3);
        return (Avx.Shuffle(t0, t2, 0x44), Avx.Shuffle(t0, t2, 0xEE), Avx.Shuffle(t1, t3, 0x44), Avx.Shuffle(t1, t3, 0xEE));
    }
#endif
}
