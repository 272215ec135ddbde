using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace TinyDpo.Bench;

/// <summary>
/// Every benchmark in this process, so that the limits measured around it can stand in its row; with columns for the rate, its share of the
/// limit, and the error against double.
/// </summary>
internal sealed class BenchConfig : ManualConfig
{
    public BenchConfig()
    {
        AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(3).WithIterationCount(7).AsDefault());
        AddColumnProvider(DefaultColumnProviders.Params, DefaultColumnProviders.Statistics);
        AddColumn(TargetMethodColumn.Method, new RateColumn(), new LimitColumn(), new ErrorColumn());
        AddLogger(ConsoleLogger.Default);
        AddExporter(MarkdownExporter.GitHub);
        WithSummaryStyle(SummaryStyle.Default.WithMaxParameterColumnWidth(60));
        WithOptions(ConfigOptions.DisableOptimizationsValidator);
    }
}
