using System.Runtime.InteropServices;

namespace TinyDpo.Tests;

/// <summary>The processor time of the calling thread: what a limit on work can be held against on a machine with other work.</summary>
internal static partial class ThreadClock
{
    private const int ThreadCpuTime = 3; // CLOCK_THREAD_CPUTIME_ID of Linux

    /// <summary>Since the thread's start; zero on systems but Linux, where limits are not checked.</summary>
    public static TimeSpan ProcessorTime()
    {
        if (!OperatingSystem.IsLinux())
        {
            return TimeSpan.Zero;
        }
        Assert.That(ClockGetTime(ThreadCpuTime, out var time), Is.Zero);
        return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromMicroseconds(time.Nanoseconds / 1000);
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, out TimeSpec time);

    private readonly struct TimeSpec
    {
        public readonly nint Seconds;
        public readonly nint Nanoseconds;
    }
}
