using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>A layer of Llama, Mistral or Qwen2: RMSNorm, rotary positions, grouped key/value heads, SwiGLU.</summary>
internal sealed class LlamaLayer : TransformerLayer
{
    private readonly RotaryTable _rotary;
    private readonly Norm _attentionNorm;
    private readonly Norm _mlpNorm;
    private readonly Projection _q;
    private readonly Projection _k;
    private readonly Projection _v;
    private readonly Projection _o;
    private readonly Projection _gate;
    private readonly Projection _up;
    private readonly Projection _down;

    public LlamaLayer(ModelConfig config, ParameterSet weights, int index, RotaryTable rotary)
        : base(index)
    {
        _rotary = rotary;
        var prefix = Prefix(index);
        _attentionNorm = new Norm(weights, prefix + "input_layernorm", config.NormEpsilon);
        _mlpNorm = new Norm(weights, prefix + "post_attention_layernorm", config.NormEpsilon);
        _q = new Projection(weights, prefix + "self_attn.q_proj");
        _k = new Projection(weights, prefix + "self_attn.k_proj");
        _v = new Projection(weights, prefix + "self_attn.v_proj");
        _o = new Projection(weights, prefix + "self_attn.o_proj");
        _gate = new Projection(weights, prefix + "mlp.gate_proj");
        _up = new Projection(weights, prefix + "mlp.up_proj");
        _down = new Projection(weights, prefix + "mlp.down_proj");
    }

    public override IEnumerable<Projection> Projections => [_q, _k, _v, _o, _gate, _up, _down];

    protected override IEnumerable<Norm> Norms => [_attentionNorm, _mlpNorm];

    public static IEnumerable<(string Name, Shape Shape)> Layout(ModelConfig c, int index)
    {
        var prefix = Prefix(index);
        var (queries, keys) = (c.Heads * c.HeadSize, c.KeyValueHeads * c.HeadSize);
        yield return (prefix + "self_attn.q_proj.weight", Shape.Matrix(queries, c.HiddenSize));
        yield return (prefix + "self_attn.k_proj.weight", Shape.Matrix(keys, c.HiddenSize));
        yield return (prefix + "self_attn.v_proj.weight", Shape.Matrix(keys, c.HiddenSize));
        if (c.Architecture == Architecture.Qwen2)
        {
            yield return (prefix + "self_attn.q_proj.bias", Shape.Vector(queries));
            yield return (prefix + "self_attn.k_proj.bias", Shape.Vector(keys));
            yield return (prefix + "self_attn.v_proj.bias", Shape.Vector(keys));
        }
        yield return (prefix + "self_attn.o_proj.weight", Shape.Matrix(c.HiddenSize, queries));
        yield return (prefix + "mlp.gate_proj.weight", Shape.Matrix(c.IntermediateSize, c.HiddenSize));
        yield return (prefix + "mlp.up_proj.weight", Shape.Matrix(c.IntermediateSize, c.HiddenSize));
        yield return (prefix + "mlp.down_proj.weight", Shape.Matrix(c.HiddenSize, c.IntermediateSize));
        yield return (prefix + "input_layernorm.weight", Shape.Vector(c.HiddenSize));
        yield return (prefix + "post_attention_layernorm.weight", Shape.Vector(c.HiddenSize));
    }

    protected override (Tensor Q, Tensor K, Tensor V) Project(Tensor x, IndexBuffer positions)
    {
        var h = _attentionNorm.Apply(x);
        return (Rotary(_q.Apply(h), positions, _rotary), Rotary(_k.Apply(h), positions, _rotary), _v.Apply(h));
    }

    protected override Tensor AddAttended(Tensor x, Tensor attended) => _o.AddTo(x, attended);

    protected override Tensor AddMlp(Tensor x)
    {
        var h = _mlpNorm.Apply(x);
        return _down.AddTo(x, SwiGlu(_gate.Apply(h), _up.Apply(h)));
    }

    private static string Prefix(int index) => $"model.layers.{index}.";
}
