namespace TinyDpo.Tensors;

/// <summary>The extents of a tensor: none (a scalar), [n], or [rows, columns], row-major.</summary>
public readonly record struct Shape
{
    private Shape(int rank, int rows, int columns)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        Rank = rank;
        Rows = rows;
        Columns = columns;
    }

    public static Shape Scalar { get; } = new(0, 1, 1);

    public int Rank { get; }

    /// <summary>The number of rows: 1 for a scalar or a vector.</summary>
    public int Rows { get; }

    /// <summary>The last extent: 1 for a scalar.</summary>
    public int Columns { get; }

    /// <summary>The number of elements.</summary>
    public int Count => checked(Rows * Columns);

    public static Shape Vector(int length) => new(1, 1, length);

    public static Shape Matrix(int rows, int columns) => new(2, rows, columns);

    public int[] ToArray() => Rank switch { 0 => [], 1 => [Columns], _ => [Rows, Columns] };

    public override string ToString() => $"[{string.Join(", ", ToArray())}]";
}
