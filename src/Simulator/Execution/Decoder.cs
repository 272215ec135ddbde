namespace TinyDpo.Simulator;

/// <summary>Turns a parsed kernel into what the executor runs: handlers, and operands as places among the registers.</summary>
internal sealed unsafe partial class Decoder
{
    /// <summary>Where generic addresses of shared memory begin: no address of the host looks like that.</summary>
    public const ulong SharedWindow = 1UL << 56;

    private readonly PtxKernel _kernel;
    private readonly RegisterLayout _registers;
    private readonly SharedLayout _shared;
    private readonly Dictionary<string, PtxParameter> _parameters;
    private readonly List<Instruction> _code = [];
    private readonly List<PtxPlace> _places = [];
    private PtxInstruction _text = null!;

    private Decoder(PtxKernel kernel)
    {
        _kernel = kernel;
        _registers = new RegisterLayout(kernel);
        _shared = SharedLayout.Of(kernel.Shared);
        _parameters = kernel.Parameters.ToDictionary(static p => p.Name);
    }

    /// <exception cref="SimulationException">An opcode or operand is not known: names the line.</exception>
    public static KernelCode Decode(PtxKernel kernel)
    {
        var decoder = new Decoder(kernel);
        foreach (var text in kernel.Instructions)
        {
            decoder.Decode(text);
        }
        return decoder.Finish();
    }

    private SimulationException Unknown(string what) => new($"kernel {_kernel.Name}, {_text.Place}: {what}");

    private void Decode(PtxInstruction text)
    {
        _text = text;
        var instruction = new Instruction { Index = _code.Count, Guard = -1, Target = -1, Count = 1, Stride = 4, AddressStride = 8 };
        if (text.Guard is not null)
        {
            instruction.Guard = Predicate(text.Guard);
            instruction.GuardFlip = text.GuardNegated ? uint.MaxValue : 0;
        }
        var parts = text.Opcode.Split('.');
        switch (parts[0])
        {
            case "ld" or "ldu" or "st" or "atom" or "red":
                Memory(ref instruction, parts);
                break;
            case "bra" or "ret" or "exit" or "trap" or "bar" or "barrier" or "membar" or "fence":
                Control(ref instruction, parts);
                break;
            case "shfl" or "vote" or "activemask":
                Exchange(ref instruction, parts);
                break;
            case "cvta":
                ConvertAddress(ref instruction, parts);
                break;
            case "mov" when text.Operands.Count == 2 && text.Operands.Any(static o => o.Kind == PtxOperandKind.Vector):
                MovePair(ref instruction);
                break;
            case "cvt" when parts.Length == 3 && (OperationTable.Find(text.Opcode) is null || IsWide(Operand(1), parts[2])):
                ConvertInteger(ref instruction, parts);
                break;
            default:
                Plain(ref instruction);
                break;
        }
        _code.Add(instruction);
        _places.Add(text.Place);
    }

    private void Plain(ref Instruction instruction)
    {
        if (OperationTable.Find(_text.Opcode) is not { } operation)
        {
            throw Unknown(_text.Opcode switch
            {
                var o when o.Contains(".approx") || o.Contains(".ftz") => $"'{o}' does not round as IEEE says: build without fast math",
                "add.f32" or "sub.f32" or "mul.f32" or "mad.f32" or "add.f64" or "sub.f64" or "mul.f64" =>
                    $"'{_text.Opcode}' may be fused by the driver: say .rn (contraction off)",
                var o => $"the opcode '{o}' is not known",
            });
        }
        if (_text.Operands.Count != operation.Operands.Length)
        {
            throw Unknown($"'{_text.Opcode}' takes {operation.Operands.Length} operands, not {_text.Operands.Count}");
        }
        instruction.Handler = (delegate*<Warp, Instruction*, void>)operation.Handler;
        instruction.Class = operation.Class;
        for (var k = 0; k < operation.Operands.Length; k++)
        {
            var bits = operation.Operands[k] switch { 'p' => 1, 'h' => 16, 'r' => 32, _ => 64 };
            Set(ref instruction, k, k == 0 ? Destination(_text.Operands[k], bits) : Source(_text.Operands[k], bits));
        }
    }

    private static void Set(ref Instruction instruction, int operand, int offset)
    {
        switch (operand)
        {
            case 0:
                instruction.D = offset;
                break;
            case 1:
                instruction.A = offset;
                break;
            case 2:
                instruction.B = offset;
                break;
            case 3:
                instruction.C = offset;
                break;
            default:
                instruction.E = offset;
                break;
        }
    }

    private PtxOperand Operand(int index) =>
        index < _text.Operands.Count ? _text.Operands[index] : throw Unknown($"'{_text.Opcode}' lacks operands");

    private int Predicate(string name) =>
        _registers.Register(name) is (var offset, 1) ? offset : throw Unknown($"'{name}' is no predicate register");

    private int Destination(PtxOperand operand, int bits)
    {
        if (operand.Kind != PtxOperandKind.Name || operand.Elements.Count > 0)
        {
            throw Unknown($"'{_text.Opcode}' cannot write its first operand");
        }
        return _registers.Register(operand.Name) is { } register && register.Bits == bits
            ? register.Offset
            : throw Unknown($"'{operand.Name}' is no register of {bits} bits");
    }

