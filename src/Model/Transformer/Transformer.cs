using TinyDpo.Kernels;
using TinyDpo.Tensors;
using static TinyDpo.Tensors.Functions;

namespace TinyDpo.Models;

/// <summary>
/// A decoder-only transformer of one of the known architectures: embedding, layers with a norm before each part, a last norm, the head.
/// Parameters bear the names of Hugging Face's classes, but GPT-2's c_attn is three of them; weights are [out, in].
/// </summary>
public sealed class Transformer : Module
{
    /// <summary>The head's weight, where it is not the embedding's.</summary>
    internal const string HeadName = "lm_head.weight";

    /// <summary>The most numbers of weights that are kept packed beside themselves: 1 GiB of float, and what fills the last panel of each.</summary>
    private const int PackedBudget = 256 * 1024 * 1024;

    private const string PositionName = "transformer.wpe.weight";

    private static readonly string[] s_residualProjections = ["o_proj.weight", "down_proj.weight", "c_proj.weight"];

    private readonly TransformerLayer[] _layers;
    private readonly RotaryTable? _rotary; // null with learnt positions
    private readonly Tensor _embedding;
    private readonly Tensor? _positionEmbedding;
    private readonly Norm _norm;
    private readonly Tensor? _head;
    private readonly ScalarHead? _scalarHead;

    public Transformer(ModelConfig config, IBackend backend)
    {
        Config = config;
        Backend = backend;
        Weights = new ParameterSet(backend, Layout(config));
        var names = Names(config);
        _embedding = Weights[names.Embedding + ".weight"];
        _norm = new Norm(Weights, names.Norm, config.NormEpsilon);
        _head = config.ScalarHead ? null : config.TieEmbeddings ? _embedding : Weights[HeadName];
        _scalarHead = config.ScalarHead ? new ScalarHead(Weights) : null;
        if (config.Architecture == Architecture.Gpt2)
        {
            _positionEmbedding = Weights[PositionName];
            _layers = [.. Enumerable.Range(0, config.Layers).Select(i => new Gpt2Layer(config, Weights, i))];
        }
        else
        {
            var frequencies = RopeScaling.Frequencies(config.HeadSize, config.RopeTheta, config.RopeScaling);
            _rotary = new RotaryTable(backend, config.MaxPositions, frequencies, config.RotaryInterleaved);
            _layers = [.. Enumerable.Range(0, config.Layers).Select(i => new LlamaLayer(config, Weights, i, _rotary))];
        }
    }

    /// <summary>How a layer's queries meet keys and values: packed segments in training, a cache in generation.</summary>
    /// <param name="layer">The layer's number.</param>
    /// <param name="q">[tokens, heads * headSize], turned to its positions.</param>
    /// <param name="k">[tokens, kvHeads * headSize], turned likewise.</param>
    /// <param name="v">[tokens, kvHeads * headSize].</param>
    internal delegate Tensor AttentionStep(int layer, Tensor q, Tensor k, Tensor v);

    public ModelConfig Config { get; }

    public IBackend Backend { get; }

    public ParameterSet Weights { get; }

    /// <summary>Beside the weights, which are frozen then; null for none.</summary>
    public LoraAdapters? Adapters { get; internal set; }

    /// <summary>What training changes: the adapters where there are some, else the weights.</summary>
    public ParameterSet Trained => Adapters?.Parameters ?? Weights;

    /// <summary>
    /// Whether training keeps a layer's input alone, and backward computes the layer again: the same bits in less memory and more time (see
    /// "Activation checkpointing" in docs/engine.md).
    /// </summary>
    public bool GradientCheckpointing { get; set; }

    /// <summary>The file or folder that the weights were read from; null for none.</summary>
    public string? Source { get; internal set; }

    internal IEnumerable<Projection> Projections => _layers.SelectMany(static layer => layer.Projections);

    /// <summary>The output head [vocabulary, hidden]: the embedding itself where they are tied.</summary>
    /// <exception cref="InvalidOperationException">The model has a scalar head.</exception>
    public Tensor Head => _head ?? throw new InvalidOperationException("a model with a scalar head predicts no tokens");

