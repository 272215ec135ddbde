using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>
/// A linear map of a layer, x W^T + b, with a bias where the weights have one. It may give its output in parts, each a parameter of its own,
/// that are one matrix in the model's file.
/// </summary>
internal sealed class Projection
{
    /// <param name="weights">The model's parameters.</param>
    /// <param name="name">That of the module in transformers: "model.layers.0.self_attn.q_proj".</param>
    /// <param name="parts">What stands between the name and ".weight" for each part; none for a map in one.</param>
    public Projection(ParameterSet weights, string name, IReadOnlyList<string>? parts = null)
    {
        Name = name;
        Parts = [.. (parts is null ? [name] : parts.Select(part => $"{name}.{part}")).Select(part =>
            (weights[part + ".weight"], weights.Contains(part + ".bias") ? weights[part + ".bias"] : null))];
    }

    public string Name { get; }

    /// <summary>Weights [out, in] and biases [out].</summary>
    public IReadOnlyList<(Tensor Weight, Tensor? Bias)> Parts { get; }

    /// <summary>The output of a map in one: x [tokens, in], result [tokens, out].</summary>
    public Tensor Apply(Tensor x)
    {
        if (Parts is not [(var weight, var bias)])
        {
            throw new InvalidOperationException($"{Name} has {Parts.Count} parts");
        }
        return Adapter is null ? Linear(x, weight, bias) : ApplyParts(x)[0];
    }

    /// <summary>residual + the output of a map in one: residual and result [tokens, out].</summary>
    public Tensor AddTo(Tensor residual, Tensor x) => Adapter is null && Parts is [(var weight, null)]
        ? Linear(x, weight, residual: residual)
        : residual + Apply(x);

    /// <summary>What is added to the output; null for nothing.</summary>
    public LoraAdapter? Adapter { get; set; }

    /// <summary>All that the output depends on besides x.</summary>
    public IEnumerable<Tensor> Parameters =>
        Parts.SelectMany(static part => part.Bias is null ? new[] { part.Weight } : [part.Weight, part.Bias]).Concat(Adapter is null ? [] : [Adapter.A, .. Adapter.B]);

    /// <summary>The output of each part: [tokens, out].</summary>
    public Tensor[] ApplyParts(Tensor x)
    {
        Tensor[] outputs = [.. Parts.Select(part => Linear(x, part.Weight, part.Bias))];
        return Adapter is null ? outputs : [.. outputs.Zip(Adapter.Apply(x), static (output, change) => output + change)];
    }
}

/// <summary>RMSNorm, or LayerNorm where the weights have a bias for it.</summary>
internal sealed class Norm(ParameterSet weights, string name, double epsilon)
{
    private readonly Tensor _weight = weights[name + ".weight"];
    private readonly Tensor? _bias = weights.Contains(name + ".bias") ? weights[name + ".bias"] : null;

    public IEnumerable<Tensor> Parameters => _bias is null ? [_weight] : [_weight, _bias];

    /// <summary>x, result [tokens, hidden].</summary>
    public Tensor Apply(Tensor x) => _bias is null ? RmsNorm(x, _weight, epsilon) : LayerNorm(x, _weight, _bias, epsilon);
}
