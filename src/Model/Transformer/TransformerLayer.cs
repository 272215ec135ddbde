using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>One layer: x + attention(norm(x)), then x + mlp(norm(x)); x [tokens, hidden].</summary>
internal sealed class TransformerLayer
{
    private readonly ModelConfig _config;
    private readonly int _index;
    private readonly RotaryTable _rotary;
    private readonly Tensor _q;
    private readonly Tensor _k;
    private readonly Tensor _v;
    private readonly Tensor _o;
    private readonly Tensor _gate;
    private readonly Tensor _up;
    private readonly Tensor _down;
    private readonly Tensor _attentionNorm;
    private readonly Tensor _mlpNorm;

    public TransformerLayer(ModelConfig config, ParameterSet weights, int index, RotaryTable rotary)
    {
        (_config, _index, _rotary) = (config, index, rotary);
        _q = Weight("self_attn.q_proj");
        _k = Weight("self_attn.k_proj");
        _v = Weight("self_attn.v_proj");
        _o = Weight("self_attn.o_proj");
        _gate = Weight("mlp.gate_proj");
        _up = Weight("mlp.up_proj");
        _down = Weight("mlp.down_proj");
        _attentionNorm = Weight("input_layernorm");
        _mlpNorm = Weight("post_attention_layernorm");

        Tensor Weight(string part) => weights[$"model.layers.{index}.{part}.weight"];
    }

    /// <param name="x">[tokens, hidden].</param>
    /// <param name="positions">[tokens].</param>
    /// <param name="attention">How queries meet keys.</param>
    /// <param name="rows">The rows of the result, or null for all.</param>
    public Tensor Forward(Tensor x, IndexBuffer positions, Transformer.AttentionStep attention, IndexBuffer? rows)
    {
        if (StepScope.RecordsGradients(x.Backend))
        {
            return Compute(x, positions, attention, rows);
        }

        // Without gradients nothing of a layer outlives it but its output, so its buffers serve the next layer.
        using var layer = new StepScope(x.Backend);
        var output = Compute(x, positions, attention, rows);
        layer.MoveToParent(output);
        return output;
    }

    public static IEnumerable<(string Name, Shape Shape)> Layout(ModelConfig c, int index)
    {
        var prefix = $"model.layers.{index}.";
        var (queries, keys) = (c.Heads * c.HeadSize, c.KeyValueHeads * c.HeadSize);
        yield return (prefix + "self_attn.q_proj.weight", Shape.Matrix(queries, c.HiddenSize));
        yield return (prefix + "self_attn.k_proj.weight", Shape.Matrix(keys, c.HiddenSize));
        yield return (prefix + "self_attn.v_proj.weight", Shape.Matrix(keys, c.HiddenSize));
        yield return (prefix + "self_attn.o_proj.weight", Shape.Matrix(c.HiddenSize, queries));
        yield return (prefix + "mlp.gate_proj.weight", Shape.Matrix(c.IntermediateSize, c.HiddenSize));
        yield return (prefix + "mlp.up_proj.weight", Shape.Matrix(c.IntermediateSize, c.HiddenSize));
        yield return (prefix + "mlp.down_proj.weight", Shape.Matrix(c.HiddenSize, c.IntermediateSize));
        yield return (prefix + "input_layernorm.weight", Shape.Vector(c.HiddenSize));
        yield return (prefix + "post_attention_layernorm.weight", Shape.Vector(c.HiddenSize));
    }

    private Tensor Compute(Tensor x, IndexBuffer positions, Transformer.AttentionStep attention, IndexBuffer? rows)
    {
        var h = RmsNorm(x, _attentionNorm, _config.RmsNormEpsilon);
        var q = Rotary(Linear(h, _q), positions, _rotary);
        var k = Rotary(Linear(h, _k), positions, _rotary);
        var v = Linear(h, _v);
        var attended = attention(_index, q, k, v);
        if (rows is not null)
        {
            // From here on a row depends on itself alone.
            (x, attended) = (RowGather(x, rows), RowGather(attended, rows));
        }
        x += Linear(attended, _o);

        h = RmsNorm(x, _mlpNorm, _config.RmsNormEpsilon);
        return x + Linear(SwiGlu(Linear(h, _gate), Linear(h, _up)), _down);
    }
}
