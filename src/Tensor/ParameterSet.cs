using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// All parameters of a model in one contiguous buffer and their gradients in another, so that an update, the gradient norm and a copy are
/// one call each. Each parameter is a tensor that looks into both.
/// </summary>
public sealed class ParameterSet
{
    private readonly Lazy<DeviceBuffer> _gradients;
    private readonly Dictionary<string, Tensor> _byName = [];
    private readonly List<(string Name, Tensor Value)> _tensors = [];

    /// <param name="backend">Where the buffers lie.</param>
    /// <param name="layout">Names and shapes, in the order of the buffer.</param>
    /// <exception cref="ArgumentException">They are longer than <see cref="MaxLength"/>.</exception>
    public ParameterSet(IBackend backend, IEnumerable<(string Name, Shape Shape)> layout)
    {
        Backend = backend;
        var entries = layout.ToList();
        var total = LengthOf(entries);
        if (total > MaxLength)
        {
            throw new ArgumentException($"a model of {total} parameters: at most {MaxLength} fit one buffer");
        }
        Values = backend.Memory.Allocate((int)total);
        backend.Fill(Values, 0);
        _gradients = new Lazy<DeviceBuffer>(() =>
        {
            var gradients = backend.Memory.Allocate((int)total);
            backend.Fill(gradients, 0);
            return gradients;
        });
        var offset = 0;
        foreach (var (name, shape) in entries)
        {
            var start = offset;
            var gradient = new Lazy<DeviceBuffer>(() => Gradients.Slice(start, shape.Count));
            var tensor = Tensor.Parameter(backend, shape, Values.Slice(start, shape.Count), gradient);
            _byName.Add(name, tensor);
            _tensors.Add((name, tensor));
            offset += (int)Padded(shape.Count);
        }
    }

    /// <summary>The most elements that the buffer, or an array of as many, can have.</summary>
    public static int MaxLength => Array.MaxLength;

    public IBackend Backend { get; }

    /// <summary>Every parameter, one after the other; between them stand zeros, up to a multiple of 16 elements.</summary>
    public DeviceBuffer Values { get; }

    /// <summary>Whether the parameters are constants, without gradients.</summary>
    public bool IsFrozen { get; private set; }

    /// <summary>The gradients in the same places, whose memory is taken when they are first wanted; not to be used once frozen.</summary>
    public DeviceBuffer Gradients => _gradients.Value;

    public IReadOnlyList<(string Name, Tensor Value)> Tensors => _tensors;

    /// <summary>Number of parameters, without the padding.</summary>
    public long Count => _tensors.Sum(static entry => (long)entry.Value.Shape.Count);

    public Tensor this[string name] => _byName[name];

    public bool Contains(string name) => _byName.ContainsKey(name);

    /// <summary>The elements of the buffer that a layout takes, padding included.</summary>
    public static long LengthOf(IEnumerable<(string Name, Shape Shape)> layout) => layout.Sum(static entry => Padded(entry.Shape.Count));

    /// <summary>Makes the next contribution to each gradient write instead of add. Touches no memory.</summary>
    public void ClearGradients()
    {
        foreach (var (_, tensor) in _tensors)
        {
            tensor.ClearGrad();
        }
    }

    /// <summary>Zeroes the gradients that no backward pass has reached since <see cref="ClearGradients"/>, which hold an old step's numbers.</summary>
    public void CompleteGradients()
    {
        foreach (var (_, tensor) in _tensors)
        {
            if (tensor.Grad is null)
            {
                Backend.Fill(tensor.GradientTarget(out _), 0);
            }
        }
    }

    /// <summary>
    /// The L2 norm of the whole gradient. Looks at it before anything is written: a NaN or infinity anywhere is found here.
    /// </summary>
    /// <exception cref="NonFiniteException">A gradient holds a NaN or an infinity: names its tensor.</exception>
    public double GradientNorm()
    {
        CompleteGradients();
        var squares = Backend.SumOfSquares(Gradients);
        if (double.IsFinite(squares))
        {
            return Math.Sqrt(squares);
        }
        var culprit = _tensors.FirstOrDefault(entry => !double.IsFinite(Backend.SumOfSquares(entry.Value.Grad!)));
        throw new NonFiniteException($"the gradient of {culprit.Name ?? "the model"}");
    }

    /// <summary>Copies all values from a set of the same layout.</summary>
    public void CopyFrom(ParameterSet other) => Backend.Copy(other.Values, Values);

    /// <summary>Makes all of them constants and gives their gradients' memory back.</summary>
    public void Freeze()
    {
        if (IsFrozen)
        {
            return;
        }
        IsFrozen = true;
        foreach (var (_, tensor) in _tensors)
        {
            tensor.Freeze();
        }
        FreeGradients();
    }

    /// <summary>Gives the buffers back.</summary>
    public void Free()
    {
        Backend.Memory.Return(Values);
        FreeGradients();
    }

    private void FreeGradients()
    {
        if (_gradients.IsValueCreated)
        {
            Backend.Memory.Return(Gradients);
        }
    }

    private static long Padded(int count) => (count + 15L) / 16 * 16;
}
