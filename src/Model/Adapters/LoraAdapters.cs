using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>
/// The adapters of a model whose own weights are frozen. Their parameters bear PEFT's names; where a map has several parts (GPT-2's c_attn),
/// so has its B.
/// </summary>
public sealed class LoraAdapters
{
    // Less than a buffer's elements, for the padding of each matrix.
    private const int MostNumbers = 1 << 30;

    private readonly List<(Projection Projection, LoraAdapter Adapter)> _adapters = [];

    private LoraAdapters(LoraOptions options, ParameterSet parameters) => (Options, Parameters) = (options, parameters);

    /// <summary>With the targets that were chosen where none were given.</summary>
    public LoraOptions Options { get; }

    public ParameterSet Parameters { get; }

    /// <summary>
    /// Freezes the model's weights, gives back their gradients' memory, and puts adapters beside them that change nothing yet: B is 0, A
    /// uniform within 1 / sqrt(in), as PEFT starts them.
    /// </summary>
    /// <param name="model">Without adapters.</param>
    /// <param name="options">Rank, alpha, targets.</param>
    /// <param name="seed">Of A.</param>
    /// <exception cref="InputException">A target names no map of the model, the rank is too large, or the model's rotary pairs are interleaved.</exception>
    public static LoraAdapters Attach(Transformer model, LoraOptions options, ulong seed)
    {
        options = options with { Targets = TargetsOf(model, options) };
        var chosen = Choose(model, options.Targets);
        var numbers = chosen.Sum(p => (long)options.Rank * (p.Parts[0].Weight.Shape.Columns + p.Parts.Sum(static part => (long)part.Weight.Shape.Rows)));
        if (numbers > MostNumbers)
        {
            throw new InputException("--lora-rank", null, $"adapters of rank {options.Rank} have {numbers} numbers, more than {MostNumbers}", "give a smaller rank");
        }
        var parameters = new ParameterSet(model.Backend, chosen.SelectMany(p => Layout(p, options.Rank)));
        var adapters = new LoraAdapters(options, parameters);
        foreach (var (projection, index) in chosen.Select(static (p, i) => (p, i)))
        {
            var adapter = new LoraAdapter(
                parameters[NameOfA(projection)], [.. Enumerable.Range(0, projection.Parts.Count).Select(part => parameters[NameOfB(projection, part)])],
                options.Scale);
            var bound = 1 / Math.Sqrt(adapter.A.Shape.Columns);
            model.Backend.Upload(
                [
                    .. Enumerable.Range(0, adapter.A.Shape.Count)
                        .Select(i => (Real)(bound * ((2 * Philox.Uniform(seed, RandomPurpose.Initialise, 1, index, i)) - 1))),
                ],
                adapter.A.Data);
            projection.Adapter = adapter;
            adapters._adapters.Add((projection, adapter));
        }
        model.Weights.Freeze();
        model.Adapters = adapters;
        return adapters;
    }

    /// <summary>The tensors of the file of such adapters, which are not there yet.</summary>
    /// <exception cref="InputException">As <see cref="Attach"/>.</exception>
    internal static IEnumerable<StoredShape> ShapesOf(Transformer model, LoraOptions options) => Choose(model, TargetsOf(model, options)).SelectMany(projection => new[]
    {
        new StoredShape(NameOfA(projection), [options.Rank, projection.Parts[0].Weight.Shape.Columns]),
        new StoredShape(NameOf(projection, "lora_B"), [projection.Parts.Sum(static part => part.Weight.Shape.Rows), options.Rank]),
    });

    /// <summary>The file's tensors: lora_A [rank, in] and lora_B [out, rank] of each map.</summary>
    internal IEnumerable<StoredWeight> Stored() => _adapters.SelectMany(a =>
    {
        var (projection, adapter) = a;
        var rows = adapter.B.Sum(static b => b.Shape.Rows);
        return new[]
        {
            new StoredWeight(NameOfA(projection), adapter.A.Shape.ToArray(), [(NameOfA(projection), adapter.A)], Transposed: false),
            new StoredWeight(
                NameOf(projection, "lora_B"), [rows, Options.Rank], [.. adapter.B.Select((b, part) => (NameOfB(projection, part), b))], Transposed: false),
        };
    });

    /// <summary>See <see cref="Transformer.WithoutAdapters"/>.</summary>
    internal T Without<T>(Func<T> pass)
    {
        try
        {
            _adapters.ForEach(static a => a.Projection.Adapter = null);
            return pass();
        }
        finally
        {
            _adapters.ForEach(static a => a.Projection.Adapter = a.Adapter);
        }
    }

    /// <summary>Adds every adapter to the weights it stands beside, W += alpha / rank B A, and takes it off. The weights stay frozen.</summary>
    internal void Merge()
    {
        foreach (var (projection, adapter) in _adapters)
        {
            foreach (var ((weight, _), b) in projection.Parts.Zip(adapter.B))
            {
                weight.Backend.Gemm(
                    false, false, weight.Shape.Rows, weight.Shape.Columns, Options.Rank, (Real)Options.Scale, b.Data, adapter.A.Data, true, weight.Data);
            }
            projection.Adapter = null;
        }
        Parameters.Free();
    }

    private static IReadOnlyList<string> TargetsOf(Transformer model, LoraOptions options) =>
        options.Targets.Count > 0 ? options.Targets : model.Config.Architecture == Architecture.Gpt2 ? ["c_attn"] : ["q_proj", "v_proj"];

    private static List<Projection> Choose(Transformer model, IReadOnlyList<string> targets)
    {
        var all = model.Projections.ToList();
        if (targets.FirstOrDefault(target => !all.Exists(p => IsMeant(p, target))) is { } unknown)
        {
            var names = string.Join(", ", all.Select(static p => p.Name.Split('.')[^1]).Distinct());
            throw new InputException("--lora-targets", null, $"{Quoted.Name(unknown)} is no map of this model", $"give some of {names}");
        }
        return model.Config.RotaryInterleaved
            ? throw new InputException(
                model.Source ?? "the model", null, "a llama2.c file has its rotary pairs in an order that no adapter's file can say",
                "convert it to a Hugging Face folder first")
            : all.FindAll(p => targets.Any(target => IsMeant(p, target)));
    }

    private static bool IsMeant(Projection projection, string target) =>
        projection.Name == target || projection.Name.EndsWith("." + target, StringComparison.Ordinal);

    private static IEnumerable<(string Name, Shape Shape)> Layout(Projection projection, int rank)
    {
        yield return (NameOfA(projection), Shape.Matrix(rank, projection.Parts[0].Weight.Shape.Columns));
        for (var part = 0; part < projection.Parts.Count; part++)
        {
            yield return (NameOfB(projection, part), Shape.Matrix(projection.Parts[part].Weight.Shape.Rows, rank));
        }
    }

    private static string NameOf(Projection projection, string matrix) => $"base_model.model.{projection.Name}.{matrix}.weight";

    private static string NameOfA(Projection projection) => NameOf(projection, "lora_A");

    private static string NameOfB(Projection projection, int part) => NameOf(projection, projection.Parts.Count == 1 ? "lora_B" : $"lora_B.{part}");
}

/// <summary>The adapter of one map: A [rank, in], and B [out, rank] for each part of the map's output.</summary>
internal sealed record LoraAdapter(Tensor A, IReadOnlyList<Tensor> B, double Scale)
{
    /// <summary>What it adds to each part: alpha / rank x A^T B^T, [tokens, out].</summary>
    public IEnumerable<Tensor> Apply(Tensor x)
    {
        var down = Linear(x, A);
        return B.Select(b => Scale * Linear(down, b));
    }
}
