using System.CommandLine;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>How text is sampled: the options of generate, pairs and eval.</summary>
internal sealed class SamplingFlags
{
    private readonly Option<int> _maxTokens;
    private readonly Option<double> _temperature = CommonOptions.Real(
        "--temperature", "Divides the logits; 0 takes the likeliest token.", 1, static v => v is >= 0 and <= 100, "from 0 to 100");
    private readonly Option<int> _topK = CommonOptions.Count("--top-k", "Only the K likeliest tokens; 0 for all.", 0);
    private readonly Option<double> _topP = CommonOptions.Real(
        "--top-p", "Only the likeliest tokens that reach this probability; 1 for all.", 1, static v => v is > 0 and <= 1, "above 0, at most 1");
    private readonly Option<ulong> _seed = CommonOptions.Seed();
    private readonly bool _shapes;

    /// <param name="command">Gets the options.</param>
    /// <param name="maxTokens">Default of --max-tokens.</param>
    /// <param name="shapes">Whether temperature, top-k and top-p may be chosen; where KL is measured they may not.</param>
    public SamplingFlags(Command command, int maxTokens, bool shapes = true)
    {
        _shapes = shapes;
        _maxTokens = CommonOptions.Positive("--max-tokens", "The most tokens a continuation gets.", maxTokens);
        command.Add(_maxTokens);
        command.Add(_seed);
        if (shapes)
        {
            command.Add(_temperature);
            command.Add(_topK);
            command.Add(_topP);
        }
    }

    public GenerationOptions Read(ParseResult parsed, int eosId) => new()
    {
        MaxTokens = parsed.GetValue(_maxTokens),
        EosId = eosId,
        Seed = parsed.GetValue(_seed),
        Sampling = _shapes
            ? new SamplingOptions(parsed.GetValue(_temperature), parsed.GetValue(_topK), parsed.GetValue(_topP))
            : new SamplingOptions(),
    };
}
