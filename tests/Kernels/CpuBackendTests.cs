using TinyDpo.Kernels;

namespace TinyDpo.Tests;

/// <summary>
/// Each kernel of the CPU backend against the same in plain double loops, at sizes around those of vectors and blocks, on poisoned memory,
/// with 3 threads.
/// </summary>
public class CpuBackendTests
{
    private static readonly double s_ulp = sizeof(Real) == 4 ? 1.1920929e-7 : 2.220446e-16;
    private static readonly int[] s_lengths = [0, 1, 7, 8, 9, 31, 64, 65, 1000, 4097];
    private static readonly (int Rows, int Columns)[] s_sizes = [(0, 5), (1, 1), (2, 7), (3, 8), (5, 9), (4, 63), (9, 65), (70, 130), (300, 17)];

    private CpuBackend _backend = null!;
    private MemoryScope _scope = null!;

    [SetUp]
    public void Open()
    {
        _backend = PoisonedBackend.Create(threads: 3);
        _scope = new MemoryScope(_backend);
    }

    [TearDown]
    public void Close()
    {
        _scope.Dispose();
        _backend.Dispose();
    }

    /// <summary>Several threads at once, in memory of their own, to the bits of one product on all.</summary>
    [Test]
    public void EachWorkerComputesByItselfInMemoryOfItsOwn()
    {
        const int size = 150;
        var (a, b, expected) = (Put(Random(0, size * size)), Put(Random(1, size * size)), New(size * size));
        _backend.Gemm(false, true, size, size, size, 1, a, b, false, expected, null);
        var (outside, outstanding) = (_backend.Memory, _backend.Memory.Outstanding);
        var memories = new DeviceMemoryManager[3];
        _backend.ForEachWorker(worker =>
        {
            memories[worker] = _backend.Memory;
            using var scope = new MemoryScope(_backend);
            for (var i = 0; i < 20; i++)
            {
                var c = _backend.Memory.Rent(size * size);
                _backend.Gemm(false, true, size, size, size, 1, a, b, false, c, null);
                if (!Get(c).SequenceEqual(Get(expected)))
                {
                    throw new InvalidDataException($"worker {worker}, product {i}");
                }
            }
        });
        Assert.That(memories, Is.Unique);
        Assert.That(memories[0], Is.SameAs(outside), "the caller's");
        Assert.That(outside.Outstanding, Is.EqualTo(outstanding));

        Assert.That(() => _backend.ForEachWorker(worker => throw new InvalidDataException($"{worker}")), Throws.InstanceOf<InvalidDataException>());
        Assert.That(() => _backend.ForEachWorker(_ => _backend.ForEachWorker(static _ => { })), Throws.InvalidOperationException);
        Assert.That(() => _backend.ForEachWorker(_ => _backend.Memory.Allocate(1)), Throws.InvalidOperationException.With.Message.Contains("keeps 1 buffers"));
        var after = new DeviceMemoryManager[3];
        _backend.ForEachWorker(worker => after[worker] = _backend.Memory);
        Assert.That(after.Except(memories), Has.Exactly(2).Items, "what a body left is gone");
    }

    [TestCaseSource(nameof(s_sizes))]
    public void RmsNorm((int Rows, int Columns) size)
    {
        var (rows, columns) = size;
        const double epsilon = 1e-3;
        var (x, weight, dy) = (Random(0, rows * columns), Random(1, columns), Random(2, rows * columns));
        var (y, reciprocal) = (New(rows * columns), New(rows));
        _backend.RmsNorm(Put(x), Put(weight), rows, columns, (Real)epsilon, y, reciprocal);
        var expected = new double[rows * columns];
        var expectedReciprocal = new double[rows];
        var (dx, dWeight) = (new double[rows * columns], new double[columns]);
        for (var r = 0; r < rows; r++)
        {
            double squares = 0, pull = 0;
            for (var j = 0; j < columns; j++)
            {
                squares += x[(r * columns) + j] * x[(r * columns) + j];
            }
            var scale = expectedReciprocal[r] = 1 / Math.Sqrt((squares / columns) + epsilon);
            for (var j = 0; j < columns; j++)
            {
                var at = (r * columns) + j;
                expected[at] = x[at] * scale * weight[j];
                dWeight[j] += dy[at] * x[at] * scale;
                pull += x[at] * scale * weight[j] * dy[at] / columns;
            }
            for (var j = 0; j < columns; j++)
            {
                var at = (r * columns) + j;
                dx[at] = scale * ((weight[j] * dy[at]) - (x[at] * scale * pull));
            }
        }
        AssertClose(y, expected, columns, "y");
        AssertClose(reciprocal, expectedReciprocal, columns, "1 / rms");
        AssertGradient(dx, columns, "dx", (target, add) =>
            _backend.RmsNormBackwardInput(Put(x), Put(weight), reciprocal, Put(dy), rows, columns, target, add));
        AssertGradient(dWeight, columns + rows, "dWeight", (target, add) =>
            _backend.RmsNormBackwardWeight(Put(x), reciprocal, Put(dy), rows, columns, target, add));
    }

