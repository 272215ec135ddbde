using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo eval: a policy against its reference on held-out prompts.</summary>
internal static class EvalCommand
{
    public static Command Create()
    {
        var policy = CommonOptions.Model("--policy");
        var reference = CommonOptions.Model("--reference");
        var tokenizer = CommonOptions.Tokenizer();
        var prompts = Shared.Prompts();
        var reward = Shared.Reward();
        var samples = new Option<string?>("--samples") { Description = "Write every sample here, as JSON Lines.", HelpName = "FILE.jsonl" };
        var quiet = CommonOptions.Quiet();
        var command = new Command("eval", "Reward, win rate, KL and fluency of a policy against its reference, on samples at temperature 1.")
        {
            policy, reference, tokenizer, prompts, reward, samples, quiet,
        };
        var device = new DeviceFlags(command);
        var sampling = new SamplingFlags(command, maxTokens: 64, shapes: false);
        command.SetAction((parsed, cancellation) =>
        {
            using var backend = device.Open(parsed);
            var run = new EvalRunOptions
            {
                Policy = parsed.GetRequiredValue(policy),
                Reference = parsed.GetRequiredValue(reference),
                Tokenizer = parsed.GetValue(tokenizer),
                Prompts = parsed.GetRequiredValue(prompts),
                Reward = RewardSpec.Parse(parsed.GetRequiredValue(reward), backend),
                Samples = parsed.GetValue(samples),
                Generation = eosId => sampling.Read(parsed, eosId),
            };
            JsonLine.Write(RunConsole.Run(parsed.GetValue(quiet), log => EvalRun.Run(run, backend, log, cancellation)));
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
