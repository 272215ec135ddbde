namespace TinyDpo.Simulator;

// Loads, stores, atomics, and what crosses lanes or steers them.
internal sealed unsafe partial class Decoder
{
    private enum Space
    {
        Generic,
        Global,
        Shared,
        Parameter,
    }

    private void Memory(ref Instruction instruction, string[] parts)
    {
        var space = Space.Generic;
        var (count, type) = (1, parts[^1]);
        foreach (var part in parts.AsSpan(1, parts.Length - 2))
        {
            switch (part)
            {
                case "global":
                    space = Space.Global;
                    break;
                case "shared" or "shared::cta":
                    space = Space.Shared;
                    break;
                case "param":
                    space = Space.Parameter;
                    break;
                case "nc":
                    instruction.NonCoherent = true;
                    break;
                case "v2" or "v4":
                    count = part[1] - '0';
                    break;
                case "volatile" or "relaxed" or "gpu" or "cta":
                    break;
                default:
                    if (parts[0] is "atom" or "red")
                    {
                        break;
                    }
                    throw Unknown($"'.{part}' of '{_text.Opcode}' is not known");
            }
        }
        if (parts[0] is "atom" or "red")
        {
            Atomic(ref instruction, parts, space);
            return;
        }
        var store = parts[0] == "st";
        instruction.Count = (byte)count;
        instruction.Class = (store, space) switch
        {
            (_, Space.Parameter) => InstructionClass.Other,
            (true, Space.Shared) => InstructionClass.StoreShared,
            (false, Space.Shared) => InstructionClass.LoadShared,
            (true, _) => InstructionClass.StoreGlobal,
            (false, _) => InstructionClass.LoadGlobal,
        };
        if (parts[0] == "ldu")
        {
            instruction.NonCoherent = true;
        }
        var data = Operand(store ? 1 : 0);
        var elements = data.Kind == PtxOperandKind.Vector ? data.Elements : [data];
        if (elements.Count != count)
        {
            throw Unknown($"'{_text.Opcode}' takes {count} registers, not {elements.Count}");
        }
        if (space == Space.Parameter)
        {
            Parameter(ref instruction, elements, TypeBytes(type));
            return;
        }
        Address(ref instruction, Operand(store ? 0 : 1));
        var bits = store ? StoredBits(elements[0], type) : BitsOf(elements[0]);
        instruction.Stride = (byte)RegisterLayout.BytesOf(bits);
        for (var k = 0; k < count; k++)
        {
            var place = store ? Source(elements[k], bits) : Destination(elements[k], bits);
            Set(ref instruction, k == 0 ? 0 : k + 1, place);
        }
        instruction.Handler = store ? StoreHandler(space, type, bits) : LoadHandler(ref instruction, space, type, bits);
    }

    // A stored number has the size of its type.
    private int StoredBits(PtxOperand operand, string type) =>
        operand.Kind == PtxOperandKind.Number ? (TypeBytes(type) == 8 ? 64 : 32) : BitsOf(operand);

    private void Address(ref Instruction instruction, PtxOperand operand)
    {
        if (operand.Kind != PtxOperandKind.Address)
        {
            throw Unknown($"'{_text.Opcode}' needs an address in brackets");
        }
        if (_registers.Register(operand.Name) is { } register)
        {
            instruction.A = register.Offset;
            instruction.AddressStride = (byte)RegisterLayout.BytesOf(register.Bits);
            instruction.Offset = checked((int)operand.Bits);
            return;
        }
        var start = operand.Name.Length == 0 ? 0
            : _shared.Offsets.TryGetValue(operand.Name, out var variable) ? variable
            : throw Unknown($"the address '{operand.Name}' is not known");
        instruction.A = _registers.Literal(start + operand.Bits, 64);
    }

    // Parameters are constants of a launch: loading one is a move.
    private void Parameter(ref Instruction instruction, IReadOnlyList<PtxOperand> elements, int bytes)
    {
        var address = Operand(1);
        if (!_parameters.TryGetValue(address.Name, out var parameter) || elements.Count != 1
            || address.Bits < 0 || address.Bits + bytes > parameter.Bytes)
        {
            throw Unknown($"'{_text.Opcode}' of '{address.Name}' is not known");
        }
        var bits = BitsOf(elements[0]);
        instruction.D = Destination(elements[0], bits);
        instruction.A = _registers.Parameter(parameter.Offset + (int)address.Bits, bytes, bits);
        instruction.Handler = bits == 64 ? &Lanes.Move<ulong> : &Lanes.Move<uint>;
    }

    private int TypeBytes(string type) => type is "f32" ? 4 : type is "f64" ? 8 : IntegerType(type).Bits / 8;

