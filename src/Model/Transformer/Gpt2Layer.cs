using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>
/// A layer of GPT-2: LayerNorm, GELU, biases everywhere; positions come with the embedding. c_attn, one matrix in the file, is three
/// parameters here, one each for queries, keys and values.
/// </summary>
internal sealed class Gpt2Layer : TransformerLayer
{
    private static readonly string[] s_attentionParts = ["q", "k", "v"];

    private readonly Norm _attentionNorm;
    private readonly Norm _mlpNorm;
    private readonly Projection _attention;
    private readonly Projection _output;
    private readonly Projection _up;
    private readonly Projection _down;

    public Gpt2Layer(ModelConfig config, ParameterSet weights, int index)
        : base(index)
    {
        var prefix = Prefix(index);
        _attentionNorm = new Norm(weights, prefix + "ln_1", config.NormEpsilon);
        _mlpNorm = new Norm(weights, prefix + "ln_2", config.NormEpsilon);
        _attention = new Projection(weights, prefix + "attn.c_attn", s_attentionParts);
        _output = new Projection(weights, prefix + "attn.c_proj");
        _up = new Projection(weights, prefix + "mlp.c_fc");
        _down = new Projection(weights, prefix + "mlp.c_proj");
    }

    public override IEnumerable<Projection> Projections => [_attention, _output, _up, _down];

    protected override IEnumerable<Norm> Norms => [_attentionNorm, _mlpNorm];

    public static IEnumerable<(string Name, Shape Shape)> Layout(ModelConfig c, int index)
    {
        var prefix = Prefix(index);
        yield return (prefix + "ln_1.weight", Shape.Vector(c.HiddenSize));
        yield return (prefix + "ln_1.bias", Shape.Vector(c.HiddenSize));
        foreach (var part in s_attentionParts)
        {
            yield return (prefix + $"attn.c_attn.{part}.weight", Shape.Matrix(c.HiddenSize, c.HiddenSize));
        }
        foreach (var part in s_attentionParts)
        {
            yield return (prefix + $"attn.c_attn.{part}.bias", Shape.Vector(c.HiddenSize));
        }
        yield return (prefix + "attn.c_proj.weight", Shape.Matrix(c.HiddenSize, c.HiddenSize));
        yield return (prefix + "attn.c_proj.bias", Shape.Vector(c.HiddenSize));
        yield return (prefix + "ln_2.weight", Shape.Vector(c.HiddenSize));
        yield return (prefix + "ln_2.bias", Shape.Vector(c.HiddenSize));
        yield return (prefix + "mlp.c_fc.weight", Shape.Matrix(c.IntermediateSize, c.HiddenSize));
        yield return (prefix + "mlp.c_fc.bias", Shape.Vector(c.IntermediateSize));
        yield return (prefix + "mlp.c_proj.weight", Shape.Matrix(c.HiddenSize, c.IntermediateSize));
        yield return (prefix + "mlp.c_proj.bias", Shape.Vector(c.HiddenSize));
    }

    protected override (Tensor Q, Tensor K, Tensor V) Project(Tensor x, IndexBuffer positions) =>
        _attention.ApplyParts(_attentionNorm.Apply(x)) is [var q, var k, var v] ? (q, k, v) : throw new InvalidOperationException("c_attn has three parts");

    protected override Tensor AddAttended(Tensor x, Tensor attended) => _output.AddTo(x, attended);

    protected override Tensor AddMlp(Tensor x) => _down.AddTo(x, Gelu(_up.Apply(_mlpNorm.Apply(x))));

    private static string Prefix(int index) => $"transformer.h.{index}.";
}