    [TestCaseSource(nameof(s_sizes))]
    public void LayerNorm((int Rows, int Columns) size)
    {
        var (rows, columns) = size;
        const double epsilon = 1e-2;
        var (x, weight, bias, dy) = (Random(0, rows * columns, shift: 3), Random(1, columns), Random(2, columns), Random(3, rows * columns));
        var (y, mean, reciprocal) = (New(rows * columns), New(rows), New(rows));
        _backend.LayerNorm(Put(x), Put(weight), Put(bias), rows, columns, (Real)epsilon, y, mean, reciprocal);
        var expected = new double[rows * columns];
        var (means, reciprocals) = (new double[rows], new double[rows]);
        var (dx, dWeight) = (new double[rows * columns], new double[columns]);
        for (var r = 0; r < rows; r++)
        {
            var row = x.AsSpan(r * columns, columns);
            double sum = 0, squares = 0, dMean = 0, dNormal = 0;
            foreach (var v in row)
            {
                sum += v;
            }
            means[r] = sum / columns;
            foreach (var v in row)
            {
                squares += (v - means[r]) * (v - means[r]);
            }
            reciprocals[r] = 1 / Math.Sqrt((squares / columns) + epsilon);
            for (var j = 0; j < columns; j++)
            {
                var (at, normal) = ((r * columns) + j, (row[j] - means[r]) * reciprocals[r]);
                expected[at] = (normal * weight[j]) + bias[j];
                dWeight[j] += dy[at] * normal;
                dMean += weight[j] * dy[at] / columns;
                dNormal += normal * weight[j] * dy[at] / columns;
            }
            for (var j = 0; j < columns; j++)
            {
                var (at, normal) = ((r * columns) + j, (row[j] - means[r]) * reciprocals[r]);
                dx[at] = reciprocals[r] * ((weight[j] * dy[at]) - dMean - (normal * dNormal));
            }
        }
        // Mean and deviation of numbers about 3 cancel digits, and a row of one number divides by sqrt(epsilon).
        AssertClose(y, expected, 40 * columns, "y");
        AssertClose(mean, means, columns, "mean");
        AssertClose(reciprocal, reciprocals, 40 * columns, "1 / deviation");
        AssertGradient(dx, 400 * columns, "dx", (target, add) =>
            _backend.LayerNormBackwardInput(Put(x), Put(weight), mean, reciprocal, Put(dy), rows, columns, target, add));
        AssertGradient(dWeight, 40 * (columns + rows), "dWeight", (target, add) =>
            _backend.LayerNormBackwardWeight(Put(x), mean, reciprocal, Put(dy), rows, columns, target, add));
    }

    /// <summary>Logits up to some hundreds: exp of them overflows unless it is shifted.</summary>
    [TestCase(1.0)]
    [TestCase(300.0)]
    public void LogSoftmaxGather(double scale)
    {
        const int from = 2;
        foreach (var (rows, vocabulary) in s_sizes)
        {
            var logits = Random(0, rows * vocabulary, scale);
            var targets = Enumerable.Range(0, from + rows).Select(i => i * 5 % vocabulary).ToArray();
            var dLogProb = Random(1, from + rows);
            var (logProb, logSumExp) = (Put(new double[from + rows]), Put(new double[from + rows]));
            var index = OpTable.Index(_backend, targets);
            var z = Put(logits);
            _backend.LogSoftmaxGather(z, index, from, rows, vocabulary, logProb, logSumExp);
            var (expected, expectedSum) = (new double[from + rows], new double[from + rows]);
            var dLogits = new double[rows * vocabulary];
            for (var r = 0; r < rows; r++)
            {
                var row = logits.AsSpan(r * vocabulary, vocabulary).ToArray();
                expectedSum[from + r] = LogSumExp(row);
                expected[from + r] = row[targets[from + r]] - expectedSum[from + r];
                for (var j = 0; j < vocabulary; j++)
                {
                    dLogits[(r * vocabulary) + j] =
                        dLogProb[from + r] * ((j == targets[from + r] ? 1 : 0) - Math.Exp(row[j] - expectedSum[from + r]));
                }
            }
            var what = $"{rows} rows of {vocabulary}: ";
            AssertClose(logProb, expected, 2 * vocabulary, what + "log-prob");
            AssertClose(logSumExp, expectedSum, 2 * vocabulary, what + "log-sum-exp");
            _backend.LogSoftmaxGatherBackward(z, index, from, rows, vocabulary, logSumExp, Put(dLogProb));
            // A rounding of the log-sum-exp, as large as the logits, is a relative error of every probability.
            AssertClose(z, dLogits, (2 * vocabulary) + (4 * scale), what + "gradient");
        }
    }

