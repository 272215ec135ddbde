using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

/// <summary>
/// Row-major matrix products C (+)= alpha op(A) op(B) with packed panels and register tiles (Goto and van de Geijn 2008, "Anatomy of
/// high-performance matrix multiplication").
/// <para>
/// The sum over k is cut into blocks by <see cref="DepthBlock"/>, which looks at k alone. In each block
/// acc = fma(a[i, p], b[p, j], acc) over ascending p from 0; then C = alpha * acc in the first block unless accumulating, else
/// C = fma(alpha, acc, C). So an element's bits depend on its row of op(A), its column of op(B), alpha and its old value: not on m, n,
/// the place in C, the number of threads or the width of the vectors. An addend, if any, is added when all blocks are summed.
/// </para>
/// </summary>
internal static unsafe partial class Gemm
{
    /// <summary>Longest block of k: a tile's rows of A then take 12 KiB of a level 1 cache of 32 or 48.</summary>
    private const int MaxDepth = 512;

    /// <summary>
    /// Elements of the operand that stays in the level 2 cache while the other goes by, at most: 1 MiB of floats. It is the block of A if
    /// that fits, else a block of packed B.
    /// </summary>
    private const int MaxResident = 256 * 1024;

    /// <summary>Elements of the sums of <see cref="MultiplyByDepth"/>, at most: 4 MiB of floats.</summary>
    private const int MaxSums = 1024 * 1024;

    /// <summary>Rows of C in one item of work, at most.</summary>
    private const int MaxRows = 64;

    /// <summary>
    /// The same where a transposed A is packed for them, a few lines at a time of each of its rows: with the deepest block 352 KiB of floats, which stay in the
    /// level 2 cache.
    /// </summary>
    private const int MaxPackedRows = 128;

    /// <summary>Items of work a worker, enough to share them out evenly.</summary>
    private const int ItemsPerWorker = 16;

    /// <summary>A product of fewer multiplications is done before another thread could have begun.</summary>
    private const long MultiplicationsWorthAThread = 200_000;

    /// <summary>The same for elements to pack or to add.</summary>
    private const int ElementsWorthAThread = 8192;

    /// <summary>So many columns must be computed from a tile of A before it is packed.</summary>
    private const int ColumnsWorthPackingA = 100;

    private const int PageBytes = 4096;

    /// <summary>Counts the blocks of panels that every worker packs for itself: each has its own number, from 1.</summary>
    private static long ownBlocks;

    /// <summary>For each place of this thread's own panels the number of the block that it was packed from last.</summary>
    [ThreadStatic]
    private static long[]? packedPanels;

    /// <summary>The most bytes that the packed panels of all threads take.</summary>
    public static long MostScratchBytes(int threads) =>
        sizeof(Real) * (MaxSums + (threads * (MaxResident
            + ((long)MaxDepth * (GemmKernel.Best.Columns + (Tiles(MaxPackedRows, GemmKernel.Best.Rows) * PackedRows(GemmKernel.Best.Rows)))))));

    /// <summary>The length of the blocks that a sum of k terms is cut into (the last may be shorter).</summary>
    public static int DepthBlock(int k)
    {
        var blocks = (k + MaxDepth - 1) / MaxDepth;
        return blocks == 0 ? 0 : (k + blocks - 1) / blocks;
    }

    /// <summary>
    /// C = alpha op(A) op(B), or C += when <paramref name="accumulate"/> (else C is not read). op(A) is [m, k]: a[i * lda + p], or
    /// a[p * lda + i] when <paramref name="transA"/>; op(B) is [k, n]: b[p * ldb + j], or b[j * ldb + p] when
    /// <paramref name="transB"/>; C is [m, n] with row stride ldc. Sizes may be 0; k = 0 gives C = 0, or leaves it when accumulating.
    /// An <paramref name="addend"/>, if any, lies elsewhere as C does, and is added last: the bits are those of a sum of two matrices. Not with
    /// <paramref name="accumulate"/>. <paramref name="packedB"/>, if any, is what <see cref="PackTransposed(WorkerTeam, int, int, Real*, Real*)"/>
    /// has made of a transposed b, and saves packing it again.
    /// </summary>
    public static void Multiply(WorkerTeam team, bool transA, bool transB, int m, int n, int k, Real alpha, Real* a, int lda, Real* b, int ldb,
        bool accumulate, Real* c, int ldc, Real* addend = null, Real* packedB = null) =>
        Multiply(GemmKernel.Best, team, transA, transB, m, n, k, alpha, a, lda, b, ldb, accumulate, c, ldc, addend, packedB);

