using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Whether and how the reference follows the policy: TR-DPO's options.</summary>
internal sealed class ReferenceSyncFlags
{
    private readonly Option<bool> _sync = new("--sync-reference") { Description = "The reference follows the policy (TR-DPO); nothing of it is cached." };
    private readonly Option<double> _mixup = CommonOptions.Real(
        "--reference-mixup-alpha", "The policy's share in the reference at each synchronisation; 1 for a copy.", ReferenceSync.DefaultMixup,
        static v => v is > 0 and <= 1, "above 0, at most 1");
    private readonly Option<int> _steps = CommonOptions.Positive("--reference-sync-steps", "Steps between synchronisations.", ReferenceSync.DefaultSteps);

    public ReferenceSyncFlags(Command command)
    {
        command.Add(_sync);
        command.Add(_mixup);
        command.Add(_steps);
    }

    /// <exception cref="UsageException">An option has no effect: without --sync-reference, or with a loss that takes no reference.</exception>
    public ReferenceSync? Read(ParseResult parsed, IPreferenceLoss loss)
    {
        if (parsed.GetValue(_sync))
        {
            return loss.UsesReference
                ? new ReferenceSync(parsed.GetValue(_mixup), parsed.GetValue(_steps))
                : throw new UsageException("--sync-reference has no effect with this loss, whose gradient does not depend on the reference: leave it out");
        }
        foreach (var option in new Option[] { _mixup, _steps })
        {
            if (parsed.GetResult(option) is { Implicit: false })
            {
                throw new UsageException($"{option.Name} has no effect without --sync-reference: leave it out");
            }
        }
        return null;
    }
}
