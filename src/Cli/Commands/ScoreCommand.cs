using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo score: every quantity of a preference loss, pair by pair.</summary>
internal static class ScoreCommand
{
    public static Command Create()
    {
        var policy = CommonOptions.Model("--policy");
        var reference = CommonOptions.Model("--reference");
        var tokenizer = CommonOptions.Tokenizer();
        var data = CommonOptions.Data("Pairs, as text or as token ids.");
        var json = new Option<bool>("--json") { Description = "JSON Lines, which is also the default: a line a pair." };
        var template = CommonOptions.ChatTemplate();
        var quiet = CommonOptions.Quiet();
        var command = new Command("score", "Log-probs, implicit rewards, margin, loss and its derivatives for each pair.")
        {
            policy, reference, tokenizer, data, json, template.Option, quiet,
        };
        var device = new DeviceFlags(command);
        var loss = new LossFlags(command);
        command.SetAction((parsed, cancellation) =>
        {
            var chosenLoss = loss.Read(parsed);
            using var backend = device.Open(parsed);
            var options = new ScoreRunOptions
            {
                Policy = parsed.GetRequiredValue(policy),
                Reference = parsed.GetRequiredValue(reference),
                Tokenizer = parsed.GetValue(tokenizer),
                Data = parsed.GetRequiredValue(data),
                Template = template.Read(parsed),
                Loss = chosenLoss,
            };
            foreach (var score in RunConsole.Run(parsed.GetValue(quiet), log => ScoreRun.Run(options, backend, log, cancellation)))
            {
                JsonLine.Write(score);
            }
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
