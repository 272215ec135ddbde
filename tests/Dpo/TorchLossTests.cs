using System.Text.Json;
using System.Text.Json.Nodes;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Every loss against PyTorch's autograd in double (torch_losses.py), at margins from -40 to 40 and where policy and reference agree.</summary>
public class TorchLossTests
{
    private static readonly double s_relative = sizeof(Real) == 4 ? 1e-5 : 1e-6;

    [Test]
    public void ValuesAndBothDerivativesMatch()
    {
        AssertMatch(LossBatch.Margins, [.. LossCase.All()]);
        // As TRL's trainer of unpaired rows has them: the mean over all completions, desirable or not.
        AssertMatch(LossBatch.Unpaired, [.. LossCase.All().Where(static c => c.Loss.TakesUnpaired)]);
    }

    /// <summary>LD-DPO's log-probs and its losses on a model's, computed from those of the single tokens; the second reference is the policy.</summary>
    [Test]
    public void LengthDesensitizedLossesMatch()
    {
        const double alpha = 0.25;
        using var backend = new CpuBackend(1);
        using var scope = new StepScope(backend, gradients: false);
        var (policy, other, pairs) = (TinyModels.Create(backend, seed: 3), TinyModels.Create(backend, seed: 4), TinyModels.Pairs(7));
        LossCase[] cases = [.. LossCase.Combinations(alpha)];
        foreach (var reference in new[] { other, policy })
        {
            var (ours, theirs) = (PairPass.Of(policy, pairs, tailWeight: alpha).Sums, PairPass.Of(reference, pairs, tailWeight: alpha).Sums);
            var batch = new LossBatch(
                Numbers(ours.Chosen), Numbers(ours.Rejected), Numbers(theirs.Chosen), Numbers(theirs.Rejected),
                [.. pairs.Select(static p => p.Chosen.Length)], [.. pairs.Select(static p => p.Rejected.Length)]);
            var json = Json(batch);
            (json["chosen"], json["rejected"]) = TokenLogProbs(policy, pairs);
            (json["reference_chosen"], json["reference_rejected"]) = TokenLogProbs(reference, pairs);
            // In float the sums are off by some 1e-6 of their tens of nats, of which a divergence's exponential makes more.
            AssertMatch(batch, cases, json, sizeof(Real) == 4 ? 5e-5 : s_relative);
        }
    }

    /// <summary>Of each pair the log-probs of the chosen completion's tokens, and of the rejected one's.</summary>
    private static (JsonNode Chosen, JsonNode Rejected) TokenLogProbs(Transformer model, PreferencePair[] pairs)
    {
        var packed = PreferencePairs.Pack(model.Backend, pairs);
        var tokens = new Queue<double>(Numbers(Functions.LinearLogProb(model.Hidden(packed), model.Head, packed.Rows, packed.Targets)));
        var chosen = pairs.Select(p => p.Chosen.Select(_ => tokens.Dequeue()).ToArray()).ToArray();
        return (Json(chosen), Json(pairs.Select(p => p.Rejected.Select(_ => tokens.Dequeue()).ToArray()).ToArray()));
    }

    private static double[] Numbers(Tensor tensor) => Array.ConvertAll(tensor.ToArray(), static v => (double)v);

    private static void AssertMatch(LossBatch batch, LossCase[] cases) => AssertMatch(batch, cases, Json(batch), s_relative);

    private static void AssertMatch(LossBatch batch, LossCase[] cases, JsonObject json, double relative)
    {
        Assert.That(cases, Is.Not.Empty);
        var request = new JsonObject { ["batch"] = json, ["cases"] = new JsonArray([.. cases.Select(Json)]) };
        var answers = PythonScript.Run("Dpo/torch_losses.py", request.ToJsonString(), "torch").EnumerateArray().ToArray();
        Assert.That(answers, Has.Length.EqualTo(cases.Length));
        using var backend = new CpuBackend(1);
        Assert.Multiple(() =>
        {
            foreach (var (c, answer) in cases.Zip(answers))
            {
                var (loss, byChosen, byRejected) = batch.Evaluate(backend, c.Loss);
                // Torch sorts; we leave each loss with the pair whose log-ratio has that rank.
                var sorted = c.Text.StartsWith("aot", StringComparison.Ordinal);
                AssertClose(sorted ? [.. loss.Order()] : loss, sorted ? [.. Numbers(answer, "loss").Order()] : Numbers(answer, "loss"), $"{c}: loss", relative);
                AssertClose(byChosen, Numbers(answer, "by_chosen"), $"{c}: derivative by the chosen log-prob", relative);
                AssertClose(byRejected, Numbers(answer, "by_rejected"), $"{c}: derivative by the rejected log-prob", relative);
            }
        });
    }

    // Relative to the number, or to the terms it is the difference of, which are about 1.
    private static void AssertClose(Real[] actual, double[] expected, string what, double relative)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.That((double)actual[i], Is.EqualTo(expected[i]).Within(relative * Math.Max(sizeof(Real) == 4 ? 1 : 1e-6, Math.Abs(expected[i]))), $"{what}, pair {i}");
        }
    }

    private static JsonObject Json(LossBatch b) => new()
    {
        ["chosen"] = Json(b.Chosen),
        ["rejected"] = Json(b.Rejected),
        ["reference_chosen"] = Json(b.ReferenceChosen),
        ["reference_rejected"] = Json(b.ReferenceRejected),
        ["chosen_length"] = Json(b.ChosenLength),
        ["rejected_length"] = Json(b.RejectedLength),
        ["prompt"] = Json(b.Prompt),
        ["prompt_length"] = Json(b.PromptLength),
        ["chosen_confidence"] = Json(b.ChosenConfidence),
        ["rejected_confidence"] = Json(b.RejectedConfidence),
        ["mismatched_chosen"] = Json(b.MismatchedChosen),
        ["mismatched_rejected"] = Json(b.MismatchedRejected),
    };

    private static JsonNode Json(LossCase c)
    {
        var json = new JsonObject { ["text"] = c.Text, ["reference_free"] = c.Settings.ReferenceFree, ["wpo"] = c.Settings.Weighted, ["no_weight"] = c.Settings.WithoutWeight };
        foreach (var (parameter, value) in c.Settings.Numbers)
        {
            json[parameter.Name] = value;
        }
        json["f_divergence"] = c.Settings.Divergence ?? "reverse_kl";
        json["mean"] = c.Settings.Means ?? true;
        return json;
    }

    private static JsonNode Json<T>(T[] numbers) => JsonSerializer.SerializeToNode(numbers)!;

    private static double[] Numbers(JsonElement answer, string key) => [.. answer.GetProperty(key).EnumerateArray().Select(static v => v.GetDouble())];
}
