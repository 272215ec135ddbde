using System.Text.Json;
using System.Text.Json.Nodes;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

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

    private static void AssertMatch(LossBatch batch, LossCase[] cases)
    {
        Assert.That(cases, Is.Not.Empty);
        var request = new JsonObject { ["batch"] = Json(batch), ["cases"] = new JsonArray([.. cases.Select(Json)]) };
        var answers = TorchScript.Run("Dpo/torch_losses.py", request.ToJsonString()).EnumerateArray().ToArray();
        Assert.That(answers, Has.Length.EqualTo(cases.Length));
        using var backend = new CpuBackend(1);
        Assert.Multiple(() =>
        {
            foreach (var (c, answer) in cases.Zip(answers))
            {
                var (loss, byChosen, byRejected) = batch.Evaluate(backend, c.Loss);
                // Torch sorts; we leave each loss with the pair whose log-ratio has that rank.
                var sorted = c.Text.StartsWith("aot", StringComparison.Ordinal);
                AssertClose(sorted ? [.. loss.Order()] : loss, sorted ? [.. Numbers(answer, "loss").Order()] : Numbers(answer, "loss"), $"{c}: loss");
                AssertClose(byChosen, Numbers(answer, "by_chosen"), $"{c}: derivative by the chosen log-prob");
                AssertClose(byRejected, Numbers(answer, "by_rejected"), $"{c}: derivative by the rejected log-prob");
            }
        });
    }

    // Relative to the number, or to the terms it is the difference of, which are about 1.
    private static void AssertClose(Real[] actual, double[] expected, string what)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.That((double)actual[i], Is.EqualTo(expected[i]).Within(s_relative * Math.Max(sizeof(Real) == 4 ? 1 : 1e-6, Math.Abs(expected[i]))), $"{what}, pair {i}");
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
