using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>A random model of a few thousand weights in Hugging Face's layout, with a tokenizer that knows its few words.</summary>
internal static class TinyModelFolder
{
    public const int Context = 48;

    private const string Text = "the film was good and we left happy. the film was bad and we left angry. i liked the music. i hated the plot.";

    /// <summary>Writes the model into <paramref name="folder"/> and gives the folder back.</summary>
    public static string Save(string folder, ulong seed = 1)
    {
        using var backend = new CpuBackend(1);
        var tokenizer = Tokenizer(280);
        var model = new Transformer(
            new ModelConfig
            {
                VocabSize = tokenizer.VocabSize,
                HiddenSize = 16,
                Layers = 1,
                Heads = 2,
                KeyValueHeads = 2,
                HeadSize = 8,
                IntermediateSize = 24,
                MaxPositions = Context,
                RopeTheta = 10000,
                NormEpsilon = 1e-5,
                TieEmbeddings = true,
            }.Validated("test"),
            backend);
        model.Initialise(seed);
        ModelFile.Save(folder, model, tokenizer);
        return folder;
    }

    /// <summary>Writes another tokenizer, of so many ids, into <paramref name="folder"/> and gives the folder back.</summary>
    public static string SaveTokenizer(string folder, int vocabSize)
    {
        Directory.CreateDirectory(folder);
        Tokenizer(vocabSize).Save(folder);
        return folder;
    }

    private static ByteLevelTokenizer Tokenizer(int vocabSize) => BytePairTrainer.Train(Text, vocabSize, ["<|endoftext|>"]);
}
