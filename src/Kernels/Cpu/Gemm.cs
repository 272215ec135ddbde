using System.Runtime.CompilerServices;

namespace TinyDpo.Kernels;

/// <summary>
/// Row-major matrix products C (+)= alpha op(A) op(B) with packed panels and register tiles (Goto and van de Geijn 2008, "Anatomy of
/// high-performance matrix multiplication").
/// <para>
/// The sum over k is cut into blocks by <see cref="DepthBlock"/>, which looks at k alone. In each block
/// acc = fma(a[i, p], b[p, j], acc) over ascending p from 0; then C = alpha * acc in the first block unless accumulating, else
/// C = fma(alpha, acc, C). So an element's bits depend on its row of op(A), its column of op(B), alpha and its old value: not on m, n,
/// the place in C, the number of threads or the width of the vectors.
/// </para>
/// </summary>
internal static unsafe class Gemm
{
    /// <summary>Longest block of k: a tile's rows of A then take half of a 32 KiB level 1 cache.</summary>
    private const int MaxDepth = 512;

    /// <summary>Elements of B packed at a time: 1 MiB of floats, which stay in the level 2 cache while all rows of A go by.</summary>
    private const int MaxPacked = 256 * 1024;

    /// <summary>Rows of C in one item of work, at most: with the deepest block of A 256 KiB of floats, which stay in the level 2 cache.</summary>
    private const int MaxRows = 128;

    /// <summary>
    /// Up to this many rows, which use each element of B few times, it is packed by the worker that needs it and never leaves its cache.
    /// </summary>
    private const int FewRows = 16;

    /// <summary>A product of fewer multiplications is done before another thread could have begun.</summary>
    private const long MultiplicationsWorthAThread = 200_000;

    /// <summary>The same for elements to pack.</summary>
    private const int ElementsWorthAThread = 8192;

    /// <summary>So many panels must use a tile of A before it is packed.</summary>
    private const int PanelsWorthPackingA = 4;

    private const int PageBytes = 4096;

    /// <summary>The most bytes that the packed panels of all threads take.</summary>
    public static long MostScratchBytes(int threads) =>
        sizeof(Real) * (MaxPacked + ((long)MaxDepth * threads * (MaxRows + GemmKernel.Best.Columns + GemmKernel.Best.Rows)));

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
    /// </summary>
    public static void Multiply(WorkerTeam team, bool transA, bool transB, int m, int n, int k, Real alpha, Real* a, int lda, Real* b, int ldb,
        bool accumulate, Real* c, int ldc) =>
        Multiply(GemmKernel.Best, team, transA, transB, m, n, k, alpha, a, lda, b, ldb, accumulate, c, ldc);

    /// <summary>The same with a chosen micro-kernel.</summary>
    public static void Multiply(GemmKernel kernel, WorkerTeam team, bool transA, bool transB, int m, int n, int k, Real alpha, Real* a, int lda,
        Real* b, int ldb, bool accumulate, Real* c, int ldc)
    {
        if (m <= 0 || n <= 0)
        {
            return;
        }
        if (k <= 0)
        {
            for (var i = 0; i < m && !accumulate; i++)
            {
                new Span<Real>(c + ((nint)i * ldc), n).Clear();
            }
            return;
        }
        var threads = (long)m * n * k < MultiplicationsWorthAThread ? 1 : team.Available;
        kernel = kernel.ForRows(m);
        var depthBlock = DepthBlock(k);
        var rowTiles = Tiles(m, kernel.Rows);
        var packsOwnB = m <= FewRows;
        var columnBlock = packsOwnB ? n : Math.Min(n, Math.Max(1, MaxPacked / depthBlock / kernel.Columns) * kernel.Columns);
        var job = new Block
        {
            Tile = kernel.Tile,
            TileRows = kernel.Rows,
            TileColumns = kernel.Columns,
            TransA = transA,
            TransB = transB,
            M = m,
            RowTiles = rowTiles,
            Lda = lda,
            Ldb = ldb,
            Alpha = alpha,
            Ldc = ldc,
            PacksTilesOfA = m >= kernel.Rows && PaysToPackA(transA, lda, Tiles(columnBlock, kernel.Columns)),
            PackedA = m < kernel.Rows ? Workspace.Get(0, (nint)kernel.Rows * depthBlock) : null,
            PackedB = packsOwnB ? null : Workspace.Get(1, (nint)Tiles(columnBlock, kernel.Columns) * kernel.Columns * depthBlock),
        };
        for (var p = 0; p < k; p += depthBlock)
        {
            job.Depth = Math.Min(depthBlock, k - p);
            job.A = a + (transA ? (nint)p * lda : p);
            job.Accumulate = accumulate || p > 0;
            if (job.PackedA != null)
            {
                GemmPanel.Pack(!transA, job.A, lda, job.Depth, m, kernel.Rows, job.PackedA);
            }
            for (var j = 0; j < n; j += columnBlock)
            {
                job.N = Math.Min(columnBlock, n - j);
                job.B = b + (transB ? ((nint)j * ldb) + p : ((nint)p * ldb) + j);
                job.C = c + j;
                job.Panels = Tiles(job.N, kernel.Columns);
                if (!packsOwnB)
                {
                    var grain = threads == 1 ? job.Panels : Tiles(ElementsWorthAThread, kernel.Columns * job.Depth);
                    team.For(job.Panels, grain, job, static (block, from, to) => PackPanels(block, from, to));
                }
                // Items enough to share out evenly, but no smaller than that needs.
                job.RowTilesPerItem = packsOwnB
                    ? rowTiles
                    : (int)Math.Clamp((long)rowTiles * job.Panels / (WorkerTeam.RangesPerWorker * threads), 1, MaxRows / kernel.Rows);
                var items = Tiles(rowTiles, job.RowTilesPerItem) * job.Panels;
                team.For(items, threads == 1 ? items : 1, job, static (block, from, to) => Compute(block, from, to));
            }
        }
    }

