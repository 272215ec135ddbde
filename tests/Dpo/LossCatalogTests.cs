using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>Names, weights and settings of losses: what is made of them, and what is refused by name.</summary>
public class LossCatalogTests
{
    [Test]
    public void ANameAloneIsThatLossWithItsDefaults()
    {
        Assert.That(LossCatalog.Create("sigmoid", new()), Is.EqualTo(new DpoLoss(0.1)));
        Assert.That(LossCatalog.Create("ipo", new()), Is.EqualTo(new IpoLoss(0.1, Mean: true)));
        Assert.That(LossCatalog.Create("simpo", new()), Is.EqualTo(new SimPoLoss(2, 0.5)));
        Assert.That(LossCatalog.Create("sigmoid", new() { Divergence = "reverse_kl" }), Is.EqualTo(new DpoLoss(0.1)), "DPO's own bits");
    }

    [Test]
    public void ASumKeepsItsWeightsAndAModifierItsPlace()
    {
        var sum = (SumLoss)LossCatalog.Create("sigmoid:0.5,sft:2", With(LossParameter.Beta, 0.3) with { Weighted = true });
        Assert.That(sum.Terms.Select(static t => t.Weight), Is.EqualTo(new[] { 0.5, 2 }));
        Assert.That(sum.Terms[0].Loss, Is.EqualTo(new WeightedLoss(new DpoLoss(0.3))), "sft is not a loss of pairs: it keeps its weight");
        Assert.That(sum.Terms[1].Loss, Is.EqualTo(new SftLoss()));
        Assert.That((sum.Beta, sum.AtReference, sum.Inputs), Is.EqualTo((0.3, (double?)null, LossInputs.Confidence)));
        Assert.That(LossCatalog.Create("sigmoid", With(LossParameter.RpoAlpha, 2)).ToString(), Is.EqualTo(LossCatalog.Create("sigmoid:1,sft:2", new()).ToString()));
        Assert.That(LossCatalog.Create("hinge:0.5,bco_pair:2", new()).AtReference, Is.EqualTo(0.5 + (4 * Math.Log(2))));
        Assert.That(LossCatalog.Create("kto,orpo", new()).Inputs, Is.EqualTo(LossInputs.Mismatched | LossInputs.WholeBatch | LossInputs.Prompts));
        Assert.That(LossCatalog.Create("sigmoid", With(LossParameter.TailWeight, 0.25)).TailWeight, Is.EqualTo(0.25));
    }

    /// <summary>What is tested of losses is all that the catalogue allows: these are among it.</summary>
    [Test]
    public void EveryAllowedCombinationIsACase()
    {
        var cases = LossCase.All().Concat(LossCase.Combinations(0.25)).Select(static c => c.ToString()).ToList();
        Assert.That(cases, Is.Unique);
        Assert.That(cases, Is.SupersetOf(LossCatalog.Names));
        Assert.That(cases, Is.SupersetOf(new[]
        {
            "apo_zero --wpo", "apo_zero_unpaired --reference-free --wpo", "dpop --wpo", "alphapo --wpo", "aot_unpaired --reference-free",
            "ipo --f-divergence alpha --reduction sum --reference-free --wpo", "sigmoid --f-divergence forward_kl --wpo --no-weight",
            "dpop --ld-alpha 0.25 --wpo", "unlikelihood --ld-alpha 0.25", "aot_unpaired --ld-alpha 0.25 --reference-free",
        }));
    }

    /// <summary>The text names a run's checkpoints: another loss or number must give another.</summary>
    [Test]
    public void EveryLossHasItsOwnText() =>
        Assert.That(LossCase.All().Select(static c => (c.Loss, c.Loss.ToString())).Distinct().Select(static x => x.Item2), Is.Unique);

