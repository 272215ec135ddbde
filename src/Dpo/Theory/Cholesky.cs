using System.Numerics;
using System.Runtime.InteropServices;

namespace TinyDpo.Dpo;

/// <summary>Symmetric matrices that are positive definite, or nearly: [n, n] row by row.</summary>
internal static class Cholesky
{
    /// <summary>Solves A x = b by A = L L^T.</summary>
    /// <param name="a">[n, n], of which the lower triangle is read; L takes its place.</param>
    /// <param name="b">[n]; x takes its place.</param>
    /// <returns>False where A is not positive definite.</returns>
    public static bool TrySolve(double[] a, double[] b)
    {
        var n = b.Length;
        for (var i = 0; i < n; i++)
        {
            var row = a.AsSpan(i * n, i + 1);
            for (var j = 0; j < i; j++)
            {
                row[j] = (row[j] - Dot(row[..j], a.AsSpan(j * n, j))) / a[(j * n) + j];
            }
            var pivot = row[i] - Dot(row[..i], row[..i]);
            if (!(pivot > 0))
            {
                return false;
            }
            row[i] = Math.Sqrt(pivot);
        }
        for (var i = 0; i < n; i++)
        {
            b[i] = (b[i] - Dot(a.AsSpan(i * n, i), b.AsSpan(0, i))) / a[(i * n) + i];
        }
        for (var i = n - 1; i >= 0; i--)
        {
            b[i] /= a[(i * n) + i];
            for (var j = 0; j < i; j++)
            {
                b[j] -= a[(i * n) + j] * b[i];
            }
        }
        return true;
    }

    /// <summary>
    /// The rank of a positive semidefinite A: the pivots above <paramref name="tolerance"/> times the largest, taken in falling order.
    /// A is overwritten.
    /// </summary>
    public static int Rank(double[] a, int n, double tolerance)
    {
        var rest = Enumerable.Range(0, n).ToList();
        var least = tolerance * rest.Max(i => a[(i * n) + i]);
        for (var rank = 0; rank < n; rank++)
        {
            var k = rest.MaxBy(i => a[(i * n) + i]);
            var pivot = a[(k * n) + k];
            if (!(pivot > least))
            {
                return rank;
            }
            rest.Remove(k);
            foreach (var i in rest)
            {
                Subtract(a.AsSpan(i * n, n), a[(i * n) + k] / pivot, a.AsSpan(k * n, n));
            }
        }
        return n;
    }

    private static double Dot(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        var vx = MemoryMarshal.Cast<double, Vector<double>>(x);
        var vy = MemoryMarshal.Cast<double, Vector<double>>(y);
        var sums = Vector<double>.Zero;
        for (var i = 0; i < vx.Length; i++)
        {
            sums += vx[i] * vy[i];
        }
        var sum = Vector.Sum(sums);
        for (var i = vx.Length * Vector<double>.Count; i < x.Length; i++)
        {
            sum += x[i] * y[i];
        }
        return sum;
    }

    private static void Subtract(Span<double> y, double factor, ReadOnlySpan<double> x)
    {
        var vy = MemoryMarshal.Cast<double, Vector<double>>(y);
        var vx = MemoryMarshal.Cast<double, Vector<double>>(x);
        for (var i = 0; i < vy.Length; i++)
        {
            vy[i] -= factor * vx[i];
        }
        for (var i = vy.Length * Vector<double>.Count; i < y.Length; i++)
        {
            y[i] -= factor * x[i];
        }
    }
}
