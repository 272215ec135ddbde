using System.CommandLine;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>Adapters in place of the whole model: the options that sft and dpo share.</summary>
internal sealed class LoraFlags
{
    private readonly Option<int> _rank = CommonOptions.Count("--lora-rank", "Trains adapters of this rank beside frozen weights; 0 for the weights themselves.", 0);
    private readonly Option<double> _alpha = CommonOptions.Real(
        "--lora-alpha", "The adapters' output is multiplied by alpha / rank.", 16, static v => v is > 0 and <= 1e6, "above 0, at most 1000000");
    private readonly Option<string?> _targets = new("--lora-targets")
    {
        Description = "The projections that get an adapter, with commas between; default: q_proj,v_proj, or c_attn for a GPT-2.",
        HelpName = "NAMES",
    };
    private readonly Option<bool> _merge = new("--lora-merge") { Description = "Saves the model with its adapters merged, not the adapters alone." };

    public LoraFlags(Command command)
    {
        foreach (var option in new Option[] { _rank, _alpha, _targets, _merge })
        {
            command.Add(option);
        }
    }

    public (LoraOptions? Options, bool Merge) Read(ParseResult parsed)
    {
        var rank = parsed.GetValue(_rank);
        if (rank > 0)
        {
            var targets = parsed.GetValue(_targets)?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            return (new LoraOptions { Rank = rank, Alpha = parsed.GetValue(_alpha), Targets = targets ?? [] }, parsed.GetValue(_merge));
        }
        return Array.Find<Option>([_alpha, _targets, _merge], option => parsed.GetResult(option) is { Implicit: false }) is { } ignored
            ? throw new UsageException($"{ignored.Name} has no effect without --lora-rank: give it, or leave this out")
            : (null, false);
    }
}
