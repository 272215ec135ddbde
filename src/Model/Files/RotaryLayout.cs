namespace TinyDpo.Models;

/// <summary>
/// The two orders in which rotary positions find a head's pairs: neighbours (2i, 2i + 1), as in the RoPE paper (Su et al. 2021) and
/// llama2.c, or halves (i, i + headSize / 2), as in Hugging Face's Llama. Permuting the rows of q_proj and k_proj alike leads from one to
/// the other and leaves every attention score as it was.
/// </summary>
public static class RotaryLayout
{
    /// <summary>From neighbours to halves.</summary>
    /// <param name="weight">[heads * headSize, columns]; not changed.</param>
    /// <param name="heads">Key/value heads for k_proj.</param>
    /// <param name="headSize">Rows of one head, even.</param>
    /// <returns>The permuted copy.</returns>
    public static Real[] ToHalf(Real[] weight, int heads, int headSize) => Permute(weight, heads, headSize, toHalf: true);

    /// <summary>From halves to neighbours: the inverse of <see cref="ToHalf"/>.</summary>
    /// <inheritdoc cref="ToHalf"/>
    public static Real[] ToInterleaved(Real[] weight, int heads, int headSize) => Permute(weight, heads, headSize, toHalf: false);

    private static Real[] Permute(Real[] weight, int heads, int headSize, bool toHalf)
    {
        if (heads <= 0 || headSize <= 0 || headSize % 2 != 0 || weight.Length % ((long)heads * headSize) != 0)
        {
            throw new ArgumentException($"a weight of {weight.Length} numbers has no {heads} heads of {headSize} rows");
        }
        var columns = weight.Length / (heads * headSize);
        var result = new Real[weight.Length];
        for (var head = 0; head < heads; head++)
        {
            for (var row = 0; row < headSize; row++)
            {
                var half = row % 2 * (headSize / 2) + row / 2;
                var (from, to) = toHalf ? (row, half) : (half, row);
                Row(weight, head, from).CopyTo(Row(result, head, to));
            }
        }
        return result;

        Span<Real> Row(Real[] array, int head, int row) => array.AsSpan((head * headSize + row) * columns, columns);
    }
}
