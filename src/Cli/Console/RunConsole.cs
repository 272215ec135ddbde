using Spectre.Console;
using Spectre.Console.Rendering;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Runs long work with a progress bar on stderr; without one when stderr is no terminal, or with --quiet.</summary>
internal static class RunConsole
{
    public static T Run<T>(bool quiet, Func<IRunLog, T> work)
    {
        if (quiet || Console.IsErrorRedirected)
        {
            return work(quiet ? IRunLog.Silent : new WarningLog());
        }
        // Detected, it would be no: Spectre asks whether stdout, of which this is independent, is a terminal.
        var stderr = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error), Interactive = InteractionSupport.Yes });
        // Columns fit a terminal of 100: bar and detail of a training run take 80, a stage's name the rest.
        return stderr.Progress()
            .AutoClear(false)
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn { Width = 16 }, new PercentageColumn(),
                new ClockColumn(), new DetailColumn())
            .Start(context => work(new ProgressLog(stderr, context)));
    }

    /// <summary>Where stderr is a file: no bars and no notes in it, but what was lost.</summary>
    private sealed class WarningLog : IRunLog
    {
        public void Warn(string line) => Console.Error.WriteLine($"tinydpo: warning: {line}");
    }

    private sealed class ProgressLog(IAnsiConsole stderr, ProgressContext context) : IRunLog
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

        public void Note(string line) => stderr.MarkupLineInterpolated($"[grey]{line}[/]");

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

    /// <summary>The time that a stage will still take; once it is done, the time that it took.</summary>
    private sealed class ClockColumn : ProgressColumn
    {
        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime)
        {
            var (time, what) = task.IsFinished ? (task.ElapsedTime, "") : (task.RemainingTime, " left");
            return new Text(time is { } t ? Format(t) + what : "", new Style(task.IsFinished ? Color.Grey : Color.Blue));
        }

        public override int? GetColumnWidth(RenderOptions options) => "0:00:00 left".Length;

        private static string Format(TimeSpan time) =>
            FormattableString.Invariant($"{(int)time.TotalHours}:{time.Minutes:00}:{time.Seconds:00}");
    }

    /// <summary>Loss, margin and tokens/s beside the bar.</summary>
    private sealed class DetailColumn : ProgressColumn
    {
        public const string Key = "detail";

        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(task.State.Get<Detail>(Key).Text ?? "", new Style(Color.Grey));
    }
}
