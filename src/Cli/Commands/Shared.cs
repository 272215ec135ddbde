using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Options that pairs and eval share.</summary>
internal static class Shared
{
    public static Option<string> Prompts() => new("--prompts")
    {
        Description = "A .txt file with a prompt a line, or JSON Lines {prompt} or {prompt_ids}.",
        HelpName = "FILE",
        Required = true,
    };

    public static Option<string> Reward() => new("--reward")
    {
        Description = RewardSpec.Takes + ".",
        HelpName = "REWARD",
        Required = true,
        CustomParser = static result => CommonOptions.Parse(result, static text => (RewardSpec.IsKnown(text), text), RewardSpec.Takes),
    };
}
