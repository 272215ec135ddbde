namespace TinyDpo.Cli;

/// <summary>Long work that Ctrl-C stops after saving.</summary>
internal static class Interruptible
{
    /// <summary>Runs the work; when it is cancelled, says where it was saved and how to go on.</summary>
    public static void Run(string folder, Action work) => Run(folder, () =>
    {
        work();
        return 0;
    });

    public static T Run<T>(string folder, Func<T> work)
    {
        try
        {
            return work();
        }
        catch (OperationCanceledException e)
        {
            throw new InterruptedException($"interrupted; {folder} holds a checkpoint of every step made: repeat the command with --resume to go on", e);
        }
    }
}
