using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo reward-model: a transformer that scores completions.</summary>
internal static class RewardModelCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var data = CommonOptions.Data("Pairs: {prompt, chosen, rejected} and its relatives.");
        var evalData = CommonOptions.EvalData();
        var folder = CommonOptions.Out("Where metrics.jsonl, checkpoint-N/ and model/ go.");
        var tensorBoard = CommonOptions.TensorBoard();
        var resume = CommonOptions.Resume();
        var dryRun = CommonOptions.DryRun();
        var maxLength = CommonOptions.MaxLength();
        var maxPrompt = CommonOptions.MaxPromptLength();
        var budget = CommonOptions.TokenBudget();
        var template = CommonOptions.ChatTemplate();
        var quiet = CommonOptions.Quiet();
        var command = new Command("reward-model", "Train a reward model on pairs: a scalar head in place of the output head, Bradley-Terry's loss.")
        {
            model, tokenizer, data, evalData, folder, tensorBoard, resume, dryRun, maxLength, maxPrompt, budget,
            template.Option, quiet,
        };
        var device = new DeviceFlags(command);
        var training = new TrainingFlags(command, new TrainingOptions { LearningRate = 3e-4 }, adapters: false); // a frozen scalar head would stay 0
        command.SetAction((parsed, cancellation) =>
        {
            var options = new RewardModelRunOptions
            {
                Model = parsed.GetRequiredValue(model),
                Tokenizer = parsed.GetValue(tokenizer),
                Data = parsed.GetRequiredValue(data),
                EvalData = parsed.GetValue(evalData),
                Out = parsed.GetRequiredValue(folder),
                Resume = parsed.GetValue(resume),
                DryRun = parsed.GetValue(dryRun),
                TensorBoard = parsed.GetValue(tensorBoard),
                Training = training.Read(parsed),
                Template = template.Read(parsed),
                MaxLength = parsed.GetValue(maxLength),
                MaxPromptLength = parsed.GetValue(maxPrompt),
                TokenBudget = parsed.GetValue(budget),
            };
            if (options.DryRun)
            {
                return Task.FromResult(DryRun.Run(
                    parsed, device, parsed.GetValue(quiet), options.Training, options.TokenBudget, adapters: false,
                    (dry, log) => RewardModelRun.Run(options, dry, log, cancellation), resume, tensorBoard));
            }
            using var backend = device.Open(parsed);
            var result = Interruptible.Run(
                options.Out, () => RunConsole.Run(parsed.GetValue(quiet), log => RewardModelRun.Run(options, backend, log, cancellation)));
            JsonLine.Write(result.ToLine());
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
