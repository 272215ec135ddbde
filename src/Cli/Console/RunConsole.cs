using Spectre.Console;
using Spectre.Console.Rendering;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Runs long work with a progress bar on stderr; without one when stderr is no terminal, or with --quiet.</summary>
internal static class RunConsole
{
    private static readonly IAnsiConsole s_stderr =
        AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error), Interactive = InteractionSupport.No });

    public static IAnsiConsole Error => s_stderr;

    public static T Run<T>(bool quiet, Func<IRunLog, T> work)
    {
        if (quiet || Console.IsErrorRedirected)
        {
            return work(IRunLog.Silent);
        }
        return s_stderr.Progress()
            .AutoClear(false)
            .Columns(
                new SpinnerColumn(), new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = 24 },
                new PercentageColumn(), new ElapsedTimeColumn(), new RemainingTimeColumn(), new DetailColumn())
            .Start(context => work(new ProgressLog(context)));
    }

    public static void Run(bool quiet, Action<IRunLog> work) => Run(quiet, log =>
    {
        work(log);
        return 0;
    });

    private sealed class ProgressLog(ProgressContext context) : IRunLog
    {
        private ProgressTask? _task;

        public void Stage(string name, int total)
        {
            Finish();
            _task = context.AddTask(Markup.Escape(name), maxValue: Math.Max(1, total));
        }

        public void Advance(int done, string? detail = null)
        {
            if (_task is null)
            {
                return;
            }
            if (detail is not null)
            {
                _task.State.Update<Detail>(DetailColumn.Key, _ => new Detail(detail));
            }
            _task.Value = done;
        }

        public void Note(string line) => s_stderr.MarkupLineInterpolated($"[grey]{line}[/]");

        private void Finish()
        {
            if (_task is not null)
            {
                _task.Value = _task.MaxValue;
                _task.StopTask();
            }
        }
    }

    // A task's state takes value types only.
    private readonly record struct Detail(string? Text);

    /// <summary>Loss, margin and tokens/s beside the bar.</summary>
    private sealed class DetailColumn : ProgressColumn
    {
        public const string Key = "detail";

        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(task.State.Get<Detail>(Key).Text ?? "", new Style(Color.Grey));
    }
}