    [TestCase("dpo", "'dpo'", "sigmoid")]
    [TestCase("", "''")]
    [TestCase("sigmoid,", "''")]
    [TestCase("sigmoid:0", "'sigmoid:0'", "above 0")]
    [TestCase("sigmoid:x", "'sigmoid:x'")]
    [TestCase("sigmoid:1:2", "'sigmoid:1:2'")]
    [TestCase("sigmoid:NaN", "'sigmoid:NaN'")]
    [TestCase("sigmoid,hinge,sigmoid", "twice")]
    public void OtherTextsAreRefused(string text, params string[] parts) => AssertRefused(text, new(), parts);

    [Test]
    public void WhatALossIgnoresIsRefused()
    {
        foreach (var parameter in LossParameter.All.Except([LossParameter.RpoAlpha, LossParameter.Beta]))
        {
            var other = parameter == LossParameter.TailWeight ? "orpo" : "hinge";
            AssertRefused(other, With(parameter, 0.1), "--" + parameter.Name, parameter == LossParameter.DivergenceAlpha ? "--f-divergence" : other);
        }
        AssertRefused("sft", With(LossParameter.Beta, 0.1), "--beta", "sft");
        AssertRefused("unlikelihood", With(LossParameter.Beta, 0.1), "--beta", "unlikelihood");
        AssertRefused("sft", With(LossParameter.RpoAlpha, 1), "--rpo-alpha", "sft");
        AssertRefused("exo_pair", With(LossParameter.LabelSmoothing, 0), "--label-smoothing", "exo_pair", "above 0");
        AssertRefused("sigmoid", With(LossParameter.DivergenceAlpha, 0.5) with { Divergence = "js" }, "--f-alpha", "--f-divergence js");
        AssertRefused("hinge", new() { Means = false }, "--reduction", "hinge");
        foreach (var loss in new[] { "apo_zero", "aot", "aot_unpaired", "simpo", "kto", "sft" })
        {
            AssertRefused(loss, new() { Divergence = "js" }, "--f-divergence", loss);
        }
        foreach (var loss in new[] { "simpo", "alphapo", "cpo", "orpo", "sft", "unlikelihood", "kto", "dpop" })
        {
            AssertRefused(loss, new() { ReferenceFree = true }, "--reference-free", loss);
        }
        foreach (var loss in new[] { "aot", "cpo", "orpo", "kto", "sft" })
        {
            AssertRefused(loss, new() { Weighted = true }, "--wpo", loss);
        }
        foreach (var loss in new[] { "sft", "cpo", "orpo", "simpo", "kto", "sigmoid,sft" })
        {
            AssertRefused(loss, With(LossParameter.TailWeight, 0.5), "--ld-alpha");
        }
        foreach (var loss in LossCatalog.Names.Except(["sigmoid"]).Append("sigmoid,hinge"))
        {
            AssertRefused(loss, new() { WithoutWeight = true }, "--no-weight", loss.Split(',')[^1]);
        }
        AssertRefused("sigmoid", With(LossParameter.LabelSmoothing, 0.1) with { WithoutWeight = true }, "--label-smoothing", "--no-weight");
        AssertRefused("sigmoid,apo_zero", new() { Divergence = "js" }, "--f-divergence", "apo_zero");
    }

    /// <summary>The page of losses names them all, with every option.</summary>
    [Test]
    public void TheDocumentNamesEveryLossAndParameter()
    {
        var page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "losses.md"));
        foreach (var name in LossCatalog.Names)
        {
            Assert.That(page, Does.Contain($"| `{name}` |"));
        }
        foreach (var name in LossParameter.All.Select(static p => p.Name).Concat(["f-divergence", "reduction", "reference-free", "wpo", "no-weight"]))
        {
            Assert.That(page, Does.Contain($"`--{name}"));
        }
    }

    private static LossSettings With(LossParameter parameter, double value) => new() { Numbers = new Dictionary<LossParameter, double> { [parameter] = value } };

    private static void AssertRefused(string text, LossSettings settings, params string[] parts)
    {
        var message = Assert.Throws<LossException>(() => LossCatalog.Create(text, settings))!.Message;
        foreach (var part in parts)
        {
            Assert.That(message, Does.Contain(part));
        }
    }
}