    /// <summary>The same with a chosen micro-kernel.</summary>
    public static void Multiply(GemmKernel kernel, WorkerTeam team, bool transA, bool transB, int m, int n, int k, Real alpha, Real* a, int lda,
        Real* b, int ldb, bool accumulate, Real* c, int ldc, Real* addend = null, Real* packedB = null)
    {
        Debug.Assert(addend == null || !accumulate, "a product that accumulates takes no addend");
        Debug.Assert(packedB == null || transB, "panels are kept of a transposed B only");
        if (m <= 0 || n <= 0)
        {
            return;
        }
        if (k <= 0)
        {
            for (nint i = 0; i < m; i++)
            {
                var row = new Span<Real>(c + (i * ldc), n);
                if (addend != null)
                {
                    new Span<Real>(addend + (i * ldc), n).CopyTo(row);
                }
                else if (!accumulate)
                {
                    row.Clear();
                }
            }
            return;
        }
        var threads = (long)m * n * k < MultiplicationsWorthAThread ? 1 : team.Available;
        kernel = kernel.ForRows(m);
        var depthBlock = DepthBlock(k);
        var whole = new Block
        {
            Tile = kernel.Tile,
            HalfTile = kernel.HalfTile,
            TileRows = kernel.Rows,
            TileColumns = kernel.Columns,
            TransA = transA,
            TransB = transB,
            A = a,
            Lda = lda,
            B = b,
            Ldb = ldb,
            C = c,
            Ldc = ldc,
            Alpha = alpha,
            Accumulate = accumulate,
            ToAddend = addend == null ? 0 : (nint)(addend - c),
            M = m,
            N = n,
            Depth = k,
            PackedB = packedB,
            RowTiles = Tiles(m, kernel.Rows),
        };
        var packsA = m >= kernel.Rows && PaysToPackA(transA, lda, n);
        // By depth, a tile of A is read where it lies, and C is finished elsewhere, where nothing is known of an addend. The smaller operand's block stays in the cache.
        var byDepth = transA && !transB && !packsA && addend == null && m >= kernel.Rows && threads > 1 && k > depthBlock
            && (long)Math.Min(m, n) * depthBlock <= MaxResident && (long)m * n * (Tiles(k, depthBlock) - 1) <= MaxSums;
        if (byDepth)
        {
            MultiplyByDepth(team, whole, n, k, depthBlock);
        }
        else if (m < kernel.Rows || ((long)m * depthBlock <= MaxResident && m <= n && !packsA))
        {
            MultiplyByColumns(team, threads, whole, n, k, depthBlock);
        }
        else
        {
            MultiplyByRows(team, threads, whole, n, k, depthBlock, packsA);
        }
    }

    /// <summary>
    /// Each worker computes columns of C whole, and packs what it needs of B itself: no worker reads what another has packed, which would have to
    /// come out of the other's cache, and none waits for another before the end.
    /// </summary>
    private static void MultiplyByColumns(WorkerTeam team, int threads, in Block whole, int n, int k, int depthBlock)
    {
        // A range of tiles packs its panels anew: few ranges, unless there are panels enough.
        var panels = Tiles(n, whole.TileColumns);
        var tiles = whole.RowTiles * panels;
        var grain = threads == 1 ? tiles : Tiles(tiles, threads * Math.Clamp(panels / (4 * threads), 2, ItemsPerWorker));
        team.For(tiles, grain, (whole, n, k, depthBlock), static (s, from, to) => ComputeColumns(s.whole, s.n, s.k, s.depthBlock, from, to));
    }

    /// <summary>
    /// The gradient of a weight, which sums over tokens: each worker sums over those whose rows of A and B it has itself computed, or few others, and so
    /// finds them in its own cache. The blocks of k after the first have a C of their own, added to the first's in order when all are there.
    /// </summary>
    private static void MultiplyByDepth(WorkerTeam team, in Block whole, int n, int k, int depthBlock)
    {
        // Panel by panel, each packed by the worker that uses it and still in its cache; but where A is the larger one, it is gone through only once.
        var (blocks, panels) = (Tiles(k, depthBlock), Tiles(n, whole.TileColumns));
        var panelsPerGroup = n >= whole.M ? 1 : panels;
        var groups = blocks * Tiles(panels, panelsPerGroup);
        var number = Interlocked.Add(ref ownBlocks, groups) - groups + 1;
        var job = (whole, n, k, depthBlock, panelsPerGroup, sums: (Ptr)Workspace.Get(0, (nint)(blocks - 1) * whole.M * n), number);
        team.For(groups * whole.RowTiles, 1, job,
            static (s, from, to) => ComputeDepths(s.whole, s.n, s.k, s.depthBlock, s.panelsPerGroup, s.sums, s.number, from, to));
        team.For(whole.M, Math.Max(1, ElementsWorthAThread / n), job, static (s, from, to) => AddDepths(s.whole, s.n, Tiles(s.k, s.depthBlock), s.sums, from, to));
    }

