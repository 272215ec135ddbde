namespace TinyDpo.Simulator;

/// <summary>What a place among a warp's registers holds from the start of a launch on, besides registers.</summary>
internal enum ConstantKind
{
    /// <summary>A number of the text.</summary>
    Literal,

    /// <summary>Bytes of the parameter block.</summary>
    Parameter,

    /// <summary>A special register, such as %tid.x.</summary>
    Special,
}

/// <param name="Offset">Its place among the warp's registers.</param>
/// <param name="Bytes">4 or 8 a lane; 0 for a predicate, which has 4 in all.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Value">The number's bits, or the parameter's offset.</param>
/// <param name="Width">Bytes of the parameter.</param>
/// <param name="Name">The special register.</param>
internal sealed record Constant(int Offset, int Bytes, ConstantKind Kind, long Value, int Width, string Name);

/// <summary>
/// Where each register of a kernel lies: predicates have 32 bits, a bit a lane; 16-bit and 32-bit registers 32 times 4 bytes, 64-bit ones
/// 32 times 8. Constants follow as they are met.
/// </summary>
internal sealed class RegisterLayout
{
    private const int PredicateBytes = 4;

    private readonly Dictionary<string, (int Offset, int Bits)> _registers = [];
    private readonly Dictionary<(ConstantKind, int, long, int, string), int> _places = [];
    private readonly List<Constant> _constants = [];

    /// <exception cref="SimulationException">A register has a type that is not known.</exception>
    public RegisterLayout(PtxKernel kernel)
    {
        foreach (var group in kernel.Registers)
        {
            var bits = group.Type switch
            {
                "pred" => 1,
                "b8" or "u8" or "s8" or "b16" or "u16" or "s16" => 16,
                "b32" or "u32" or "s32" or "f32" => 32,
                "b64" or "u64" or "s64" or "f64" => 64,
                _ => throw new SimulationException($"kernels.ptx:{kernel.Place.Line}: registers of type {group.Type} are not known"),
            };
            for (var i = 0; i < (group.Count ?? 1); i++)
            {
                var name = group.Count is null ? group.Prefix : $"{group.Prefix}{i}";
                _registers[name] = (Take(bits == 1 ? PredicateBytes : BytesOf(bits) * Lanes.Count), bits);
            }
        }
    }

    /// <summary>Bytes of a warp's registers.</summary>
    public int Bytes { get; private set; }

    public IReadOnlyList<Constant> Constants => _constants;

    /// <summary>Bytes of a lane in a register of so many bits.</summary>
    public static int BytesOf(int bits) => bits == 64 ? 8 : 4;

    /// <summary>Offset and bits (1, 16, 32, 64) of a register; null if there is none of this name.</summary>
    public (int Offset, int Bits)? Register(string name) => _registers.TryGetValue(name, out var found) ? found : null;

    /// <summary>The place of a number in a register of so many bits.</summary>
    public int Literal(long value, int bits) => bits switch
    {
        1 => Place(ConstantKind.Literal, 0, value == 0 ? 0 : -1, 0, ""),
        16 => Place(ConstantKind.Literal, 4, (ushort)value, 0, ""),
        32 => Place(ConstantKind.Literal, 4, (uint)value, 0, ""),
        _ => Place(ConstantKind.Literal, 8, value, 0, ""),
    };

    /// <summary>The place of a parameter's bytes in a register of so many bits.</summary>
    public int Parameter(int offset, int width, int bits) => Place(ConstantKind.Parameter, BytesOf(bits), offset, width, "");

    public int Special(string name, int bits) => Place(ConstantKind.Special, BytesOf(bits), 0, 0, name);

    private int Place(ConstantKind kind, int bytes, long value, int width, string name)
    {
        var key = (kind, bytes, value, width, name);
        if (!_places.TryGetValue(key, out var offset))
        {
            offset = Take(bytes == 0 ? PredicateBytes : bytes * Lanes.Count);
            _places.Add(key, offset);
            _constants.Add(new Constant(offset, bytes, kind, value, width, name));
        }
        return offset;
    }

    // Vectors lie at multiples of 64 bytes; predicates, declared first, pack.
    private int Take(int bytes)
    {
        if (bytes > PredicateBytes)
        {
            Bytes = (Bytes + 63) / 64 * 64;
        }
        var offset = Bytes;
        Bytes += bytes;
        return offset;
    }
}