    private int Source(PtxOperand operand, int bits)
    {
        if (operand.Negated)
        {
            throw Unknown($"'!{operand.Name}' is not known here");
        }
        switch (operand.Kind)
        {
            case PtxOperandKind.Number:
                return _registers.Literal(operand.Bits, bits);
            case PtxOperandKind.Name when operand.Name[0] == '%':
                if (_registers.Register(operand.Name) is { } register)
                {
                    return register.Bits == bits ? register.Offset : throw Unknown($"'{operand.Name}' has {register.Bits} bits, not {bits}");
                }
                return SpecialRegisters.IsKnown(operand.Name)
                    ? _registers.Special(operand.Name, bits)
                    : throw Unknown($"the register '{operand.Name}' is not known");
            case PtxOperandKind.Name when _registers.Register(operand.Name) is { } plain && plain.Bits == bits:
                return plain.Offset;
            case PtxOperandKind.Name when _shared.Offsets.TryGetValue(operand.Name, out var address):
                return _registers.Literal(address, bits);
            default:
                throw Unknown($"the operand '{operand.Name}' of '{_text.Opcode}' is not known");
        }
    }

    private void ConvertAddress(ref Instruction instruction, string[] parts)
    {
        var to = parts.Contains("to");
        if (parts[^1] != "u64" || !(parts.Contains("global") || parts.Contains("shared")))
        {
            throw Unknown($"'{_text.Opcode}' is not known");
        }
        instruction.Class = InstructionClass.Integer;
        instruction.D = Destination(Operand(0), 64);
        instruction.A = Source(Operand(1), 64);
        instruction.Handler = &Lanes.Move<ulong>;
        if (parts.Contains("shared"))
        {
            instruction.B = _registers.Literal((long)SharedWindow, 64);
            instruction.Handler = to ? &Lanes.Binary<ulong, Difference<ulong>> : &Lanes.Binary<ulong, Sum<ulong>>;
        }
    }

    private void MovePair(ref Instruction instruction)
    {
        var (to, from) = (Operand(0), Operand(1));
        instruction.Class = InstructionClass.Other;
        if (from.Kind == PtxOperandKind.Vector && from.Elements.Count == 2)
        {
            instruction.Handler = &Conversions.Join;
            instruction.D = Destination(to, 64);
            instruction.A = Source(from.Elements[0], 32);
            instruction.B = Source(from.Elements[1], 32);
        }
        else if (to.Kind == PtxOperandKind.Vector && to.Elements.Count == 2)
        {
            instruction.Handler = &Conversions.Split;
            instruction.D = Destination(to.Elements[0], 32);
            instruction.B = Destination(to.Elements[1], 32);
            instruction.A = Source(from, 64);
        }
        else
        {
            throw Unknown($"'{_text.Opcode}' of this vector is not known");
        }
    }

    private void ConvertInteger(ref Instruction instruction, string[] parts)
    {
        var (to, from) = (IntegerType(parts[1]), IntegerType(parts[2]));
        var (d, a) = (BitsOf(Operand(0)), BitsOf(Operand(1)));
        instruction.Class = InstructionClass.Convert;
        instruction.D = Destination(Operand(0), d);
        instruction.A = Source(Operand(1), a);
        if (d == 16 && to is (8, true))
        {
            throw Unknown($"the opcode '{_text.Opcode}' is not known");
        }
        // A 16-bit register is kept zero-extended, whatever the sign.
        instruction.Offset = Conversions.Widths(from.Bits, from.Signed, to.Bits, to.Signed && d != 16);
        instruction.Handler = (RegisterLayout.BytesOf(d), RegisterLayout.BytesOf(a)) switch
        {
            (4, 4) => &Conversions.Integer<uint, uint>,
            (4, _) => &Conversions.Integer<uint, ulong>,
            (_, 4) => &Conversions.Integer<ulong, uint>,
            _ => &Conversions.Integer<ulong, ulong>,
        };
    }

    // A conversion may read the low bits of a register that is wider than its type ("relaxed type-checking rules" of the PTX ISA).
    private bool IsWide(PtxOperand source, string type) =>
        type[0] is 'u' or 's' && _registers.Register(source.Name) is { } register && register.Bits > IntegerType(type).Bits;

    private (int Bits, bool Signed) IntegerType(string type) => type switch
    {
        "u8" or "b8" => (8, false),
        "s8" => (8, true),
        "u16" or "b16" => (16, false),
        "s16" => (16, true),
        "u32" or "b32" => (32, false),
        "s32" => (32, true),
        "u64" or "b64" => (64, false),
        "s64" => (64, true),
        _ => throw Unknown($"the opcode '{_text.Opcode}' is not known"),
    };

    private int BitsOf(PtxOperand operand) => _registers.Register(operand.Name) is { } register
        ? register.Bits
        : throw Unknown($"the register '{operand.Name}' is not known");

    private KernelCode Finish()
    {
        var count = _code.Count;
        var (targets, stops, exits) = (new int[count], new bool[count], new bool[count]);
        for (var i = 0; i < count; i++)
        {
            targets[i] = _code[i].Target;
            exits[i] = _code[i].Kind == InstructionKind.Exit || (i == count - 1 && _code[i].Kind != InstructionKind.Branch);
            stops[i] = i == count - 1 || (_code[i].Guard < 0 && _code[i].Kind is InstructionKind.Exit or InstructionKind.Branch);
        }
        var meeting = ControlFlow.PostDominators(targets, stops, exits);
        var code = GC.AllocateArray<Instruction>(Math.Max(1, count), pinned: true);
        for (var i = 0; i < count; i++)
        {
            code[i] = _code[i] with { Reconverge = meeting[i] };
        }
        return new KernelCode(_kernel.Name, _kernel.Parameters, code, [.. _places], _registers, _shared, _kernel.MaxThreads);
    }
}
