using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>The shape of a transformer. In messages its fields go by the names of Hugging Face's config.json.</summary>
public sealed partial record ModelConfig
{
    /// <summary>The base that transformers takes where config.json names none.</summary>
    internal const double DefaultRopeTheta = 10000;

    public Architecture Architecture { get; init; }

    public required int VocabSize { get; init; }

    public required int HiddenSize { get; init; }

    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; each serves Heads / KeyValueHeads query heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Width of one head: q_proj is [Heads * HeadSize, HiddenSize].</summary>
    public required int HeadSize { get; init; }

    public required int IntermediateSize { get; init; }

    /// <summary>Positions that the model was made for, in tokens.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>The tokens that attention sees at most, the query's own included: Mistral's sliding window; null for all.</summary>
    public int? SlidingWindow { get; init; }

    /// <summary>The first layer with the window: 0 for Mistral, max_window_layers for Qwen2.</summary>
    public int FirstWindowLayer { get; init; }

    /// <summary>Base of the rotary frequencies; of no meaning for GPT-2.</summary>
    public double RopeTheta { get; init; } = DefaultRopeTheta;

    public RopeScaling? RopeScaling { get; init; }

    /// <summary>Of RMSNorm or, in GPT-2, LayerNorm.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Whether the embedding serves as output head too.</summary>
    public required bool TieEmbeddings { get; init; }

    /// <summary>
    /// Whether rotary positions turn neighbours (2i, 2i + 1), as llama2.c has it, rather than halves (i, i + HeadSize / 2), as Hugging Face
    /// has it. <see cref="RotaryLayout"/> leads from one to the other.
    /// </summary>
    public bool RotaryInterleaved { get; init; }

    /// <summary>Whether the model gives a number for each token (<see cref="ScalarHead"/>) instead of predicting the next one.</summary>
    public bool ScalarHead { get; init; }

    /// <summary>Null where the file names none: the tokenizer knows.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The first where the file names several; null where it names none.</summary>
    public int? EosTokenId { get; init; }

    /// <summary>
    /// A Llama to be trained from scratch: every query head has keys and values of its own, the heads together are as wide as the hidden state, and the
    /// embedding serves as output head.
    /// </summary>
    public static ModelConfig Llama(int vocabulary, int hidden, int layers, int heads, int intermediate, int positions) => new()
    {
        VocabSize = vocabulary,
        HiddenSize = hidden,
        Layers = layers,
        Heads = heads,
        KeyValueHeads = heads,
        HeadSize = hidden / heads,
        IntermediateSize = intermediate,
        MaxPositions = positions,
        NormEpsilon = 1e-5,
        TieEmbeddings = true,
    };

    /// <summary>The attention of a layer.</summary>
    public AttentionShape Attention(int layer) => new(Heads, KeyValueHeads, HeadSize, layer >= FirstWindowLayer ? SlidingWindow : null);

    /// <summary>Checks that such a model can be, and returns this.</summary>
    /// <param name="file">Where the configuration comes from, for the message.</param>
    /// <exception cref="InputException">Names the first field at fault.</exception>
    public ModelConfig Validated(string file)
    {
        Between("vocab_size", VocabSize, 1, 1 << 24);
        Between("hidden_size", HiddenSize, 1, 1 << 18);
        Between("num_hidden_layers", Layers, 1, 1 << 12);
        Between("num_attention_heads", Heads, 1, 1 << 12);
        Between("num_key_value_heads", KeyValueHeads, 1, 1 << 12);
        Between("head_dim", HeadSize, 1, 1 << 12);
        Between("intermediate_size", IntermediateSize, 1, 1 << 20);
        Between("max_position_embeddings", MaxPositions, 1, 1 << 24);
        Require(Heads % KeyValueHeads == 0, "num_key_value_heads",
            $"{Heads} attention heads cannot share {KeyValueHeads} key/value heads evenly");
        if (Architecture == Architecture.Gpt2)
        {
            Addressable("max_position_embeddings", MaxPositions);
            Addressable("hidden_size", 3L * HiddenSize); // c_attn
        }
        else
        {
            Require(HeadSize % 2 == 0, "head_dim", $"rotary positions turn pairs, but a head is {HeadSize} wide");
            Require(RopeTheta is >= 1 and <= 1e12, "rope_theta", $"must lie in [1, 1e12], is {RopeTheta}");
            Require(
                (long)MaxPositions * HeadSize <= int.MaxValue, "max_position_embeddings",
                $"a rotary table of {MaxPositions} positions for heads of {HeadSize} is too large");
        }
        Require(SlidingWindow is null or >= 1, "sliding_window", $"must be at least 1, is {SlidingWindow}");
        Require(FirstWindowLayer >= 0, "max_window_layers", $"must be at least 0, is {FirstWindowLayer}");
        Require(NormEpsilon is > 0 and < 1, "rms_norm_eps", $"must lie between 0 and 1, is {NormEpsilon}");
        Token("bos_token_id", BosTokenId);
        Token("eos_token_id", EosTokenId);
        Addressable("vocab_size", VocabSize);
        Addressable("intermediate_size", IntermediateSize);
        Addressable("head_dim", (long)Heads * HeadSize);
        var parameters = ParameterSet.LengthOf(Transformer.Layout(this));
        return parameters <= ParameterSet.MaxLength
            ? this
            : throw new InputException(
                file, null, $"describes a model of {parameters} parameters, but {ParameterSet.MaxLength} (2^31) are the most that one can have here",
                "give a smaller model");

        void Between(string key, int value, int least, int most) =>
            Require(value >= least && value <= most, key, $"must lie in [{least}, {most}], is {value}");

        void Token(string key, int? id) =>
            Require(id is null || (id >= 0 && id < VocabSize), key, $"{id} is no token of {VocabSize}");

        void Addressable(string key, long rows) =>
            Require(rows * HiddenSize <= int.MaxValue, key, $"a weight of [{rows}, {HiddenSize}] holds more than {int.MaxValue} numbers");

        void Require(bool holds, string key, string problem)
        {
            if (!holds)
            {
                throw new InputException(file, Architecture == Architecture.Gpt2 ? Gpt2ConfigJson.KeyOf(key) : key, problem, "correct the configuration");
            }
        }
    }
}
