using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Kernels;

namespace TinyDpo.Cli;

/// <summary>tinydpo report: one HTML file of one or more runs.</summary>
internal static class ReportCommand
{
    public static Command Create()
    {
        var runs = new Argument<string[]>("RUN") { Description = "Folders of training runs, overlaid.", Arity = ArgumentArity.OneOrMore };
        var file = new Option<string?>("--out") { Description = "The HTML file; default: report.html in the first RUN.", HelpName = "FILE.html" };
        var command = new Command("report", "Curves, tokens, samples and losses of runs as one self-contained HTML file.") { runs, file };
        command.SetAction(parsed =>
        {
            var folders = parsed.GetRequiredValue(runs);
            var path = parsed.GetValue(file) ?? Path.Combine(folders[0], RunReport.FileName);
            if (Path.GetExtension(path).ToLowerInvariant() is not (".html" or ".htm"))
            {
                throw new UsageException($"--out takes the name of an .html file, not '{path}': what else a run's folder holds is not overwritten");
            }
            using var backend = new CpuBackend(1);
            RunReport.Write(folders, path, backend);
            JsonLine.Write(new { report = path });
            return CommandLine.Success;
        });
        return command;
    }
}
