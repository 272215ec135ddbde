namespace TinyDpo.Dpo;

/// <summary>A statement of the theory with what was measured for it.</summary>
/// <param name="Text">What is claimed.</param>
/// <param name="Equation">Where it stands in Rafailov et al. 2023 (arXiv 2305.18290), or in the source named.</param>
/// <param name="Measured">The number that decides.</param>
/// <param name="Bound">What it is held against.</param>
/// <param name="AtLeast">Whether the bound is from below.</param>
public sealed record Claim(string Text, string Equation, double Measured, double Bound, bool AtLeast = false)
{
    /// <summary>Not so for a NaN.</summary>
    public bool Holds => AtLeast ? Measured >= Bound : Measured <= Bound;
}
