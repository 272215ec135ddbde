using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Tensors;

namespace TinyDpo.Cli;

/// <summary>tinydpo dpo: preference training.</summary>
internal static class DpoCommand
{
    // Rafailov et al. 2023, appendix B: beta 0.1, batches of 64, RMSprop at 1e-6, 150 steps of linear warm-up. Clipping at 10
    // is what the authors' code does.
    private static readonly TrainingOptions s_paper = new()
    {
        BatchSize = 64,
        Optimiser = OptimiserKind.RmsProp,
        LearningRate = 1e-6,
        Schedule = ScheduleKind.Constant,
        WarmupSteps = 150,
        MaxGradNorm = 10,
    };

    public static Command Create()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var reference = new Option<string?>("--reference") { Description = "Another reference than the model itself.", HelpName = "MODEL" };
        var data = CommonOptions.Data("Pairs: {prompt, chosen, rejected} and its relatives.");
        var evalData = CommonOptions.EvalData();
        var evalEvery = CommonOptions.EvalEvery();
        var folder = CommonOptions.Out("Where metrics.jsonl, checkpoint-N/ and model/ go.");
        var tensorBoard = CommonOptions.TensorBoard();
        var dashboard = new Option<bool>("--dashboard") { Description = "Serve the report on 127.0.0.1 while training; the address goes to stderr." };
        var resume = CommonOptions.Resume();
        var dryRun = CommonOptions.DryRun();
        var preset = new Choice<TrainingOptions?>(
            "--preset", "paper: the paper's batch, optimiser, rate, warm-up and clipping, where not given.", "none", ("none", null), ("paper", s_paper));
        var maxLength = CommonOptions.MaxLength();
        var maxPrompt = CommonOptions.MaxPromptLength();
        var budget = CommonOptions.TokenBudget();
        var template = CommonOptions.ChatTemplate();
        var quiet = CommonOptions.Quiet();
        var command = new Command("dpo", "Preference training of a model on pairs: Direct Preference Optimization, or another loss.")
        {
            model, tokenizer, reference, data, evalData, evalEvery, folder, tensorBoard, dashboard, resume, dryRun, preset.Option, maxLength, maxPrompt, budget,
            template.Option, quiet,
        };
        var device = new DeviceFlags(command);
        var loss = new LossFlags(command);
        var sync = new ReferenceSyncFlags(command);
        var training = new TrainingFlags(command, new TrainingOptions { LearningRate = 1e-4 });
        command.SetAction((parsed, cancellation) =>
        {
            var chosenLoss = loss.Read(parsed);
            if (parsed.GetValue(dashboard) && parsed.GetValue(quiet))
            {
                throw new UsageException("--dashboard says its address on stderr: leave out --quiet");
            }
            var live = parsed.GetValue(dashboard) ? new LiveReport(parsed.GetRequiredValue(folder)) : null;
            var options = new DpoRunOptions
            {
                Model = parsed.GetRequiredValue(model),
                Tokenizer = parsed.GetValue(tokenizer),
                Reference = parsed.GetValue(reference),
                Data = parsed.GetRequiredValue(data),
                EvalData = parsed.GetValue(evalData),
                EvalEvery = parsed.GetValue(evalEvery),
                Out = parsed.GetRequiredValue(folder),
                Resume = parsed.GetValue(resume),
                DryRun = parsed.GetValue(dryRun),
                TensorBoard = parsed.GetValue(tensorBoard),
                Live = live,
                Loss = chosenLoss,
                Sync = sync.Read(parsed, chosenLoss),
                Training = training.Read(parsed, preset.Read(parsed)),
                Template = template.Read(parsed),
                MaxLength = parsed.GetValue(maxLength),
                MaxPromptLength = parsed.GetValue(maxPrompt),
                TokenBudget = parsed.GetValue(budget),
            };
            if (options.EvalEvery > 0 && options.EvalData is null)
            {
                throw new UsageException("--eval-every has no effect without --eval-data: leave it out");
            }
            if (options.Sync is not null && options.Training.Lora is not null)
            {
                throw new UsageException("--sync-reference mixes whole models: leave out --lora-rank");
            }
            if (options.DryRun)
            {
                return Task.FromResult(DryRun.Run(
                    parsed, device, parsed.GetValue(quiet), options.Training, options.TokenBudget, adapters: true,
                    (dry, log) => DpoRun.Run(options, dry, log, cancellation), resume, tensorBoard, dashboard));
            }
            using var backend = device.Open(parsed);
            using var server = live is null ? null : new DashboardServer(live.Render);
            if (server is not null)
            {
                Console.Error.WriteLine($"dashboard: {server.Address}");
            }
            var result = Interruptible.Run(
                options.Out, () => RunConsole.Run(parsed.GetValue(quiet), log => DpoRun.Run(options, backend, log, cancellation)));
            JsonLine.Write(result.ToLine());
            return Task.FromResult(CommandLine.Success);
        });
        return command;
    }
}
