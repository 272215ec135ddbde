using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace TinyDpo.Kernels;

// A worker's part of a product: packing panels, and computing tiles of C from them.
internal static unsafe partial class Gemm
{
    private static void PackPanels(in Block block, int from, int to)
    {
        for (var panel = from; panel < to; panel++)
        {
            PackPanel(block, panel, block.PackedPanel(panel));
        }
    }

    private static void PackPanel(in Block block, int panel, Real* target)
    {
        var column = panel * block.TileColumns;
        var source = block.B + (block.TransB ? column * block.Ldb : column);
        var columns = Math.Min(block.TileColumns, block.N - column);
        GemmPanel.Pack(block.TransB, source, block.Ldb, block.Depth, columns, block.PanelColumns(columns), target);
    }

    /// <summary>Computes tiles of C over all of k: those of the first panel's columns from the first row on, then the second's.</summary>
    private static void ComputeColumns(in Block whole, int n, int k, int depthBlock, int from, int to)
    {
        var packs = whole.PackedB == null;
        var ownPanel = packs ? Workspace.Get(1, (nint)whole.TileColumns * depthBlock) : null;
        var packedA = whole.M < whole.TileRows ? Workspace.Get(2, (nint)whole.PackedRows * depthBlock) : null;
        for (var p = 0; p < k; p += depthBlock)
        {
            var block = whole.At(p, Math.Min(depthBlock, k - p), 0, n);
            if (packedA != null)
            {
                GemmPanel.Pack(!block.TransA, block.A, block.Lda, block.Depth, block.M, block.PackedRows, packedA);
            }
            for (int tile = from, end; tile < to; tile = end)
            {
                var panel = tile / block.RowTiles;
                var firstOfPanel = panel * block.RowTiles;
                end = Math.Min(to, firstOfPanel + block.RowTiles);
                if (packs)
                {
                    PackPanel(block, panel, ownPanel);
                }
                var packedB = packs ? ownPanel : block.PackedPanel(panel);
                for (var row = tile - firstOfPanel; row < end - firstOfPanel; row++)
                {
                    var ahead = packs ? AheadInB(block, panel + 1, row - tile + firstOfPanel) : default;
                    ComputeTile(block, row * block.TileRows, panel * block.TileColumns, packedA, packedB, ahead);
                }
            }
        }
    }

    /// <summary>
    /// Tiles of C over one block of k each: those of the first block, which go to C, then the second's, which go to its sums, and so on; in a block
    /// the row tiles of the first group of panels, then the second's. The groups of all blocks are numbered from firstNumber.
    /// </summary>
    private static void ComputeDepths(in Block whole, int n, int k, int depthBlock, int panelsPerGroup, Real* sums, long firstNumber, int from, int to)
    {
        var groups = Tiles(Tiles(n, whole.TileColumns), panelsPerGroup);
        for (int tile = from, end; tile < to; tile = end)
        {
            var number = tile / whole.RowTiles;
            var (index, group) = Math.DivRem(number, groups);
            var block = whole.At(index * depthBlock, Math.Min(depthBlock, k - (index * depthBlock)), 0, n);
            var (firstPanel, endPanel) = (group * panelsPerGroup, Math.Min((group + 1) * panelsPerGroup, block.Panels));
            // Its panels are the group's: from the first of them on.
            var own = new OwnPanels(block, firstPanel, panelsPerGroup, firstNumber + number);
            if (index > 0)
            {
                block.C = sums + ((nint)(index - 1) * block.M * n);
                block.Ldc = n;
                block.Alpha = 1;
                block.Accumulate = false;
            }
            var first = number * whole.RowTiles;
            end = Math.Min(to, first + whole.RowTiles);
            for (var panel = firstPanel; panel < endPanel; panel++)
            {
                var packedB = own.Packed(block, panel);
                for (var row = tile - first; row < end - first; row++)
                {
                    // The first group meets rows of A that are in no cache yet; the others have time to ask for the next panel.
                    var ahead = group == 0
                        ? AheadInA(block, end - first, end - tile, (panel * (end - tile)) + row - tile + first)
                        : AheadInB(block, endPanel, row);
                    ComputeTile(block, row * block.TileRows, panel * block.TileColumns, null, packedB, ahead);
                }
            }
        }
    }

    /// <summary>
    /// Rows [from, to) of C = fma(alpha, sum, C) for the sums of the blocks after the first, in order. Half of them come out of another's cache: in wide vectors,
    /// and asked for ahead, more lines are on their way at a time.
    /// </summary>
    private static void AddDepths(in Block whole, int n, int blocks, Real* sums, int from, int to)
    {
        for (nint i = from; i < to; i++)
        {
            var c = whole.C + (i * whole.Ldc);
            var rest = Vector512.IsHardwareAccelerated ? AddDepths<Lanes512, Vector512<Real>>(whole, n, blocks, sums, i, c, 0) : 0;
            rest = AddDepths<Lanes256, Vector256<Real>>(whole, n, blocks, sums, i, c, rest);
            for (var j = rest; j < n; j++)
            {
                for (var index = 0; index < blocks - 1; index++)
                {
                    c[j] = Real.FusedMultiplyAdd(whole.Alpha, sums[(((index * (nint)whole.M) + i) * n) + j], c[j]);
                }
            }
        }
    }

