using System.CommandLine;
using System.Globalization;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>Which loss, and with what: the options that score and dpo share.</summary>
internal sealed class LossFlags
{
    private readonly Option<string> _loss = new("--loss")
    {
        Description = $"The loss, or a weighted sum of losses; default: sigmoid, which is DPO. Others: {string.Join(", ", LossCatalog.Names.Skip(1))}.",
        HelpName = "NAME[:WEIGHT],...",
    };
    private readonly Choice<string> _divergence = new(
        "--f-divergence", "What keeps the policy near its reference.", LossCatalog.Divergences[0], [.. LossCatalog.Divergences.Select(static d => (d, d))]);
    private readonly Choice<bool> _reduction = new(
        "--reduction", "Log-probs of ipo and sigmoid_norm: the mean over a completion's tokens, or the sum.", "mean", ("mean", true), ("sum", false));
    private readonly Option<bool> _referenceFree = new("--reference-free") { Description = "The loss takes the reference's log-probs for 0." };
    private readonly Option<bool> _weighted = new("--wpo") { Description = "Weighs each pair by how likely the policy is to write it (WPO)." };
    private readonly Option<bool> _withoutWeight = new("--no-weight") { Description = "DPO's gradient with 1/2 in the place of its weight sigmoid(-margin), the paper's ablation." };
    private readonly (LossParameter Parameter, Option<double?> Option)[] _numbers = [.. LossParameter.All.Select(static p => (p, Number(p)))];

    public LossFlags(Command command)
    {
        command.Add(_loss);
        foreach (var (_, option) in _numbers)
        {
            command.Add(option);
        }
        foreach (var option in new Option[] { _divergence.Option, _reduction.Option, _referenceFree, _weighted, _withoutWeight })
        {
            command.Add(option);
        }
    }

    /// <exception cref="UsageException">The loss is not known, or ignores an option that was given.</exception>
    public IPreferenceLoss Read(ParseResult parsed)
    {
        try
        {
            return LossCatalog.Create(parsed.GetValue(_loss) ?? LossCatalog.Names[0], new LossSettings
            {
                Numbers = _numbers.Where(n => parsed.GetValue(n.Option) is not null).ToDictionary(static n => n.Parameter, n => parsed.GetValue(n.Option)!.Value),
                Divergence = _divergence.IsGiven(parsed) ? _divergence.Read(parsed) : null,
                Means = _reduction.IsGiven(parsed) ? _reduction.Read(parsed) : null,
                ReferenceFree = parsed.GetValue(_referenceFree),
                Weighted = parsed.GetValue(_weighted),
                WithoutWeight = parsed.GetValue(_withoutWeight),
            });
        }
        catch (LossException e)
        {
            throw new UsageException(e.Message);
        }
    }

    private static Option<double?> Number(LossParameter parameter) => new("--" + parameter.Name)
    {
        Description = parameter.Description,
        HelpName = "X",
        CustomParser = result => CommonOptions.Parse(
            result,
            text => (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && parameter.Allows(number), (double?)number),
            $"a number {parameter.Range}"),
    };
}
