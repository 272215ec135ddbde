namespace TinyDpo.Models;

/// <summary>Low-rank adapters (Hu et al. 2021): W x becomes W x + alpha / rank B A x, with A [rank, in] and B [out, rank].</summary>
public sealed record LoraOptions
{
    public required int Rank { get; init; }

    public required double Alpha { get; init; }

    /// <summary>
    /// The maps that get an adapter, by the end of their name in transformers: "q_proj", or "0.self_attn.q_proj". Empty for PEFT's choice, which
    /// is q_proj and v_proj, and c_attn for a GPT-2.
    /// </summary>
    public IReadOnlyList<string> Targets { get; init; } = [];

    internal double Scale => Alpha / Rank;
}
