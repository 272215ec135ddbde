using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Training that Ctrl-C stops after saving.</summary>
internal static class Interruptible
{
    /// <summary>Runs the work; when it is cancelled, says how to go on.</summary>
    /// <param name="folder">OUT of a training run.</param>
    /// <param name="work">The run.</param>
    public static T Run<T>(string folder, Func<T> work)
    {
        try
        {
            return work();
        }
        catch (OperationCanceledException e)
        {
            throw new InterruptedException(
                RunFolder.TrainedModel(folder) is { } model
                    ? $"interrupted after the last step: {model} is whole; measure it with tinydpo eval"
                    : RunFolder.NewestCheckpoint(folder) is { } newest
                        ? $"interrupted; repeat the command with --resume to go on from {newest}"
                        : "interrupted before there was a checkpoint; repeat the command to start anew",
                e);
        }
    }
}
