using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>
/// A tensor of a model's file and the parameters that it holds: one, or those whose rows stand below each other in it (GPT-2's c_attn). A
/// matrix of GPT-2 lies transposed in the file, [in, out] (its Conv1D).
/// </summary>
/// <param name="Name">In the file.</param>
/// <param name="Shape">In the file.</param>
/// <param name="Parts">Names and values of the parameters, top to bottom.</param>
/// <param name="Transposed">Whether the file's rows are our columns.</param>
internal sealed record StoredWeight(string Name, int[] Shape, IReadOnlyList<(string Name, Tensor Value)> Parts, bool Transposed)
{
    private const string Gpt2Prefix = "transformer.";

    /// <summary>The name that GPT-2's base class, without a head, gives the tensor; the same for other architectures.</summary>
    public string NameWithoutHead => Name.StartsWith(Gpt2Prefix, StringComparison.Ordinal) ? Name[Gpt2Prefix.Length..] : Name;

    private int Count => Parts.Sum(static p => p.Value.Shape.Count);

    /// <summary>The file's tensors, in the order of the model's parameters.</summary>
    public static IEnumerable<StoredWeight> Of(Transformer model)
    {
        var isGpt2 = model.Config.Architecture == Architecture.Gpt2;
        return model.Parameters().GroupBy(p => isGpt2 ? WithoutPart(p.Name) : p.Name).Select(group =>
        {
            var parts = group.ToList();
            var transposed = isGpt2 && parts[0].Value.Shape.Rank == 2 && group.Key.Contains(".c_", StringComparison.Ordinal);
            var rows = parts.Sum(static p => p.Value.Shape.Rank == 2 ? p.Value.Shape.Rows : p.Value.Shape.Count);
            int[] shape = parts[0].Value.Shape.Rank == 1 ? [rows] : transposed ? [parts[0].Value.Shape.Columns, rows] : [rows, parts[0].Value.Shape.Columns];
            return new StoredWeight(group.Key, shape, parts, transposed);
        });
    }

    /// <summary>The numbers as the file has them.</summary>
    /// <param name="values">Gives those of a parameter.</param>
    public Real[] Gather(Func<string, Tensor, Real[]> values)
    {
        if (Parts is [var only] && !Transposed)
        {
            return values(only.Name, only.Value);
        }
        var all = new Real[Count];
        var from = 0;
        foreach (var (name, value) in Parts)
        {
            values(name, value).CopyTo(all, from);
            from += value.Shape.Count;
        }
        return Transposed ? Transpose(all, Shape[1], Shape[0]) : all;
    }

    /// <summary>Puts the file's numbers into the parameters.</summary>
    public void Scatter(Real[] numbers)
    {
        var rows = Transposed ? Transpose(numbers, Shape[0], Shape[1]) : numbers;
        var from = 0;
        foreach (var (_, value) in Parts)
        {
            value.Backend.Upload(rows.AsSpan(from, value.Shape.Count), value.Data);
            from += value.Shape.Count;
        }
    }

    // x [rows, columns].
    private static Real[] Transpose(Real[] x, int rows, int columns)
    {
        var y = new Real[x.Length];
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
            {
                y[(j * rows) + i] = x[(i * columns) + j];
            }
        }
        return y;
    }

    // "transformer.h.0.attn.c_attn.q.weight" is a part of "transformer.h.0.attn.c_attn.weight".
    private static string WithoutPart(string name)
    {
        var parts = name.Split('.');
        return parts.Length > 3 && parts[^3] == "c_attn" ? string.Join('.', [.. parts[..^2], parts[^1]]) : name;
    }
}
