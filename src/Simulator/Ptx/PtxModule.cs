namespace TinyDpo.Simulator;

/// <summary>Where something stands: a line of the PTX, and the line of the source that it was made from (0 where .loc does not say).</summary>
internal readonly record struct PtxPlace(int Line, string SourceFile, int SourceLine)
{
    public override string ToString() => SourceLine > 0 ? $"kernels.ptx:{Line} ({SourceFile}:{SourceLine})" : $"kernels.ptx:{Line}";
}

/// <summary>A parsed module.</summary>
internal sealed record PtxModule(IReadOnlyDictionary<string, PtxKernel> Kernels);

/// <summary>One entry of a module.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Place">Where it begins.</param>
/// <param name="Parameters">Its parameters, in order, with their offsets in the parameter block.</param>
/// <param name="Registers">Declared registers: prefix (%r), type (b32) and count; names are prefix and number.</param>
/// <param name="Shared">Variables in shared memory, those of the module included; the dynamic one has no bytes of its own.</param>
/// <param name="Instructions">The body.</param>
/// <param name="Labels">Instruction that each label stands before.</param>
/// <param name="MaxThreads">Threads of a block at most, from .maxntid or .reqntid.</param>
internal sealed record PtxKernel(
    string Name, PtxPlace Place, IReadOnlyList<PtxParameter> Parameters, IReadOnlyList<PtxRegisters> Registers, IReadOnlyList<PtxShared> Shared,
    IReadOnlyList<PtxInstruction> Instructions, IReadOnlyDictionary<string, int> Labels, int MaxThreads);

internal sealed record PtxParameter(string Name, int Offset, int Bytes);

/// <param name="Prefix">Name of one register, or what all names begin with.</param>
/// <param name="Type">The type without its dot.</param>
/// <param name="Count">How many; null for one register of just this name.</param>
internal sealed record PtxRegisters(string Prefix, string Type, int? Count);

/// <param name="Name">The variable.</param>
/// <param name="Align">Its alignment in bytes.</param>
/// <param name="Bytes">Its size; 0 for the dynamic one.</param>
/// <param name="Dynamic">Whether the launch gives the size.</param>
internal sealed record PtxShared(string Name, int Align, int Bytes, bool Dynamic);

/// <param name="Guard">The predicate register that says which lanes execute it; null for all.</param>
/// <param name="GuardNegated">Whether those lanes execute whose guard is false.</param>
/// <param name="Opcode">With all its dots.</param>
/// <param name="Operands">In the order of the text.</param>
/// <param name="Place">Where it stands.</param>
internal sealed record PtxInstruction(string? Guard, bool GuardNegated, string Opcode, IReadOnlyList<PtxOperand> Operands, PtxPlace Place);

internal enum PtxOperandKind
{
    /// <summary>A register, special register, label, parameter or variable: told apart by who reads it.</summary>
    Name,
    Number,

    /// <summary>[name + offset].</summary>
    Address,

    /// <summary>{a, b, ...}.</summary>
    Vector,
}

/// <param name="Kind">What it is.</param>
/// <param name="Name">The name, or the base of an address ("" for none).</param>
/// <param name="Bits">A number's bits, or an address's offset. Numbers written 0f... have 32 bits, 0d... 64, integers are sign-extended.</param>
/// <param name="Negated">A predicate with ! before it.</param>
/// <param name="Elements">What a vector holds, or the second half of a|b.</param>
internal sealed record PtxOperand(PtxOperandKind Kind, string Name, long Bits, bool Negated, IReadOnlyList<PtxOperand> Elements);
