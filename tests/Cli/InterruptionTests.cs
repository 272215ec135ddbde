using System.Runtime.InteropServices;
using TinyDpo.Cli;

namespace TinyDpo.Tests.Cli;

public sealed class InterruptionTests
{
    [Test]
    public void SignalsThatFollowAtOnceChangeNothingAndALaterOneEndsTheProgram()
    {
        var clock = new Clock();
        using var interruption = new Interruption(clock);
        Assert.That(interruption.Token.IsCancellationRequested, Is.False);

        Assert.That(GoesOnAfter(PosixSignal.SIGINT), Is.True);
        Assert.That(interruption.Token.IsCancellationRequested, Is.True);
        clock.Now += Interruption.Patience - TimeSpan.FromMilliseconds(1);
        Assert.That(GoesOnAfter(PosixSignal.SIGTERM), Is.True, "in a hurry");
        clock.Now += TimeSpan.FromMilliseconds(1);
        Assert.That(GoesOnAfter(PosixSignal.SIGINT), Is.False, "after the first signal, not the last");

        bool GoesOnAfter(PosixSignal signal)
        {
            var context = new PosixSignalContext(signal);
            interruption.Handle(context);
            return context.Cancel;
        }
    }

    private sealed class Clock : TimeProvider
    {
        public TimeSpan Now { get; set; } = TimeSpan.FromDays(1);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