    private delegate*<Warp, Instruction*, void> LoadHandler(ref Instruction instruction, Space space, string type, int bits)
    {
        var bytes = TypeBytes(type);
        if (bytes == RegisterLayout.BytesOf(bits) && bits != 16)
        {
            return (space, bytes) switch
            {
                (Space.Global, 4) => &MemoryAccess.Load<uint, GlobalSpace>,
                (Space.Global, _) => &MemoryAccess.Load<ulong, GlobalSpace>,
                (Space.Shared, 4) => &MemoryAccess.Load<uint, SharedSpace>,
                (Space.Shared, _) => &MemoryAccess.Load<ulong, SharedSpace>,
                (_, 4) => &MemoryAccess.Load<uint, GenericSpace>,
                _ => &MemoryAccess.Load<ulong, GenericSpace>,
            };
        }
        if (bytes * 8 > bits || instruction.Count != 1)
        {
            throw Unknown($"'{_text.Opcode}' does not fit a register of {bits} bits");
        }
        // What a narrow number becomes in its register: B keeps the bits that the register has.
        instruction.B = bits == 16 ? ushort.MaxValue : -1;
        return (bytes, type[0] == 's') switch
        {
            (1, false) => LoadNarrow<byte>(space),
            (1, true) => LoadNarrow<sbyte>(space),
            (2, false) => LoadNarrow<ushort>(space),
            (2, true) => LoadNarrow<short>(space),
            (_, false) => LoadNarrow<uint>(space),
            _ => LoadNarrow<int>(space),
        };
    }

    private static delegate*<Warp, Instruction*, void> LoadNarrow<T>(Space space)
        where T : unmanaged, System.Numerics.IBinaryInteger<T> => space switch
        {
            Space.Global => &MemoryAccess.LoadNarrow<T, GlobalSpace>,
            Space.Shared => &MemoryAccess.LoadNarrow<T, SharedSpace>,
            _ => &MemoryAccess.LoadNarrow<T, GenericSpace>,
        };

    private delegate*<Warp, Instruction*, void> StoreHandler(Space space, string type, int bits)
    {
        var bytes = TypeBytes(type);
        if (bytes * 8 > bits)
        {
            throw Unknown($"'{_text.Opcode}' needs more than the {bits} bits of its register");
        }
        return bytes switch
        {
            1 => Store<byte>(space),
            2 => Store<ushort>(space),
            4 => Store<uint>(space),
            _ => Store<ulong>(space),
        };
    }

    private static delegate*<Warp, Instruction*, void> Store<T>(Space space)
        where T : unmanaged, IEquatable<T> => space switch
        {
            Space.Global => &MemoryAccess.Store<T, GlobalSpace>,
            Space.Shared => &MemoryAccess.Store<T, SharedSpace>,
            _ => &MemoryAccess.Store<T, GenericSpace>,
        };

    // atom.global.add.u32 d, [a], b (, c); red has no d.
    private void Atomic(ref Instruction instruction, string[] parts, Space space)
    {
        var (operation, type) = (parts[^2], parts[^1]);
        var returns = parts[0] == "atom";
        var bytes = type is "f32" or "f64" ? 0 : TypeBytes(type);
        if (bytes is not (4 or 8))
        {
            throw Unknown($"'{_text.Opcode}' is not known: only whole numbers have atomics, a float's would depend on the order");
        }
        var bits = bytes * 8;
        instruction.Class = InstructionClass.Atomic;
        instruction.Stride = (byte)bytes;
        instruction.D = returns && Operand(0).Name != "_" ? Destination(Operand(0), bits) : -1;
        var first = returns ? 1 : 0;
        Address(ref instruction, Operand(first));
        instruction.B = Source(Operand(first + 1), bits);
        instruction.C = operation == "cas" ? Source(Operand(first + 2), bits) : instruction.B;
        var handler = type[0] == 's'
            ? bytes == 4 ? AtomicHandler<int>(operation, space) : AtomicHandler<long>(operation, space)
            : bytes == 4 ? AtomicHandler<uint>(operation, space) : AtomicHandler<ulong>(operation, space);
        instruction.Handler = handler != null ? handler : throw Unknown($"'{_text.Opcode}' is not known");
    }

