using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Dpo;

/// <summary>
/// One DPO step from given weights, everything written out: log-probs under policy and reference (chosen first), loss, and the gradient of
/// every tensor, under the names that the PyTorch oracle uses.
/// </summary>
public static class OracleRun
{
    /// <param name="workload">Shape and pairs.</param>
    /// <param name="weights">A safetensors file with policy.* and reference.*.</param>
    /// <param name="output">The safetensors file to write.</param>
    /// <param name="backend">The device.</param>
    /// <returns>The loss.</returns>
    public static double Run(Workload workload, string weights, string output, IBackend backend)
    {
        var policy = new Transformer(workload.Config, backend);
        var reference = new Transformer(workload.Config, backend);
        ModelFile.ReadWeights(policy, weights, "policy.");
        ModelFile.ReadWeights(reference, weights, "reference.");
        var referenceLogProbs = ReferenceLogProbs.Compute(reference, workload.Pairs);

        using var step = new StepScope(backend);
        var policyLogProbs = PairLogProbs.Of(policy, PreferencePairs.Pack(backend, workload.Pairs));
        Real[] logProbs = [.. policyLogProbs.Chosen.ToArray(), .. policyLogProbs.Rejected.ToArray()];
        var loss = new DpoLoss(workload.Beta).Mean(
            policyLogProbs, PairLogProbs.Of(backend, referenceLogProbs.Chosen, referenceLogProbs.Rejected));
        loss.Backward();
        SafetensorsWriter.Write(output,
        [
            ("logps.policy", [logProbs.Length], (ReadOnlyMemory<Real>)logProbs),
            ("logps.reference", [logProbs.Length], (Real[])[.. referenceLogProbs.Chosen, .. referenceLogProbs.Rejected]),
            ("loss", [1], (Real[])[loss.Item()]),
            .. policy.Parameters().Select(static p => ("grad." + p.Name, p.Value.Shape.ToArray(), (ReadOnlyMemory<Real>)p.Value.GradToArray())),
        ]);
        return loss.Item();
    }
}
