using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo explain: the gradient of each pair's loss taken apart.</summary>
internal static class ExplainCommand
{
    public static Command Create()
    {
        var policy = CommonOptions.Model("--policy");
        var reference = CommonOptions.Model("--reference");
        var tokenizer = CommonOptions.Tokenizer();
        var data = CommonOptions.Data("Pairs, as text or as token ids.");
        var pair = CommonOptions.Limit("--pair", "The line of the one pair to explain, its tokens too; default: all.", 1);
        var optimiser = new Choice<OptimiserKind>(
            "--optimizer", "What makes the step: its first, without clipping.", "sgd",
            ("sgd", OptimiserKind.Sgd), ("adamw", OptimiserKind.AdamW), ("rmsprop", OptimiserKind.RmsProp));
        var learningRate = CommonOptions.Real(
            "--learning-rate", "The step's learning rate.", 1e-5, static v => v is > 0 and <= 1e3, "above 0, at most 1000");
        var json = new Option<bool>("--json") { Description = "JSON Lines, a pair a line with its tokens, the summary last; instead of a table." };
        var template = CommonOptions.ChatTemplate();
        var quiet = CommonOptions.Quiet();
        var command = new Command("explain", "Take the gradient of each pair's loss apart, and compare a step's first-order changes with the real ones.")
        {
            policy, reference, tokenizer, data, pair, optimiser.Option, learningRate, json, template.Option, quiet,
        };
        var device = new DeviceFlags(command);
        var loss = new LossFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            var options = new ExplainRunOptions
            {
                Policy = parsed.GetRequiredValue(policy),
                Reference = parsed.GetRequiredValue(reference),
                Tokenizer = parsed.GetValue(tokenizer),
                Data = parsed.GetRequiredValue(data),
                Template = template.Read(parsed),
                Pair = parsed.GetValue(pair),
                Tokens = parsed.GetValue(json) || parsed.GetValue(pair) is not null,
                Loss = Explainable(loss.Read(parsed)),
                Step = new TrainingOptions { Optimiser = optimiser.Read(parsed), LearningRate = parsed.GetValue(learningRate) },
            };
            using var backend = device.Open(parsed);
            var pairs = RunConsole.Run(parsed.GetValue(quiet), log => ExplainRun.Run(options, backend, log, cancellation));
            Report(pairs, parsed.GetValue(json));
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }

    private static void Report(IReadOnlyList<PairExplanation> pairs, bool json)
    {
        var summary = ExplanationSummary.Of(pairs);
        if (!json)
        {
            ExplainTable.Print(pairs, summary);
            return;
        }
        foreach (var pair in pairs)
        {
            JsonLine.Write(pair);
        }
        JsonLine.Write(new { summary });
    }

    private static IPreferenceLoss Explainable(IPreferenceLoss loss)
    {
        try
        {
            PairExplainer.Require(loss);
            return loss;
        }
        catch (LossException e)
        {
            throw new UsageException(e.Message);
        }
    }
}