    [Test]
    public void RowKl()
    {
        const int to = 3;
        foreach (var (rows, vocabulary) in s_sizes)
        {
            var (p, q) = (Random(0, rows * vocabulary, 20), Random(1, rows * vocabulary, 20));
            var kl = Put(new double[to + rows]);
            _backend.RowKl(Put(p), Put(q), rows, vocabulary, kl, to);
            var expected = new double[to + rows];
            for (var r = 0; r < rows; r++)
            {
                var (a, b) = (p[(r * vocabulary)..((r + 1) * vocabulary)], q[(r * vocabulary)..((r + 1) * vocabulary)]);
                var (sumA, sumB) = (LogSumExp(a), LogSumExp(b));
                expected[to + r] = a.Zip(b, (za, zb) => Math.Exp(za - sumA) * (za - sumA - (zb - sumB))).Sum();
            }
            AssertClose(kl, expected, 20 + (2 * vocabulary), $"{rows} rows of {vocabulary}");
            _backend.RowKl(Put(p), Put(p), rows, vocabulary, kl, to);
            Assert.That(Get(kl), Is.All.EqualTo((Real)0), "KL(p || p)");
        }
    }

    [Test]
    public void ColumnSum()
    {
        foreach (var (rows, columns) in s_sizes)
        {
            var x = Random(0, rows * columns);
            var expected = Enumerable.Range(0, columns).Select(j => Enumerable.Range(0, rows).Sum(r => x[(r * columns) + j])).ToArray();
            AssertGradient(expected, rows, $"{rows} x {columns}", (sum, add) => _backend.ColumnSum(Put(x), rows, columns, sum, add));
        }
    }

    [Test]
    public void ScatterAddRowsAddsRepeatedRowsAndClearsTheRest()
    {
        foreach (var (count, columns) in s_sizes)
        {
            const int tableRows = 11, from = 2;
            var y = Random(0, count * columns);
            var index = Enumerable.Range(0, from + count).Select(static i => i * i % 7).ToArray();
            var expected = new double[tableRows * columns];
            for (var i = 0; i < count * columns; i++)
            {
                expected[(index[from + (i / columns)] * columns) + (i % columns)] += y[i];
            }
            AssertGradient(expected, count, $"{count} x {columns}", (table, add) =>
                _backend.ScatterAddRows(Put(y), OpTable.Index(_backend, index), from, count, columns, table, tableRows, add));
        }
    }

    [Test]
    public void GatherRows()
    {
        foreach (var (count, columns) in s_sizes)
        {
            var table = Random(0, 6 * columns);
            var index = Enumerable.Range(0, 1 + count).Select(static i => i * 5 % 6).ToArray();
            var y = New(count * columns);
            _backend.GatherRows(Put(table), OpTable.Index(_backend, index), 1, count, columns, y);
            Assert.That(Get(y), Is.EqualTo(index[1..].SelectMany(r => table[(r * columns)..((r + 1) * columns)]).Select(static v => (Real)v)));
        }
    }

    [Test]
    public void AnIndexOutsideItsTableIsAnError()
    {
        Assert.That(() => _backend.GatherRows(New(12), OpTable.Index(_backend, [0, 3]), 0, 2, 4, New(8)), Throws.ArgumentException);
        Assert.That(() => _backend.GatherRows(New(12), OpTable.Index(_backend, [-1]), 0, 1, 4, New(4)), Throws.ArgumentException);
        Assert.That(() => _backend.LogSoftmaxGather(New(5), OpTable.Index(_backend, [5]), 0, 1, 5, New(1), New(1)), Throws.ArgumentException);
        Assert.That(() => _backend.LogSoftmaxGather(New(10), OpTable.Index(_backend, [0]), 0, 2, 5, New(2), New(2)), Throws.ArgumentException);
        Assert.That(() => _backend.SegmentSum(New(5), OpTable.Index(_backend, [0, 6]), New(1)), Throws.ArgumentException);
        Assert.That(() => _backend.SegmentSum(New(5), OpTable.Index(_backend, [0, 3]), New(1)), Throws.ArgumentException);
    }