    /// <summary>The weights, without adapters.</summary>
    public override IEnumerable<(string Name, Tensor Value)> Parameters() => Weights.Tensors;

    /// <summary>What a pass gives without the adapters, where there are any: that of the model which they were put beside.</summary>
    public T WithoutAdapters<T>(Func<T> pass) => Adapters is { } adapters ? adapters.Without(pass) : pass();

    /// <summary>Adds the adapters to the weights and takes them off; nothing is done where there are none.</summary>
    public void MergeAdapters()
    {
        Adapters?.Merge();
        Adapters = null;
    }

    /// <summary>
    /// New weights: norms 1, biases 0, everything else normal with deviation 0.02, the projections back into the residual stream divided by
    /// sqrt(2 layers) as in GPT-2. A number depends on the seed and its place alone.
    /// </summary>
    public void Initialise(ulong seed)
    {
        var tensor = 0;
        foreach (var (name, value) in Parameters())
        {
            var deviation = s_residualProjections.Any(suffix => name.EndsWith(suffix, StringComparison.Ordinal)) ? 0.02 / Math.Sqrt(2 * Config.Layers) : 0.02;
            var values = new Real[value.Shape.Count];
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = value.Shape.Rank == 2 ? (Real)(deviation * Philox.Normal(seed, RandomPurpose.Initialise, 0, tensor, i))
                    : name.EndsWith(".bias", StringComparison.Ordinal) ? 0
                    : 1;
            }
            Backend.Upload(values, value.Data);
            tensor++;
        }
    }

    /// <summary>The last hidden state of every token, after the final norm: [tokens, hidden].</summary>
    public Tensor Hidden(PackedBatch batch) => Hidden(batch, rows: null);

    /// <summary>
    /// The same for the rows that predict a completion token alone, to the same bits: [predictors, hidden]. The last layer needs keys and
    /// values of every token, but goes on from its attention with these rows only.
    /// </summary>
    public Tensor PredictingHidden(PackedBatch batch) => Hidden(batch, batch.Predictors);

    /// <summary>
    /// log pi(token | before) of every completion token, with the last layer run whole: [predictions]. For supervised fine-tuning, where
    /// nearly every row predicts something.
    /// </summary>
    public Tensor TokenLogProbs(PackedBatch batch) => LinearLogProb(Hidden(batch), Head, batch.Rows, batch.Targets);

    /// <summary>log pi(completion | prompt), the sum over its tokens, with the last layer cut to what predicts: [sequences].</summary>
    public Tensor SequenceLogProbs(PackedBatch batch) =>
        SegmentSum(LinearLogProb(PredictingHidden(batch), Head, batch.PredictorOf, batch.Targets), batch.Offsets);

    /// <summary>The logits of the next token after each of the given rows: [rows, vocabulary].</summary>
    public Tensor Logits(Tensor hidden, IndexBuffer rows) => Linear(RowGather(hidden, rows), Head);

    /// <summary>
    /// The scalar head's number at the row that predicts each completion token, which has seen what stands before that token: [predictions].
    /// </summary>
    /// <exception cref="InvalidOperationException">The model has no scalar head.</exception>
    public Tensor Scores(PackedBatch batch)
    {
        var head = _scalarHead ?? throw new InvalidOperationException("this model has no scalar head");
        return RowGather(head.Forward(PredictingHidden(batch)), batch.PredictorOf);
    }

    /// <summary>
    /// A copy on the same backend whose output head is a scalar one of zeros, so that it scores everything 0: the start of a reward model, or
    /// of a value function.
    /// </summary>
    public Transformer WithScalarHead()
    {
        var copy = new Transformer(Config with { ScalarHead = true }, Backend);
        foreach (var (name, value) in copy.Parameters().Where(static p => p.Name != ScalarHead.WeightName))
        {
            Backend.Copy(Weights[name].Data, value.Data);
        }
        return copy;
    }

    /// <summary>A copy on the same backend with weights of its own, without adapters: the reference of a policy.</summary>
    public Transformer Clone()
    {
        var copy = new Transformer(Config, Backend);
        copy.Weights.CopyFrom(Weights);
        return copy;
    }

    /// <summary>Gives the weights' memory back, and all else that lives as long as the model but adapters.</summary>
    public void Free()
    {
        Weights.Free();
        _rotary?.Free();
    }

    /// <param name="tokens">Input ids [tokens].</param>
    /// <param name="positions">Their positions [tokens].</param>
    /// <param name="attention">How queries meet keys.</param>
    /// <param name="rows">The rows of the result, or null for all.</param>
    internal Tensor Hidden(IndexBuffer tokens, IndexBuffer positions, AttentionStep attention, IndexBuffer? rows = null)
    {
        var x = RowGather(_embedding, tokens);
        if (_positionEmbedding is not null)
        {
            x += RowGather(_positionEmbedding, positions);
        }
        foreach (var layer in _layers)
        {
            x = layer.Forward(x, positions, attention, layer == _layers[^1] ? rows : null, GradientCheckpointing);
        }
        return _norm.Apply(x);
    }

    /// <summary>
    /// Tells the backend that the matrices of the linear maps serve many products, and stay as they are, until the innermost scope ends.
    /// </summary>
    internal void KeepPacked()
    {
        var room = PackedBudget;
        foreach (var weight in Projections.SelectMany(static p => p.Parameters).Append(Head).Where(static w => w.Shape.Rank == 2))
        {
            if (weight.Shape.Count <= room)
            {
                room -= weight.Shape.Count;
                Backend.KeepPacked(weight.Data, weight.Shape.Rows, weight.Shape.Columns);
            }
        }
    }

    /// <summary>Makes room for a sequence of so many tokens.</summary>
    /// <exception cref="InputException">It is longer than the model's window, which the device does not have.</exception>
    internal void Reserve(int tokens)
    {
        _rotary?.Reserve(tokens);
        if (!Backend.HasSlidingWindow && Config.Attention(Config.Layers - 1).Hides(tokens))
        {
            throw new InputException(
                Source ?? "the model", "sliding_window",
                $"is {Config.SlidingWindow}, and a sequence may have {tokens} tokens: --device {Backend.Name} has no attention within a window",
                "give --device cpu, or fewer tokens");
        }
    }

    /// <summary>Names and shapes of all parameters.</summary>
    internal static IEnumerable<(string Name, Shape Shape)> Layout(ModelConfig c)
    {
        var names = Names(c);
        var isGpt2 = c.Architecture == Architecture.Gpt2;
        yield return (names.Embedding + ".weight", Shape.Matrix(c.VocabSize, c.HiddenSize));
        if (isGpt2)
        {
            yield return (PositionName, Shape.Matrix(c.MaxPositions, c.HiddenSize));
        }
        for (var i = 0; i < c.Layers; i++)
        {
            foreach (var entry in isGpt2 ? Gpt2Layer.Layout(c, i) : LlamaLayer.Layout(c, i))
            {
                yield return entry;
            }
        }
        yield return (names.Norm + ".weight", Shape.Vector(c.HiddenSize));
        if (isGpt2)
        {
            yield return (names.Norm + ".bias", Shape.Vector(c.HiddenSize));
        }
        if (c.ScalarHead)
        {
            yield return (ScalarHead.WeightName, Shape.Matrix(1, c.HiddenSize));
        }
        else if (!c.TieEmbeddings)
        {
            yield return (HeadName, Shape.Matrix(c.VocabSize, c.HiddenSize));
        }
    }

    private static (string Embedding, string Norm) Names(ModelConfig c) =>
        c.Architecture == Architecture.Gpt2 ? ("transformer.wte", "transformer.ln_f") : ("model.embed_tokens", "model.norm");

    private Tensor Hidden(PackedBatch batch, IndexBuffer? rows)
    {
        Reserve(batch.Segments.LongestSequence);
        var last = rows == batch.Predictors ? batch.Segments.AskingLastOfRoots() : batch.Segments;
        return Hidden(batch.Tokens, batch.Positions, Attention, rows);

        Tensor Attention(int layer, Tensor q, Tensor k, Tensor v) =>
            SegmentAttention(Config.Attention(layer), layer == Config.Layers - 1 ? last : batch.Segments, q, k, v);
    }
}