    private static delegate*<Warp, Instruction*, void> AtomicHandler<T>(string operation, Space space)
        where T : unmanaged, System.Numerics.IBinaryInteger<T> => operation switch
        {
            "add" => AtomicHandler<T, AtomicAdd>(space),
            "min" => AtomicHandler<T, AtomicMin>(space),
            "max" => AtomicHandler<T, AtomicMax>(space),
            "and" => AtomicHandler<T, AtomicAnd>(space),
            "or" => AtomicHandler<T, AtomicOr>(space),
            "xor" => AtomicHandler<T, AtomicXor>(space),
            "exch" => AtomicHandler<T, AtomicExchange>(space),
            "cas" => AtomicHandler<T, AtomicCompareAndSwap>(space),
            "inc" => AtomicHandler<T, AtomicIncrement>(space),
            "dec" => AtomicHandler<T, AtomicDecrement>(space),
            _ => null,
        };

    private static delegate*<Warp, Instruction*, void> AtomicHandler<T, TOp>(Space space)
        where T : unmanaged, System.Numerics.IBinaryInteger<T>
        where TOp : IAtomic => space switch
        {
            Space.Global => &MemoryAccess.Atomic<T, TOp, GlobalSpace>,
            Space.Shared => &MemoryAccess.Atomic<T, TOp, SharedSpace>,
            _ => &MemoryAccess.Atomic<T, TOp, GenericSpace>,
        };

    private void Exchange(ref Instruction instruction, string[] parts)
    {
        instruction.Class = InstructionClass.Shuffle;
        instruction.E = -1;
        switch (parts)
        {
            case ["shfl", "sync", var mode, "b32"]:
                instruction.D = Destination(Operand(0) with { Elements = [] }, 32);
                if (Operand(0).Elements is [var valid])
                {
                    instruction.E = Destination(valid, 1);
                }
                instruction.A = Source(Operand(1), 32);
                instruction.B = Source(Operand(2), 32);
                instruction.C = Source(Operand(3), 32);
                instruction.Offset = Source(Operand(4), 32);
                instruction.Handler = mode switch
                {
                    "up" => &Exchanges.Shuffle<ShuffleUp>,
                    "down" => &Exchanges.Shuffle<ShuffleDown>,
                    "bfly" => &Exchanges.Shuffle<ShuffleButterfly>,
                    "idx" => &Exchanges.Shuffle<ShuffleIndex>,
                    _ => throw Unknown($"'{_text.Opcode}' is not known"),
                };
                break;
            case ["vote", "sync", var mode, _]:
                instruction.D = Destination(Operand(0), mode == "ballot" ? 32 : 1);
                instruction.A = Predicate(Operand(1).Name);
                instruction.E = Operand(1).Negated ? 1 : 0;
                instruction.Offset = Source(Operand(2), 32);
                instruction.Handler = mode switch
                {
                    "ballot" => &Exchanges.Ballot,
                    "all" => &Exchanges.VoteAll,
                    "any" => &Exchanges.VoteAny,
                    "uni" => &Exchanges.VoteUniform,
                    _ => throw Unknown($"'{_text.Opcode}' is not known"),
                };
                break;
            case ["activemask", "b32"]:
                instruction.D = Destination(Operand(0), 32);
                instruction.Handler = &Exchanges.ActiveMask;
                break;
            default:
                throw Unknown($"'{_text.Opcode}' is not known");
        }
    }

    private void Control(ref Instruction instruction, string[] parts)
    {
        instruction.Class = InstructionClass.Branch;
        switch (parts)
        {
            case ["bra"] or ["bra", "uni"]:
                instruction.Kind = InstructionKind.Branch;
                instruction.Target = _kernel.Labels.TryGetValue(Operand(0).Name, out var target)
                    ? target
                    : throw Unknown($"the label '{Operand(0).Name}' is not known");
                break;
            case ["ret"] or ["ret", "uni"] or ["exit"]:
                instruction.Kind = InstructionKind.Exit;
                break;
            case ["trap"]:
                instruction.Kind = InstructionKind.Trap;
                break;
            case ["bar", "sync"] or ["barrier", "sync"] or ["barrier", "sync", "aligned"] or ["bar", "cta", "sync"]:
                if (_text.Operands is not [{ Kind: PtxOperandKind.Number, Bits: 0 }])
                {
                    throw Unknown("only barrier 0 of all threads is known");
                }
                (instruction.Kind, instruction.Class) = (InstructionKind.BlockBarrier, InstructionClass.Barrier);
                break;
            case ["bar", "warp", "sync"]:
                instruction.Class = InstructionClass.Barrier;
                instruction.Offset = Source(Operand(0), 32);
                instruction.Handler = &Exchanges.WarpBarrier;
                break;
            case ["membar", _] or ["fence", ..]:
                // Memory is seen in order here, and no check takes a fence for an order between threads.
                instruction.Class = InstructionClass.Other;
                instruction.Handler = &Exchanges.Nothing;
                break;
            default:
                throw Unknown($"'{_text.Opcode}' is not known");
        }
    }
}
