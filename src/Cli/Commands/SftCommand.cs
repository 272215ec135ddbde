using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo sft: supervised fine-tuning, or training from scratch.</summary>
internal static class SftCommand
{
    public static Command Create()
    {
        var model = new Option<string?>("--model") { Description = "The model to go on from.", HelpName = "MODEL" };
        var config = new Option<string?>("--config") { Description = "Instead of --model: the config.json of a new model; needs --tokenizer.", HelpName = "FILE" };
        var tokenizer = CommonOptions.Tokenizer();
        var data = CommonOptions.Data("Rows {prompt, completion} or {text}.");
        var folder = CommonOptions.Out("Where metrics.jsonl, checkpoint-N/ and model/ go.");
        var tensorBoard = CommonOptions.TensorBoard();
        var resume = CommonOptions.Resume();
        var dryRun = CommonOptions.DryRun();
        var maxLength = CommonOptions.MaxLength();
        var budget = CommonOptions.TokenBudget();
        var template = CommonOptions.ChatTemplate();
        var quiet = CommonOptions.Quiet();
        var command = new Command("sft", "Supervised fine-tuning, or training from scratch.")
        {
            model, config, tokenizer, data, folder, tensorBoard, resume, dryRun, maxLength, budget, template.Option, quiet,
        };
        var device = new DeviceFlags(command);
        var training = new TrainingFlags(command, new TrainingOptions());
        command.SetAction((parsed, cancellation) =>
        {
            var options = new SftRunOptions
            {
                Model = parsed.GetValue(model),
                Config = parsed.GetValue(config),
                Tokenizer = parsed.GetValue(tokenizer),
                Data = parsed.GetRequiredValue(data),
                Out = parsed.GetRequiredValue(folder),
                Resume = parsed.GetValue(resume),
                DryRun = parsed.GetValue(dryRun),
                TensorBoard = parsed.GetValue(tensorBoard),
                Training = training.Read(parsed),
                Template = template.Read(parsed),
                MaxLength = parsed.GetValue(maxLength),
                TokenBudget = parsed.GetValue(budget),
            };
            if (options.Model is null == options.Config is null)
            {
                throw new UsageException("give either --model or --config");
            }
            if (options.Config is not null && options.Tokenizer is null)
            {
                throw new UsageException("--config needs --tokenizer");
            }
            if (options.DryRun)
            {
                return Task.FromResult(DryRun.Run(
                    parsed, device, parsed.GetValue(quiet), options.Training, options.TokenBudget, adapters: true,
                    (dry, log) => SftRun.Run(options, dry, log, cancellation), resume, tensorBoard));
            }
            using var backend = device.Open(parsed);
            var result = Interruptible.Run(
                options.Out, () => RunConsole.Run(parsed.GetValue(quiet), log => SftRun.Run(options, backend, log, cancellation)));
            JsonLine.Write(result.ToLine());
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
