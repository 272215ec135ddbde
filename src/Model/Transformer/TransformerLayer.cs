using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>One layer: x + attention(norm(x)), then x + mlp(norm(x)); x [tokens, hidden].</summary>
/// <param name="index">The layer's number.</param>
internal abstract class TransformerLayer(int index)
{
    /// <summary>The maps to which adapters can be given.</summary>
    public abstract IEnumerable<Projection> Projections { get; }

    protected abstract IEnumerable<Norm> Norms { get; }

    /// <param name="x">[tokens, hidden].</param>
    /// <param name="positions">[tokens].</param>
    /// <param name="attention">How queries meet keys.</param>
    /// <param name="rows">The rows of the result, or null for all.</param>
    /// <param name="recomputed">Whether x alone is kept for backward, which computes the layer again.</param>
    public Tensor Forward(Tensor x, IndexBuffer positions, Transformer.AttentionStep attention, IndexBuffer? rows, bool recomputed)
    {
        if (StepScope.RecordsGradients(x.Backend))
        {
            var parameters = Projections.SelectMany(static p => p.Parameters).Concat(Norms.SelectMany(static n => n.Parameters));
            return recomputed
                ? Recomputed(x, parameters, Shape.Matrix(rows?.Length ?? x.Shape.Rows, x.Shape.Columns), input => Compute(input, positions, attention, rows))
                : Compute(x, positions, attention, rows);
        }

        // Without gradients nothing of a layer outlives it but its output, so its buffers serve the next layer.
        using var layer = new StepScope(x.Backend);
        var output = Compute(x, positions, attention, rows);
        layer.MoveToParent(output);
        return output;
    }

    /// <summary>Queries [tokens, heads * headSize], keys and values [tokens, kvHeads * headSize] of x, at their positions.</summary>
    protected abstract (Tensor Q, Tensor K, Tensor V) Project(Tensor x, IndexBuffer positions);

    /// <summary>x + the attention's output [tokens, heads * headSize] projected back: [tokens, hidden].</summary>
    protected abstract Tensor AddAttended(Tensor x, Tensor attended);

    /// <summary>x + mlp(norm(x)): [tokens, hidden].</summary>
    protected abstract Tensor AddMlp(Tensor x);

    private Tensor Compute(Tensor x, IndexBuffer positions, Transformer.AttentionStep attention, IndexBuffer? rows)
    {
        var (q, k, v) = Project(x, positions);
        var attended = attention(index, q, k, v);
        if (rows is not null)
        {
            // From here on a row depends on itself alone.
            (x, attended) = (RowGather(x, rows), RowGather(attended, rows));
        }
        return AddMlp(AddAttended(x, attended));
    }
}