    /// <summary>Whole vectors of a row from column j on; returns the first column that is left.</summary>
    private static int AddDepths<TLanes, TVector>(in Block whole, int n, int blocks, Real* sums, nint row, Real* c, int j)
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        var alpha = TLanes.Create(whole.Alpha);
        for (; j + TLanes.Count <= n; j += TLanes.Count)
        {
            Prefetch.Stream(c + j);
            var value = TLanes.Load(c + j);
            for (var index = 0; index < blocks - 1; index++)
            {
                var sum = sums + (((index * (nint)whole.M) + row) * n) + j;
                Prefetch.Stream(sum);
                value = TLanes.FusedMultiplyAdd(alpha, TLanes.Load(sum), value);
            }
            TLanes.Store(value, c + j);
        }
        return j;
    }

    /// <summary>Computes items of C: each is one panel's columns of some row tiles. The block's panels, unless packed before, have this number.</summary>
    private static void ComputeItems(in Block block, long number, int from, int to)
    {
        var own = block.PackedB == null ? new OwnPanels(block, 0, block.Panels, number) : default;
        var ownTiles = block.PacksTilesOfA ? Workspace.Get(2, (nint)block.RowTilesPerItem * block.PackedRows * block.Depth) : null;
        var packedTiles = -1;
        var part = 0;
        for (var item = from; item < to; item++)
        {
            var (group, panel) = Math.DivRem(item, block.Panels);
            var first = group * block.RowTilesPerItem;
            var last = Math.Min(first + block.RowTilesPerItem, block.RowTiles);
            if (item == from || panel == 0)
            {
                part = panel * (last - first);
            }
            if (ownTiles != null && group != packedTiles)
            {
                PackTiles(block, first, last, ownTiles);
                packedTiles = group;
            }
            var packedB = block.PackedB == null ? own.Packed(block, panel) : block.PackedPanel(panel);
            // First what the next panel is packed from, if it is to be, then the next item's rows of A, as far as there are tiles to ask.
            var packsNext = block.PackedB == null && panel + 1 < block.Panels && !own.Has(panel + 1);
            for (var tile = first; tile < last; tile++)
            {
                var packedA = ownTiles == null ? null : ownTiles + ((nint)(tile - first) * block.PackedRows * block.Depth);
                var ahead = packsNext ? AheadInB(block, panel + 1, tile - first) : default;
                if (ahead.First == null)
                {
                    ahead = AheadInA(block, first + block.RowTilesPerItem, block.RowTilesPerItem, part++);
                }
                ComputeTile(block, tile * block.TileRows, panel * block.TileColumns, packedA, packedB, ahead);
            }
        }
    }

    // Of a transposed A: PaysToPackA takes no other.
    private static void PackTiles(in Block block, int first, int last, Real* target)
    {
        var row = first * block.TileRows;
        GemmPanel.CopyToTiles(block.A + row, block.Lda, block.Depth, Math.Min(last * block.TileRows, block.M) - row, block.TileRows, block.PackedRows, target);
    }

    /// <summary>A part of the rows of A that <paramref name="tiles"/> row tiles from <paramref name="firstTile"/> on will read.</summary>
    private static GemmAhead AheadInA(in Block block, int firstTile, int tiles, int part)
    {
        var row = firstTile * block.TileRows;
        var rows = Math.Min(tiles * block.TileRows, block.M - row);
        return GemmAhead.Part(block.A + (row * (block.TransA ? 1 : block.Lda)), block.Lda, !block.TransA, rows, block.Depth, part);
    }

    /// <summary>A part of what a panel of B will be packed from.</summary>
    private static GemmAhead AheadInB(in Block block, int panel, int part)
    {
        var column = panel * block.TileColumns;
        var columns = Math.Min(block.TileColumns, block.N - column);
        return GemmAhead.Part(block.B + (column * (block.TransB ? block.Ldb : 1)), block.Ldb, block.TransB, columns, block.Depth, part);
    }

    [SkipLocalsInit]
    private static void ComputeTile(in Block block, int row, int column, Real* packedA, Real* packedB, in GemmAhead ahead)
    {
        var rows = Math.Min(block.TileRows, block.M - row);
        var columns = Math.Min(block.TileColumns, block.N - column);
        var tileColumns = block.PanelColumns(columns);
        var tile = tileColumns == block.TileColumns ? block.Tile : block.HalfTile;
        // The last tile starts early enough to be whole: the rows that it then has twice are computed, and left out below.
        var repeated = packedA == null ? block.TileRows - rows : 0;
        var (rowStride, stepStride) = block.TransA ? (1, block.Lda) : (block.Lda, (nint)1);
        var a = block.A + ((row - repeated) * rowStride);
        if (packedA != null)
        {
            a = packedA;
            (rowStride, stepStride) = (1, block.PackedRows);
        }
        var c = block.C + (row * block.Ldc) + column;
        if (rows == block.TileRows && columns == tileColumns)
        {
            tile(block.Depth, a, rowStride, stepStride, packedB, block.Alpha, block.Accumulate, c, block.Ldc, block.ToAddend, ahead);
            return;
        }
        var whole = stackalloc Real[block.TileRows * tileColumns];
        var part = whole + (repeated * tileColumns);
        if (block.Accumulate)
        {
            CopyRows(c, block.Ldc, part, tileColumns, rows, columns);
        }
        tile(block.Depth, a, rowStride, stepStride, packedB, block.Alpha, block.Accumulate, whole, tileColumns, 0, ahead);
        CopyRows(part, tileColumns, c, block.Ldc, rows, columns);
        for (var i = 0; block.ToAddend != 0 && i < rows; i++, c += block.Ldc)
        {
            VectorRow.AddTo(c, c + block.ToAddend, columns);
        }
    }

    private static void CopyRows(Real* source, nint sourceLd, Real* target, nint targetLd, int rows, int columns)
    {
        for (var i = 0; i < rows; i++)
        {
            new Span<Real>(source + (i * sourceLd), columns).CopyTo(new Span<Real>(target + (i * targetLd), columns));
        }
    }

    /// <summary>
    /// The panels of B, from a first one on, that a thread packs for itself when it first meets them. It finds them again in its later ranges of the same loop
    /// by the number of the block, which no other block has. Panels of another block may lie across these places: so a thread must be done with a block when it comes
    /// to the next, or meet all panels of it each time.
    /// </summary>
    private readonly ref struct OwnPanels
    {
        private readonly long[] numbers;
        private readonly Real* start;
        private readonly int first;
        private readonly long number;

        public OwnPanels(in Block block, int first, int count, long number)
        {
            start = Workspace.Get(1, (nint)count * block.TileColumns * block.Depth);
            if (packedPanels is not { } kept || kept.Length < count)
            {
                kept = packedPanels = new long[count];
            }
            (numbers, this.first, this.number) = (kept, first, number);
        }

        /// <summary>Whether the panel is packed.</summary>
        public bool Has(int panel) => numbers[panel - first] == number;

        /// <summary>The panel, packed now if it was not.</summary>
        public Real* Packed(in Block block, int panel)
        {
            var target = start + ((nint)(panel - first) * block.TileColumns * block.Depth);
            if (!Has(panel))
            {
                PackPanel(block, panel, target);
                numbers[panel - first] = number;
            }
            return target;
        }
    }

    /// <summary>A product, or one block of k and of columns of it; A, B and C point at its first element.</summary>
    private struct Block
    {
        public delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, nint, in GemmAhead, void> Tile;
        public delegate*<int, Real*, nint, nint, Real*, Real, bool, Real*, nint, nint, in GemmAhead, void> HalfTile;
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

        /// <summary>Elements from C to the addend; 0 for none.</summary>
        public nint ToAddend;

        public bool PacksTilesOfA;

        /// <summary>The panels of B where they were packed before the product, or are being so; null where each worker packs its own.</summary>
        public Real* PackedB;

        public int Panels;
        public int RowTiles;
        public int RowTilesPerItem;

        /// <summary>Elements from a step of a packed tile of A to the next.</summary>
        public readonly int PackedRows => Gemm.PackedRows(TileRows);

        /// <summary>Where a panel lies in <see cref="PackedB"/>.</summary>
        public readonly Real* PackedPanel(int panel) => PackedB + ((nint)panel * TileColumns * Depth);

        /// <summary>The width of the panel that holds so many columns of B.</summary>
        public readonly int PanelColumns(int columns) => HalfTile != null && columns <= TileColumns / 2 ? TileColumns / 2 : TileColumns;

        /// <summary>The block of a whole product that begins at p in k and at column j.</summary>
        public readonly Block At(int p, int depth, int j, int columns)
        {
            var block = this;
            block.A += TransA ? p * Lda : p;
            block.B += TransB ? (j * Ldb) + p : (p * Ldb) + j;
            block.C += j;
            block.Accumulate |= p > 0;
            block.PackedB += PackedB == null ? 0 : (p * (nint)Tiles(N, TileColumns) * TileColumns) + ((nint)j * depth);
            // It comes last.
            block.ToAddend = p + depth == Depth ? ToAddend : 0;
            block.Depth = depth;
            block.N = columns;
            block.Panels = Tiles(columns, TileColumns);
            return block;
        }
    }
}
