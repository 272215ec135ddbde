using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Small models with weights large enough that every part of them matters, and random data for them.</summary>
internal static class TinyModels
{
    public static ModelConfig Config(bool tied = true, int keyValueHeads = 2, bool interleaved = false, int vocabulary = 29, int hidden = 24) => new()
    {
        VocabSize = vocabulary,
        HiddenSize = hidden,
        Layers = 2,
        Heads = 4,
        KeyValueHeads = keyValueHeads,
        HeadSize = 6,
        IntermediateSize = (2 * hidden) + 3,
        MaxPositions = 64,
        RopeTheta = 100,
        NormEpsilon = 1e-5,
        TieEmbeddings = tied,
        RotaryInterleaved = interleaved,
    };

    /// <summary>A small model of each architecture, and of what each can be varied in, by name.</summary>
    public static IEnumerable<(string Name, ModelConfig Config)> Architectures()
    {
        var llama = Config();
        yield return ("llama", llama);
        yield return ("llama, untied", Config(tied: false, keyValueHeads: 1));
        // Wavelengths of 6, 29 and 135 positions: one is kept, one mixed, one stretched.
        yield return ("llama3 scaling", llama with { RopeScaling = new Llama3RopeScaling(8, 0.5, 1.5, 32) });
        yield return ("linear scaling", llama with { RopeScaling = new LinearRopeScaling(2.5) });
        // Windows shorter than the tests' sequences, and one that none of them fills.
        yield return ("mistral", Config(tied: false) with { Architecture = Architecture.Mistral, SlidingWindow = 5 });
        yield return ("mistral, wide window", Config(tied: false) with { Architecture = Architecture.Mistral, SlidingWindow = 40 });
        yield return ("qwen2", llama with { Architecture = Architecture.Qwen2 });
        yield return ("qwen2, window in the last layer", llama with { Architecture = Architecture.Qwen2, SlidingWindow = 4, FirstWindowLayer = 1 });
        var gpt2 = llama with { Architecture = Architecture.Gpt2, KeyValueHeads = 4, RopeTheta = ModelConfig.DefaultRopeTheta };
        yield return ("gpt2", gpt2);
        yield return ("gpt2, untied", gpt2 with { TieEmbeddings = false });
    }

    public static Transformer Create(IBackend backend, ModelConfig? config = null, ulong seed = 1)
    {
        var model = new Transformer(config ?? Config(), backend);
        foreach (var ((_, value), i) in model.Parameters().Select(static (p, i) => (p, i)))
        {
            var numbers = Random(seed, i, value.Shape.Count);
            // Norms about 1; matrices large enough that logits differ by some units. Float holds every number exactly.
            backend.Upload([.. numbers.Select(v => (Real)(float)(value.Shape.Rank == 1 ? 1 + (0.3 * v) : 0.5 * v))], value.Data);
        }
        return model;
    }

    /// <summary>Uniform numbers in [-1, 1).</summary>
    public static double[] Random(ulong seed, int stream, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (2 * Philox.Uniform(seed, RandomPurpose.Test, 0, stream, i)) - 1)];

    /// <summary>Random ids, 1 to <paramref name="longest"/> of them.</summary>
    public static int[] Tokens(ulong seed, int stream, int longest, int vocabulary)
    {
        var length = 1 + (int)(Philox.Uniform(seed, RandomPurpose.Test, 1, stream, 0) * longest);
        return [.. Enumerable.Range(1, length).Select(i => (int)(Philox.Uniform(seed, RandomPurpose.Test, 1, stream, i) * vocabulary))];
    }

    public static PreferencePair[] Pairs(int count, int vocabulary = 29, int longest = 11, ulong seed = 3) =>
    [
        .. Enumerable.Range(0, count).Select(i => new PreferencePair(
            i + 1, Tokens(seed, 3 * i, longest, vocabulary), Tokens(seed, (3 * i) + 1, longest, vocabulary), Tokens(seed, (3 * i) + 2, longest, vocabulary))),
    ];

    /// <summary>Every gradient by its parameter's name.</summary>
    public static Dictionary<string, Real[]> Gradients(Transformer model) =>
        model.Parameters().ToDictionary(static p => p.Name, static p => p.Value.GradToArray());

    public static Real[] Weights(Transformer model) => [.. model.Parameters().SelectMany(static p => p.Value.ToArray())];

    /// <summary>The distance of two vectors over the length of the second.</summary>
    public static double RelativeDistance(IEnumerable<Real> actual, IEnumerable<Real> expected)
    {
        double difference = 0, length = 0;
        foreach (var (a, b) in actual.Zip(expected))
        {
            difference += ((double)a - b) * ((double)a - b);
            length += (double)b * b;
        }
        return Math.Sqrt(difference / length);
    }
}

/// <summary>Backends whose fresh memory is NaN, so that a kernel which reads what nobody wrote shows.</summary>
internal static class PoisonedBackend
{
    public static CpuBackend Create(int threads = 1)
    {
        var backend = new CpuBackend(threads);
        backend.Memory.Poison = memory => backend.Fill((DeviceBuffer)memory, Real.NaN);
        return backend;
    }
}
