using System.Runtime.InteropServices;
using TinyDpo.Kernels;

namespace TinyDpo.Simulator;

/// <summary>A column-major matrix in device memory: element (i, j) at Address + 4 (i + j Leading).</summary>
internal readonly record struct BlasMatrix(string Name, nint Address, int Rows, int Columns, int Leading)
{
    public bool IsValid => Leading >= Math.Max(1, Rows);

    /// <summary>From the first element to the last.</summary>
    public long Bytes => Rows == 0 || Columns == 0 ? 0 : sizeof(float) * ((((long)Columns - 1) * Leading) + Rows);

    public MemoryRange Range(bool write) => new(Address, Bytes, write);

    /// <summary>Calls for each run of elements; what lies between the columns is not the matrix's.</summary>
    public void ForEachRun(Action<nint, long> run)
    {
        if (Leading == Rows || Columns == 1)
        {
            run(Address, Bytes);
            return;
        }
        for (var j = 0; j < Columns; j++)
        {
            run(Address + ((nint)j * Leading * sizeof(float)), (long)Rows * sizeof(float));
        }
    }
}

/// <summary>
/// C [m, n] = alpha op(A) op(B) + beta C, column-major, with <see cref="Gemm"/>: a column-major matrix is the row-major transposed one, so
/// C^T = op(B)^T op(A)^T. The order of its sums is not cuBLAS's, which is not documented.
/// </summary>
internal sealed record BlasProduct(string Call, bool TransA, bool TransB, BlasMatrix A, BlasMatrix B, BlasMatrix C, int K, bool Tf32)
{
    public nint Workspace { get; init; }

    public long WorkspaceBytes { get; init; }

    /// <exception cref="SimulationException">A matrix is not in use, or holds what nobody wrote.</exception>
    public unsafe void Execute(SimulatedMemory memory, WorkerTeam team, float alpha, float beta, bool checks)
    {
        var reads = K > 0 && alpha != 0;
        if (checks)
        {
            if (WorkspaceBytes > 0)
            {
                memory.RequireWritable(Workspace, WorkspaceBytes, $"{Call}, its workspace");
            }
            if (reads)
            {
                A.ForEachRun((address, bytes) => memory.RequireReadable(address, bytes, $"{Call}, A"));
                B.ForEachRun((address, bytes) => memory.RequireReadable(address, bytes, $"{Call}, B"));
            }
            C.ForEachRun((address, bytes) =>
            {
                memory.RequireWritable(address, bytes, $"{Call}, C");
                if (beta != 0)
                {
                    memory.RequireReadable(address, bytes, $"{Call}, C with beta {beta}");
                }
            });
        }
        if (beta is not (0 or 1))
        {
            C.ForEachRun((address, bytes) =>
            {
                foreach (ref var value in new Span<float>((void*)address, (int)(bytes / sizeof(float))))
                {
                    value *= beta;
                }
            });
        }
        // With alpha 0 the inputs are not read: a NaN in them does not matter.
        var depth = reads ? K : 0;
        if (Tf32 && reads)
        {
            using Rounded a = new(A), b = new(B);
            Multiply(team, depth, alpha, a.Values, a.Leading, b.Values, b.Leading, beta != 0);
        }
        else
        {
            Multiply(team, depth, alpha, (float*)A.Address, A.Leading, (float*)B.Address, B.Leading, beta != 0);
        }
        C.ForEachRun(memory.MarkWritten);
    }

    private unsafe void Multiply(WorkerTeam team, int depth, float alpha, float* a, int lda, float* b, int ldb, bool accumulate) =>
        Gemm.Multiply(
            team, TransB, TransA, C.Columns, C.Rows, depth, alpha, b, ldb, a, lda, accumulate, (float*)C.Address, C.Leading);

    /// <summary>
    /// A copy with each number rounded to TF32: 8 bits of exponent, 10 of mantissa, to the nearest, ties away from zero (cvt.rna.tf32 of
    /// the PTX ISA). Infinity and NaN stay.
    /// </summary>
    internal readonly unsafe ref struct Rounded : IDisposable
    {
        private const uint Exponent = 0x7F80_0000;
        private const uint Dropped = 0x1FFF;

        public Rounded(BlasMatrix matrix)
        {
            Leading = Math.Max(1, matrix.Rows);
            Values = (float*)NativeMemory.Alloc((nuint)Leading * (nuint)matrix.Columns, sizeof(float));
            for (var j = 0; j < matrix.Columns; j++)
            {
                float* from = (float*)matrix.Address + ((nint)j * matrix.Leading), to = Values + ((nint)j * Leading);
                for (var i = 0; i < matrix.Rows; i++)
                {
                    to[i] = Round(from[i]);
                }
            }
        }

        public float* Values { get; }

        public int Leading { get; }

        public static float Round(float value)
        {
            var bits = BitConverter.SingleToUInt32Bits(value);
            return (bits & Exponent) == Exponent ? value : BitConverter.UInt32BitsToSingle((bits + ((Dropped + 1) / 2)) & ~Dropped);
        }

        public void Dispose() => NativeMemory.Free(Values);
    }
}
