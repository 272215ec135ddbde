using System.Runtime.InteropServices;

namespace TinyDpo.Simulator;

/// <summary>What the executor itself must do for an instruction.</summary>
internal enum InstructionKind : byte
{
    /// <summary>Nothing: its handler does all.</summary>
    Data,
    Branch,
    Exit,

    /// <summary>Waits for the block's other warps.</summary>
    BlockBarrier,
    Trap,
}

/// <summary>
/// One decoded instruction. Operands are byte offsets into a warp's registers, where constants, parameters and special registers have
/// places of their own; so no handler asks what kind of operand it has.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Instruction
{
    /// <summary>Executes it for the lanes in <see cref="Warp.Mask"/>.</summary>
    public delegate*<Warp, Instruction*, void> Handler;

    /// <summary>The operands in their order; of a vector access the registers are D, B, C, E and the address is A.</summary>
    public int D;
    public int A;
    public int B;
    public int C;
    public int E;

    /// <summary>The guard's offset; -1 for none.</summary>
    public int Guard;

    /// <summary>All ones where the lanes execute whose guard is false.</summary>
    public uint GuardFlip;

    /// <summary>Where a branch goes.</summary>
    public int Target;

    /// <summary>Where a branch's lanes meet again.</summary>
    public int Reconverge;

    /// <summary>What is added to an address; for conversions the widths.</summary>
    public int Offset;

    /// <summary>Its own number.</summary>
    public int Index;

    public InstructionKind Kind;

    public InstructionClass Class;

    /// <summary>Registers of a vector access: 1, 2 or 4.</summary>
    public byte Count;

    /// <summary>Bytes of a lane in the registers of a memory access: 4 or 8.</summary>
    public byte Stride;

    /// <summary>Bytes of a lane in the register that holds the address: 4 or 8.</summary>
    public byte AddressStride;

    /// <summary>Whether the access goes through the read-only cache, which does not see this launch's stores.</summary>
    public bool NonCoherent;
}
