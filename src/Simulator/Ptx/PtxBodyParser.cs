using System.Globalization;

namespace TinyDpo.Simulator;

/// <summary>Reads what stands between an entry's braces.</summary>
internal sealed class PtxBodyParser(PtxTokens tokens, IReadOnlyDictionary<int, string> files)
{
    private static readonly IReadOnlyList<PtxOperand> None = [];

    private string _sourceFile = "";
    private int _sourceLine;

    public List<PtxRegisters> Registers { get; } = [];

    public List<PtxShared> Shared { get; } = [];

    public List<PtxInstruction> Instructions { get; } = [];

    public Dictionary<string, int> Labels { get; } = [];

    /// <param name="shared">Reads a shared variable, from its directive on.</param>
    public void Read(Func<PtxShared> shared)
    {
        while (!tokens.TryTake("}"))
        {
            var token = tokens.Peek;
            switch (token.Text)
            {
                case "":
                    throw new SimulationException($"kernels.ptx:{token.Line}: the text ends inside an entry");
                case ".loc":
                    Location();
                    break;
                case ".reg":
                    ReadRegisters();
                    break;
                case ".shared":
                    Shared.Add(shared());
                    break;
                case ".pragma":
                    tokens.SkipPast(";");
                    break;
                case var text when text[0] == '.' || text == "{":
                    throw new SimulationException($"kernels.ptx:{token.Line}: '{text}' is not known in the body of an entry");
                case var text when tokens.FollowedBy(":"):
                    Labels[text] = Instructions.Count;
                    _ = tokens.Take();
                    _ = tokens.Take();
                    break;
                default:
                    Instruction();
                    break;
            }
        }
    }

    // Line 0 marks what no line of the source says; the line before is then the best to name.
    private void Location()
    {
        var line = tokens.Take().Line;
        var (file, sourceLine) = (tokens.TakeInt(), tokens.TakeInt());
        if (sourceLine > 0)
        {
            (_sourceFile, _sourceLine) = (files.GetValueOrDefault(file, ""), sourceLine);
        }
        while (!tokens.AtEnd && tokens.Peek.Line == line)
        {
            _ = tokens.Take();
        }
    }

    private void ReadRegisters()
    {
        _ = tokens.Take();
        var type = tokens.Take().Text[1..];
        do
        {
            var name = tokens.Take().Text;
            int? count = null;
            if (tokens.TryTake("<"))
            {
                count = tokens.TakeInt();
                tokens.Expect(">");
            }
            Registers.Add(new PtxRegisters(name, type, count));
        }
        while (tokens.TryTake(","));
        tokens.Expect(";");
    }

    private void Instruction()
    {
        var place = new PtxPlace(tokens.Peek.Line, _sourceFile, _sourceLine);
        string? guard = null;
        var negated = false;
        if (tokens.TryTake("@"))
        {
            negated = tokens.TryTake("!");
            guard = tokens.Take().Text;
        }
        var opcode = tokens.Take().Text;
        var operands = new List<PtxOperand>();
        while (!tokens.TryTake(";"))
        {
            operands.Add(Operand());
            if (!tokens.TryTake(",") && tokens.Peek.Text != ";")
            {
                throw new SimulationException($"kernels.ptx:{tokens.Peek.Line}: ';' expected after '{opcode}', found '{tokens.Peek.Shown}'");
            }
        }
        Instructions.Add(new PtxInstruction(guard, negated, opcode, operands, place));
    }

    private PtxOperand Operand()
    {
        if (tokens.TryTake("{"))
        {
            var elements = new List<PtxOperand>();
            while (!tokens.TryTake("}"))
            {
                elements.Add(Operand());
                _ = tokens.TryTake(",");
            }
            return new PtxOperand(PtxOperandKind.Vector, "", 0, false, elements);
        }
        if (tokens.TryTake("["))
        {
            return Address();
        }
        var negated = tokens.TryTake("!");
        var minus = tokens.TryTake("-");
        var token = tokens.Take();
        if (char.IsAsciiDigit(token.Text.FirstOrDefault()))
        {
            var bits = Number(token);
            return new PtxOperand(PtxOperandKind.Number, "", minus ? -bits : bits, negated, None);
        }
        var second = tokens.TryTake("|") ? [Operand()] : None;
        return new PtxOperand(PtxOperandKind.Name, token.Text, 0, negated, second);
    }

    // [base], [base+offset], [base+-offset], [offset].
    private PtxOperand Address()
    {
        var (name, offset) = ("", 0L);
        while (!tokens.TryTake("]"))
        {
            _ = tokens.TryTake("+");
            var minus = tokens.TryTake("-");
            var token = tokens.Take();
            if (char.IsAsciiDigit(token.Text.FirstOrDefault()))
            {
                offset += minus ? -Number(token) : Number(token);
            }
            else
            {
                name = token.Text;
            }
            if (tokens.AtEnd)
            {
                throw new SimulationException($"kernels.ptx:{token.Line}: ']' is missing");
            }
        }
        return new PtxOperand(PtxOperandKind.Address, name, offset, false, None);
    }

    private static long Number(PtxToken token)
    {
        var text = token.Text;
        var hex = text.Length > 2 && text[0] == '0' && char.ToLowerInvariant(text[1]) is 'f' or 'd' or 'x';
        long bits;
        var read = hex
            ? long.TryParse(text.AsSpan(2).TrimEnd('U'), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out bits)
            : ReadDecimal(text.AsSpan().TrimEnd('U'), out bits);
        return read ? bits : throw new SimulationException($"kernels.ptx:{token.Line}: '{text}' is no number");
    }

    private static bool ReadDecimal(ReadOnlySpan<char> text, out long bits)
    {
        var read = ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value);
        bits = (long)value;
        return read;
    }
}