    /// <summary>
    /// Each worker computes rows of C, a block of columns at a time. It packs the panels of B that it meets for itself: on two threads (more were not
    /// measured) that costs less than to take half of them out of the other's cache and to wait until they are there.
    /// </summary>
    private static void MultiplyByRows(WorkerTeam team, int threads, in Block whole, int n, int k, int depthBlock, bool packsTilesOfA)
    {
        var columnBlock = Math.Min(n, Math.Max(1, MaxResident / depthBlock / whole.TileColumns) * whole.TileColumns);
        for (var p = 0; p < k; p += depthBlock)
        {
            for (var j = 0; j < n; j += columnBlock)
            {
                var block = whole.At(p, Math.Min(depthBlock, k - p), j, Math.Min(columnBlock, n - j));
                block.PacksTilesOfA = packsTilesOfA;
                var number = whole.PackedB == null ? Interlocked.Increment(ref ownBlocks) : 0;
                // Items enough to share out evenly, but no smaller than that needs.
                var most = Math.Min(block.RowTiles, (packsTilesOfA ? MaxPackedRows : MaxRows) / block.TileRows);
                block.RowTilesPerItem = (int)Math.Clamp((long)block.RowTiles * block.Panels / (ItemsPerWorker * threads), 1, most);
                var items = Tiles(block.RowTiles, block.RowTilesPerItem) * block.Panels;
                team.For(items, threads == 1 ? items : 1, (block, number), static (s, from, to) => ComputeItems(s.block, s.number, from, to));
            }
        }
    }

    /// <summary>Elements of the panels of a transposed B [n, k].</summary>
    public static int PackedLength(int n, int k) => checked(Tiles(n, GemmKernel.Best.Columns) * GemmKernel.Best.Columns * k);

    /// <summary>Writes the panels of a transposed b [n, k], as products with it read them: those of the first block of k, then the second's.</summary>
    public static void PackTransposed(WorkerTeam team, int n, int k, Real* b, Real* panels) =>
        PackTransposed(GemmKernel.Best, team, n, k, b, panels);

    /// <summary>The same for a chosen micro-kernel.</summary>
    public static void PackTransposed(GemmKernel kernel, WorkerTeam team, int n, int k, Real* b, Real* panels)
    {
        var whole = new Block { HalfTile = kernel.HalfTile, TileColumns = kernel.Columns, TransB = true, B = b, Ldb = k, N = n, Depth = k, PackedB = panels };
        var depthBlock = DepthBlock(k);
        for (var p = 0; p < k; p += depthBlock)
        {
            var block = whole.At(p, Math.Min(depthBlock, k - p), 0, n);
            team.For(block.Panels, Tiles(ElementsWorthAThread, block.TileColumns * block.Depth), block, static (block, from, to) => PackPanels(block, from, to));
        }
    }

    /// <summary>What <see cref="Multiply(WorkerTeam, bool, bool, int, int, int, Real, Real*, int, Real*, int, bool, Real*, int, Real*, Real*)"/> computes
    /// without an addend, to the bit, as a plain loop.</summary>
    public static void Reference(bool transA, bool transB, int m, int n, int k, Real alpha, Real* a, int lda, Real* b, int ldb, bool accumulate,
        Real* c, int ldc)
    {
        var depth = DepthBlock(k);
        for (var i = 0; i < m; i++)
        {
            for (var j = 0; j < n; j++)
            {
                var value = accumulate ? c[((nint)i * ldc) + j] : 0;
                for (var start = 0; start < k; start += depth)
                {
                    Real sum = 0;
                    for (var p = start; p < Math.Min(start + depth, k); p++)
                    {
                        var x = transA ? a[((nint)p * lda) + i] : a[((nint)i * lda) + p];
                        var y = transB ? b[((nint)j * ldb) + p] : b[((nint)p * ldb) + j];
                        sum = Real.FusedMultiplyAdd(x, y, sum);
                    }
                    value = accumulate || start > 0 ? Real.FusedMultiplyAdd(alpha, sum, value) : alpha * sum;
                }
                c[((nint)i * ldc) + j] = value;
            }
        }
    }

    /// <summary>
    /// Whether tiles of A are packed, or read where they are, which costs least in most products. A tile of a transposed A whose steps lie a
    /// page apart is worth it once enough columns use it.
    /// </summary>
    private static bool PaysToPackA(bool transA, int lda, int n) => transA && (long)lda * sizeof(Real) >= PageBytes && n >= ColumnsWorthPackingA;

    /// <summary>Elements from a step of a packed tile of A to the next: its rows lie there in whole vectors.</summary>
    private static int PackedRows(int rows) => Tiles(rows, Vector256<Real>.Count) * Vector256<Real>.Count;

    private static int Tiles(int length, int tile) => (int)(((long)length + tile - 1) / tile);
}