    [Test]
    public void AnAddendThatIsTooShortOrTheResultItselfOrBesideASumIsAnError()
    {
        var (a, b, c) = (New(6), New(6), New(4));
        Assert.That(() => _backend.Gemm(false, false, 2, 2, 3, 1, a, b, false, c, New(3)), Throws.ArgumentException);
        Assert.That(() => _backend.Gemm(false, false, 2, 2, 3, 1, a, b, false, c, c), Throws.ArgumentException);
        Assert.That(() => _backend.Gemm(false, false, 2, 2, 3, 1, a, b, true, c, New(4)), Throws.ArgumentException);
    }

    [Test]
    public void SumAndItsGradient()
    {
        foreach (var n in s_lengths)
        {
            var x = Random(0, n);
            var sum = New(1);
            _backend.Sum(Put(x), (Real)0.25, sum);
            AssertClose(sum, [0.25 * x.Sum()], n, $"sum of {n}");
            AssertGradient([.. x.Select(static _ => -0.5)], 1, $"gradient of the sum of {n}", (dx, add) =>
                _backend.SumBackward(Put([-2]), (Real)0.25, dx, add));
        }
    }

    [Test]
    public void SegmentSumAndItsGradient()
    {
        foreach (var n in s_lengths)
        {
            int[] offsets = [0, n / 3, n / 3, n / 2, n];
            var (x, d) = (Random(0, n), Random(1, 4));
            var sum = New(4);
            _backend.SegmentSum(Put(x), OpTable.Index(_backend, offsets), sum);
            AssertClose(sum, [.. Enumerable.Range(0, 4).Select(s => x[offsets[s]..offsets[s + 1]].Sum())], n, $"segments of {n}");
            AssertGradient(
                [.. Enumerable.Range(0, 4).SelectMany(s => Enumerable.Repeat(d[s], offsets[s + 1] - offsets[s]))], 1, $"gradient of {n}",
                (dx, add) => _backend.SegmentSumBackward(Put(d), OpTable.Index(_backend, offsets), dx, add));
        }
    }

    [Test]
    public void SumOfSquares()
    {
        foreach (var n in (int[])[.. s_lengths, 4096, 12_289])
        {
            var x = Random(0, n);
            Assert.That(_backend.SumOfSquares(Put(x)), Is.EqualTo(x.Sum(static v => v * v)).Within(1e-15 * n * n));
        }
        foreach (var bad in new[] { double.NaN, double.PositiveInfinity, double.NegativeInfinity })
        {
            var x = Random(0, 9000);
            x[8999] = bad;
            Assert.That(double.IsFinite(_backend.SumOfSquares(Put(x))), Is.False);
        }
    }

    /// <summary>Not accumulating, it overwrites NaN; accumulating, it adds to what stood there.</summary>
    private void AssertGradient(double[] expected, double terms, string what, Action<DeviceBuffer, bool> run)
    {
        var written = New(expected.Length);
        run(written, false);
        AssertClose(written, expected, terms, what);
        var before = Random(9, expected.Length);
        var added = Put(before);
        run(added, true);
        AssertClose(added, [.. expected.Zip(before, static (a, b) => a + b)], terms + 1, what + ", accumulated");
    }

    private static double LogSumExp(double[] row) => row.Max() + Math.Log(row.Sum(z => Math.Exp(z - row.Max())));

    private static double[] Random(int stream, int count, double scale = 1, double shift = 0) =>
        [.. TinyModels.Random(11, stream, count).Select(v => (double)(float)(shift + (scale * v)))];

    private DeviceBuffer New(int length) => _backend.Memory.Rent(length);

    private DeviceBuffer Put(double[] values)
    {
        var buffer = New(values.Length);
        _backend.Upload(Array.ConvertAll(values, static v => (Real)v), buffer);
        return buffer;
    }

    private Real[] Get(DeviceBuffer buffer)
    {
        var values = new Real[buffer.Length];
        _backend.Download(buffer, values);
        return values;
    }

    /// <summary>The error may be some roundings of the largest value, a few for each term of a sum.</summary>
    private void AssertClose(DeviceBuffer actual, double[] expected, double terms, string what)
    {
        var values = Get(actual);
        Assert.That(values, Has.Length.EqualTo(expected.Length), what);
        var tolerance = s_ulp * (4 + terms) * Math.Max(1, expected.Select(Math.Abs).DefaultIfEmpty(0).Max());
        for (var i = 0; i < values.Length; i++)
        {
            Assert.That((double)values[i], Is.EqualTo(expected[i]).Within(tolerance), $"{what}, element {i}");
        }
    }
}
