using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>
/// A number for each row of hidden states, linear and without a bias: what turns a transformer into a reward model or a value function. Its
/// weight [1, hidden] bears the name that Hugging Face's LlamaForSequenceClassification gives it.
/// </summary>
public sealed class ScalarHead(ParameterSet weights) : Module
{
    public const string WeightName = "score.weight";

    private readonly Tensor _weight = weights[WeightName];

    public override IEnumerable<(string Name, Tensor Value)> Parameters() => [(WeightName, _weight)];

    /// <param name="hidden">[rows, hidden].</param>
    /// <returns>[rows].</returns>
    public Tensor Forward(Tensor hidden) => Linear(hidden, _weight).Slice(0, hidden.Shape.Rows);
}
