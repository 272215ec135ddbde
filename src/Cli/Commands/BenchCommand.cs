using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>tinydpo bench: how long things take.</summary>
internal static class BenchCommand
{
    public static Command Create() => new("bench", "Measure.") { Step(), Sample(), Kernels(), Roofline() };

    private static Command Step()
    {
        var workload = CommonOptions.Workload();
        var weights = new Option<string?>("--weights") { Description = "Starting weights under Hugging Face's names; default: from the seed.", HelpName = "FILE.safetensors" };
        var steps = CommonOptions.Positive("--steps", "Counted steps, after 2 of warm-up.", 12);
        var command = new Command("step", "Time whole DPO steps on one batch.") { workload, weights, steps };
        var device = new DeviceFlags(command);
        command.SetAction(parsed =>
        {
            using var backend = device.Open(parsed);
            var work = Workload.Read(parsed.GetRequiredValue(workload));
            var result = StepBenchmark.Run(work, parsed.GetValue(weights), parsed.GetValue(steps), backend);
            JsonLine.Write(new
            {
                peer = "tinydpo",
                mode = "packed",
                threads = device.Threads(parsed),
                ms_per_step_median = Math.Round(result.Median, 2),
                ms_per_step_min = Math.Round(result.Milliseconds.Min(), 2),
                tokens = work.Tokens,
                padded_tokens = result.PackedTokens,
                tokens_per_s = Math.Round(work.Tokens / result.Median * 1000, 1),
                last_loss = Math.Round(result.LastLoss, 6),
                peak_bytes = ProcessMemory.PeakBytes(),
                flops_per_step = result.Flops,
                peak_flops_per_s = result.PeakFlopsPerSecond,
                mfu = result.Utilisation,
            });
            return CommandLine.Success;
        });
        return command;
    }

    private static Command Roofline()
    {
        var workload = CommonOptions.Workload();
        var steps = CommonOptions.Positive("--steps", "Counted steps, after 2 of warm-up; each kernel shows its fastest.", 12);
        var threads = CommonOptions.Threads();
        var json = new Option<bool>("--json") { Description = "A JSON object a kernel." };
        var svg = new Option<string?>("--svg") { Description = "Also draws it.", HelpName = "FILE.svg" };
        var command = new Command("roofline", "Every kernel of a DPO step against the processor's limits.") { workload, steps, threads, json, svg };
        command.SetAction(parsed =>
        {
            using var backend = new CpuBackend(parsed.GetValue(threads) ?? CommonOptions.DefaultThreads());
            var work = Workload.Read(parsed.GetRequiredValue(workload));
            var roofline = StepRoofline.Run(work, parsed.GetValue(steps), backend);
            RooflineTable.Print(roofline, parsed.GetValue(json));
            if (parsed.GetValue(svg) is { } file)
            {
                AtomicFile.WriteText(file, RooflineChart.Draw(roofline));
            }
            return CommandLine.Success;
        });
        return command;
    }

    private static Command Kernels()
    {
        var threads = CommonOptions.Threads();
        var filter = new Option<string?>("--filter") { Description = "Only kernels whose name holds this.", HelpName = "TEXT" };
        var json = new Option<bool>("--json") { Description = "A JSON object a kernel." };
        var command = new Command("kernels", "Every kernel that training time goes to: speed, share of the limit, error against double.")
        {
            filter, threads, json,
        };
        command.SetAction(parsed =>
        {
            using var backend = new CpuBackend(parsed.GetValue(threads) ?? CommonOptions.DefaultThreads());
            var specs = KernelCases.All().Where(s => s.Kernel.Contains(parsed.GetValue(filter) ?? "", StringComparison.OrdinalIgnoreCase));
            return KernelRows.Print(KernelTable.Run(backend, specs), parsed.GetValue(json)) ? CommandLine.Success : CommandLine.Failure;
        });
        return command;
    }

    private static Command Sample()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var sequences = CommonOptions.Positive("--sequences", "Sampled side by side.", 1);
        var tokens = CommonOptions.Positive("--max-tokens", "Of each sequence.", 256);
        var rounds = CommonOptions.Positive("--rounds", "Counted rounds, after one of warm-up.", 5);
        var command = new Command("sample", "Time sampling, tokens a second.") { model, tokenizer, sequences, tokens, rounds };
        var device = new DeviceFlags(command);
        command.SetAction(parsed =>
        {
            using var backend = device.Open(parsed);
            var (loaded, itsTokenizer) = ModelFile.Load(parsed.GetRequiredValue(model), backend, parsed.GetValue(tokenizer));
            var rate = SampleBenchmark.TokensPerSecond(
                loaded, parsed.GetValue(sequences), parsed.GetValue(tokens), parsed.GetValue(rounds), itsTokenizer.BosId ?? itsTokenizer.EosId);
            JsonLine.Write(new { sequences = parsed.GetValue(sequences), threads = device.Threads(parsed), tokens_per_s = Math.Round(rate) });
            return CommandLine.Success;
        });
        return command;
    }
}