    /// <summary>What <see cref="Multiply(WorkerTeam, bool, bool, int, int, int, Real, Real*, int, Real*, int, bool, Real*, int)"/> computes,
    /// to the bit, as a plain loop.</summary>
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
    /// page apart is worth it once several panels use it.
    /// </summary>
    private static bool PaysToPackA(bool transA, int lda, int panels) => transA && (long)lda * sizeof(Real) >= PageBytes && panels >= PanelsWorthPackingA;

    private static int Tiles(int length, int tile) => (int)(((long)length + tile - 1) / tile);

    private static void PackPanels(in Block block, int from, int to)
    {
        for (var panel = from; panel < to; panel++)
        {
            PackPanel(block, panel, block.PackedB + ((nint)panel * block.TileColumns * block.Depth));
        }
    }

    private static void PackPanel(in Block block, int panel, Real* target)
    {
        var column = panel * block.TileColumns;
        var source = block.B + (block.TransB ? column * block.Ldb : column);
        var columns = Math.Min(block.TileColumns, block.N - column);
        GemmPanel.Pack(block.TransB, source, block.Ldb, block.Depth, columns, block.TileColumns, target);
    }

    /// <summary>Computes items of C: each is one panel's columns of some row tiles.</summary>
    private static void Compute(in Block block, int from, int to)
    {
        var ownPanel = block.PackedB == null ? Workspace.Get(2, (nint)block.TileColumns * block.Depth) : null;
        var ownTiles = block.PacksTilesOfA ? Workspace.Get(3, (nint)block.RowTilesPerItem * block.TileRows * block.Depth) : null;
        var packedGroup = -1;
        for (var item = from; item < to; item++)
        {
            var (group, panel) = Math.DivRem(item, block.Panels);
            var packed = ownPanel;
            if (ownPanel == null)
            {
                packed = block.PackedB + ((nint)panel * block.TileColumns * block.Depth);
            }
            else
            {
                PackPanel(block, panel, ownPanel);
            }
            var first = group * block.RowTilesPerItem;
            var last = Math.Min(first + block.RowTilesPerItem, block.RowTiles);
            if (ownTiles != null && group != packedGroup)
            {
                PackTiles(block, first, last, ownTiles);
                packedGroup = group;
            }
            for (var tile = first; tile < last; tile++)
            {
                var packedTile = ownTiles == null ? block.PackedA : ownTiles + ((nint)(tile - first) * block.TileRows * block.Depth);
                ComputeTile(block, tile * block.TileRows, panel * block.TileColumns, packedTile, packed);
            }
        }
    }

    // Of a transposed A: PaysToPackA takes no other.
    private static void PackTiles(in Block block, int first, int last, Real* target)
    {
        var row = first * block.TileRows;
        GemmPanel.CopyToTiles(block.A + row, block.Lda, block.Depth, Math.Min(last * block.TileRows, block.M) - row, block.TileRows, target);
    }

    [SkipLocalsInit]
    private static void ComputeTile(in Block block, int row, int column, Real* packedA, Real* packedB)
    {
        var rows = Math.Min(block.TileRows, block.M - row);
        var columns = Math.Min(block.TileColumns, block.N - column);
        // The last tile starts early enough to be whole: the rows that it then has twice are computed, and left out below.
        var repeated = packedA == null ? block.TileRows - rows : 0;
        var (rowStride, stepStride) = block.TransA ? (1, block.Lda) : (block.Lda, (nint)1);
        var a = block.A + ((row - repeated) * rowStride);
        if (packedA != null)
        {
            a = packedA;
            (rowStride, stepStride) = (1, block.TileRows);
        }
        var c = block.C + (row * block.Ldc) + column;
        if (rows == block.TileRows && columns == block.TileColumns)
        {
            block.Tile(block.Depth, a, rowStride, stepStride, packedB, block.Alpha, block.Accumulate, c, block.Ldc);
            return;
        }
        var whole = stackalloc Real[block.TileRows * block.TileColumns];
        var part = whole + (repeated * block.TileColumns);
        if (block.Accumulate)
        {
            CopyRows(c, block.Ldc, part, block.TileColumns, rows, columns);
        }
        block.Tile(block.Depth, a, rowStride, stepStride, packedB, block.Alpha, block.Accumulate, whole, block.TileColumns);
        CopyRows(part, block.TileColumns, c, block.Ldc, rows, columns);
    }

    private static void CopyRows(Real* source, nint sourceLd, Real* target, nint targetLd, int rows, int columns)
    {
        for (var i = 0; i < rows; i++)
        {
            new Span<Real>(source + (i * sourceLd), columns).CopyTo(new Span<Real>(target + (i * targetLd), columns));
        }
    }

    /// <summary>One block of k and of columns of a product; A, B and C point at its first element.</summary>
    private struct Block
    {
        public delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, void> Tile;
        public int TileRows;
        public int TileColumns;
        public bool TransA;
        public bool TransB;
        public int M;
        public int N;
        public int Depth;
        public Real* A;
        public nint Lda;
        public Real* B;
        public nint Ldb;
        public Real* C;
        public nint Ldc;
        public Real Alpha;
        public bool Accumulate;
        public bool PacksTilesOfA;
        public Real* PackedA;
        public Real* PackedB;
        public int Panels;
        public int RowTiles;
        public int RowTilesPerItem;
    }
}
