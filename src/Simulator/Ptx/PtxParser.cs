using System.Globalization;
using System.Numerics;

namespace TinyDpo.Simulator;

/// <summary>Reads PTX as clang and nvcc write it: entries with their registers, shared memory and instructions. No functions, no data.</summary>
internal sealed class PtxParser
{
    private const int MostAlignment = 128;

    private readonly PtxTokens _tokens;
    private readonly Dictionary<int, string> _files = [];
    private readonly List<PtxShared> _moduleShared = [];
    private readonly Dictionary<string, PtxKernel> _kernels = [];

    private PtxParser(string text)
    {
        _tokens = new PtxTokens(text);
        ReadFiles();
    }

    /// <exception cref="SimulationException">The text is not PTX, or holds what the simulator does not know: names the line.</exception>
    public static PtxModule Parse(string text)
    {
        var parser = new PtxParser(text);
        parser.Module();
        return new PtxModule(parser._kernels);
    }

    private static SimulationException Unknown(PtxToken token, string what) => new($"kernels.ptx:{token.Line}: {what}");

    // .file stands at the end, .loc before it.
    private void ReadFiles()
    {
        while (!_tokens.AtEnd)
        {
            if (_tokens.Take().Text == ".file" && int.TryParse(_tokens.Peek.Text, CultureInfo.InvariantCulture, out var number))
            {
                _ = _tokens.Take();
                _files[number] = Path.GetFileName(_tokens.Take().Text.Trim('"'));
            }
        }
        _tokens.Rewind();
    }

    private void Module()
    {
        while (!_tokens.AtEnd)
        {
            var token = _tokens.Peek;
            switch (token.Text)
            {
                case ".version" or ".target" or ".address_size" or ".file":
                    _tokens.SkipLine();
                    break;
                case ".section":
                    _tokens.SkipPast("}");
                    break;
                case ".visible" or ".weak":
                    _ = _tokens.Take();
                    break;
                case ".extern":
                    _ = _tokens.Take();
                    if (_tokens.Peek.Text != ".shared")
                    {
                        throw Unknown(token, $"'.extern {_tokens.Peek.Shown}' is not known: only dynamic shared memory may come from outside");
                    }
                    break;
                case ".shared":
                    _moduleShared.Add(Shared());
                    break;
                case ".entry":
                    Entry();
                    break;
                default:
                    throw Unknown(token, $"'{token.Shown}' is not known outside of an entry");
            }
        }
    }

    private void Entry()
    {
        var place = new PtxPlace(_tokens.Take().Line, "", 0);
        var name = _tokens.Take().Text;
        var body = new PtxBodyParser(_tokens, _files);
        var parameters = _tokens.TryTake("(") ? Parameters() : [];
        var maxThreads = 1024;
        while (!_tokens.TryTake("{"))
        {
            var directive = _tokens.Take();
            switch (directive.Text)
            {
                case ".maxntid" or ".reqntid":
                    maxThreads = _tokens.TakeInt();
                    while (_tokens.TryTake(","))
                    {
                        maxThreads *= _tokens.TakeInt();
                    }
                    break;
                case ".minnctapersm" or ".maxnctapersm" or ".maxnreg":
                    _ = _tokens.TakeInt();
                    break;
                case ".pragma":
                    _tokens.SkipPast(";");
                    break;
                default:
                    throw Unknown(directive, $"'{directive.Shown}' is not known before the body of an entry");
            }
        }
        body.Read(Shared);
        if (!_kernels.TryAdd(
            name,
            new PtxKernel(name, place, parameters, body.Registers, [.. body.Shared, .. UsedShared(body)], body.Instructions, body.Labels, maxThreads)))
        {
            throw new SimulationException($"kernels.ptx:{place.Line}: a second entry {name}");
        }
    }

    // What several kernels share by name stands outside of them; a kernel has those that it names.
    private IEnumerable<PtxShared> UsedShared(PtxBodyParser body)
    {
        var names = body.Instructions.SelectMany(static i => i.Operands).Select(static o => o.Name).ToHashSet();
        return _moduleShared.Where(v => names.Contains(v.Name));
    }

    private List<PtxParameter> Parameters()
    {
        var parameters = new List<PtxParameter>();
        var offset = 0;
        while (!_tokens.TryTake(")"))
        {
            var (align, bytes, name) = (0, 0, "");
            _tokens.Expect(".param");
            while (_tokens.Peek.Text is not ("," or ")") && !_tokens.AtEnd)
            {
                var token = _tokens.Take();
                switch (token.Text)
                {
                    case ".align":
                        align = Alignment();
                        break;
                    case ".ptr" or ".global" or ".shared" or ".const":
                        break;
                    case "[":
                        bytes *= _tokens.TakeInt();
                        _tokens.Expect("]");
                        break;
                    case var text when text[0] == '.':
                        bytes = BytesOf(token);
                        align = Math.Max(align, bytes);
                        break;
                    default:
                        name = token.Text;
                        break;
                }
            }
            if (align == 0)
            {
                throw Unknown(_tokens.Peek, "a parameter has no type");
            }
            offset = (offset + align - 1) / align * align;
            parameters.Add(new PtxParameter(name, offset, bytes));
            offset += bytes;
            _ = _tokens.TryTake(",");
        }
        return parameters;
    }

    // .shared .align 4 .b8 name[16]; or name[] for what the launch gives.
    private PtxShared Shared()
    {
        _tokens.Expect(".shared");
        var (align, type) = (1, 1);
        while (true)
        {
            var token = _tokens.Take();
            if (token.Text == ".align")
            {
                align = Alignment();
            }
            else if (token.Text.StartsWith('.'))
            {
                type = BytesOf(token);
                align = Math.Max(align, type);
            }
            else
            {
                var (bytes, dynamic) = (type, false);
                while (_tokens.TryTake("["))
                {
                    dynamic = _tokens.Peek.Text == "]";
                    bytes = dynamic ? 0 : bytes * _tokens.TakeInt();
                    _tokens.Expect("]");
                }
                _tokens.Expect(";");
                return new PtxShared(token.Text, align, bytes, dynamic);
            }
        }
    }

    private int Alignment()
    {
        var token = _tokens.Peek;
        var align = _tokens.TakeInt();
        return align is >= 1 and <= MostAlignment && BitOperations.IsPow2(align) ? align : throw Unknown(token, $"no alignment of {align} bytes");
    }

    private static int BytesOf(PtxToken type) => type.Text switch
    {
        ".b8" or ".u8" or ".s8" => 1,
        ".b16" or ".u16" or ".s16" => 2,
        ".b32" or ".u32" or ".s32" or ".f32" => 4,
        ".b64" or ".u64" or ".s64" or ".f64" => 8,
        _ => throw Unknown(type, $"the type '{type.Shown}' is not known"),
    };
}
