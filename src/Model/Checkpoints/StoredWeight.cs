using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>A tensor that a model's file must hold.</summary>
internal record StoredShape(string Name, int[] Shape)
{
    private const string Gpt2Prefix = "transformer.";

    /// <summary>The name that GPT-2's base class, without a head, gives the tensor; the same for other architectures.</summary>
    public string NameWithoutHead => Name.StartsWith(Gpt2Prefix, StringComparison.Ordinal) ? Name[Gpt2Prefix.Length..] : Name;
}

/// <summary>
/// A tensor of a model's file and the parameters that it holds: one, or those whose rows stand below each other in it (GPT-2's c_attn). A
/// matrix of GPT-2 lies transposed in the file, [in, out] (its Conv1D).
/// </summary>
/// <param name="Name">In the file.</param>
/// <param name="Shape">In the file.</param>
/// <param name="Parts">Names and values of the parameters, top to bottom.</param>
/// <param name="Transposed">Whether the file's rows are our columns.</param>
internal sealed record StoredWeight(string Name, int[] Shape, IReadOnlyList<(string Name, Tensor Value)> Parts, bool Transposed) : StoredShape(Name, Shape)
{
    private int Count => Parts.Sum(static p => p.Value.Shape.Count);

    /// <summary>The file's tensors, in the order of the model's parameters.</summary>
    public static IEnumerable<StoredWeight> Of(Transformer model)
    {
        var weights = model.Weights;
        return Layout(model.Config).Select(
            stored => new StoredWeight(stored.Name, stored.Shape, [.. stored.Parts.Select(name => (name, weights[name]))], stored.Transposed));
    }

    /// <summary>The same of a model that is not there yet.</summary>
    public static IEnumerable<StoredShape> ShapesOf(ModelConfig config) => Layout(config).Select(static stored => new StoredShape(stored.Name, stored.Shape));

    private static IEnumerable<(string Name, int[] Shape, string[] Parts, bool Transposed)> Layout(ModelConfig config)
    {
        var isGpt2 = config.Architecture == Architecture.Gpt2;
        return Transformer.Layout(config).GroupBy(p => isGpt2 ? WithoutPart(p.Name) : p.Name).Select(group =>
        {
            var shapes = group.Select(static p => p.Shape).ToList();
            var transposed = isGpt2 && shapes[0].Rank == 2 && group.Key.Contains(".c_", StringComparison.Ordinal);
            var rows = shapes.Sum(static s => s.Rank == 2 ? s.Rows : s.Count);
            int[] shape = shapes[0].Rank == 1 ? [rows] : transposed ? [shapes[0].Columns, rows] : [rows, shapes[0].Columns];
            return (group.Key, shape, group.Select(static p => p.Name).ToArray(), transposed);
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
