using System.Globalization;
using Spectre.Console;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>What the demonstration shows at its end.</summary>
internal static class DemoTable
{
    public static void Print(DemoReport report, string folder)
    {
        var c = report.Comparison;
        var table = new Table().RoundedBorder().Title($"{report.Prefixes.Length} held-out prefixes")
            .AddColumn("").AddColumn(new TableColumn("SFT").RightAligned()).AddColumn(new TableColumn("DPO").RightAligned());
        table.AddRow("mean true reward, in [[0, 1]]", Number(c.ReferenceReward.Estimate), Number(c.PolicyReward.Estimate));
        table.AddRow("samples that the grammar accepts", Percent(report.SftGrammatical), Percent(report.PolicyGrammatical));
        table.AddRow("KL from SFT per sequence, in nats", "0", Number(c.Kl.Estimate));
        table.AddRow("DPO wins against SFT", "", $"{Percent(c.WinRate.Estimate)} ({Percent(c.WinRate.Low)} to {Percent(c.WinRate.High)})");
        table.AddRow(
            "reward accuracy on held-out pairs", "",
            $"{Percent(report.RewardAccuracy.Estimate)} (the best judge: {Percent(report.BayesAccuracy)})");
        table.AddRow("samples cut at the token limit", Percent(c.ReferenceTruncated), Percent(c.PolicyTruncated));
        AnsiConsole.Write(table);

        Console.WriteLine("The same prefix before and after, with the true reward:");
        foreach (var (prefix, sft, dpo) in report.Examples(5))
        {
            Console.WriteLine();
            Console.WriteLine(prefix);
            var samples = new Grid().AddColumn(new GridColumn().NoWrap().Padding(2, 0, 1, 0)).AddColumn(new GridColumn().NoWrap()).AddColumn();
            samples.AddRow(new Text("SFT"), new Text(Number(sft.Reward)), new Text(sft.Text.Trim()));
            samples.AddRow(new Text("DPO"), new Text(Number(dpo.Reward)), new Text(dpo.Text.Trim()));
            AnsiConsole.Write(samples);
        }
        Console.WriteLine();
        Console.WriteLine($"Written: {Path.Combine(folder, "metrics.jsonl")}, {Path.Combine(folder, "summary.json")}, {Path.Combine(folder, "model")}");
        Console.WriteLine($"Report: {Path.Combine(folder, RunReport.FileName)}");
    }

    private static string Number(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Percent(double value) => (100 * value).ToString("0.0", CultureInfo.InvariantCulture) + " %";
}
