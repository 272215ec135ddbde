using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class ModelFileTests
{
    private static readonly ByteLevelTokenizer s_tokenizer = BytePairTrainer.Train("a small text", 258, ["<|endoftext|>"]);

    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => (_folder, _backend) = (new TemporaryFolder(), new CpuBackend(1));

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    [Test]
    public void AFolderGivesBackTheBitsOfEveryTensor([Values] bool tied)
    {
        var model = Create(tied);
        ModelFile.Save(_folder.Path, model, s_tokenizer);
        var (loaded, tokenizer) = ModelFile.Load(_folder.Path, _backend);
        Assert.That(loaded.Parameters().Select(static p => p.Name), Is.EqualTo(model.Parameters().Select(static p => p.Name)));
        Assert.That(TinyModels.Weights(loaded), Is.EqualTo(TinyModels.Weights(model)));
        Assert.That(loaded.Config, Is.EqualTo(model.Config with { BosTokenId = s_tokenizer.BosId, EosTokenId = s_tokenizer.EosId }));
        Assert.That(tokenizer.Fingerprint, Is.EqualTo(s_tokenizer.Fingerprint));
        Assert.That(Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName), Does.Not.Contain("model.safetensors.tmp"));
    }

    /// <summary>A model with interleaved rotary pairs is permuted for Hugging Face, and gives the same log-probs from there.</summary>
    [TestCase(1)]
    [TestCase(2)]
    [TestCase(4)]
    public void InterleavedRotaryPairsBecomeHalvesWithoutChangingALogProb(int keyValueHeads)
    {
        var model = Create(keyValueHeads: keyValueHeads, interleaved: true);
        ModelFile.Save(_folder.Path, model, s_tokenizer);
        var loaded = ModelFile.LoadWeights(_folder.Path, _backend);
        Assert.That(loaded.Config.RotaryInterleaved, Is.False);
        foreach (var (name, value) in model.Parameters())
        {
            var moved = name.Contains("q_proj") || name.Contains("k_proj");
            Assert.That(loaded.Weights[name].ToArray(), moved ? Is.EquivalentTo(value.ToArray()) : Is.EqualTo(value.ToArray()), name);
            if (moved)
            {
                // Row 2i of a head goes to i, row 2i + 1 to i + headSize / 2.
                var (before, after, width) = (value.ToArray(), loaded.Weights[name].ToArray(), value.Shape.Columns);
                for (var row = 0; row < value.Shape.Rows; row++)
                {
                    var (head, i) = (row / 6, row % 6);
                    var to = (head * 6) + (i % 2 * 3) + (i / 2);
                    Assert.That(after[(to * width)..((to + 1) * width)], Is.EqualTo(before[(row * width)..((row + 1) * width)]), $"{name}, row {row}");
                }
            }
        }
        var (a, b) = (LogProbs(model), LogProbs(loaded));
        Assert.That(a.Zip(b, static (x, y) => Math.Abs((double)x - y)).Max(), Is.LessThan(1e-5));
    }

    [Test]
    public void ALlama2cFileBecomesTheFolderOfTheSameModel()
    {
        var model = ModelFile.LoadWeights(Repository.Shared("data/weights/stories260K.bin"), _backend);
        var tokenizer = TokenizerFile.Load(Repository.Shared("data/weights/tok512.bin"));
        ModelFile.Save(_folder.Path, model, tokenizer);
        var theirs = ModelFile.LoadWeights(Repository.Shared("data/weights/stories260K-hf"), _backend);
        Assert.That(TinyModels.Weights(ModelFile.LoadWeights(_folder.Path, _backend)), Is.EqualTo(TinyModels.Weights(theirs)));
    }

    /// <summary>A checkpoint keeps the weights as they are.</summary>
    [Test]
    public void RawWeightsAreNotPermuted()
    {
        var model = Create(interleaved: true);
        ModelFile.SaveRawWeights(_folder.Path, model);
        var other = new Transformer(model.Config, _backend);
        ModelFile.ReadRawWeights(other, _folder.Path);
        Assert.That(TinyModels.Weights(other), Is.EqualTo(TinyModels.Weights(model)), "to the last bit, in double too");
    }

    [Test]
    public void AFolderIsReplacedWholeAndLeavesNothingBeside()
    {
        var (model, other) = (Create(), TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258), seed: 9));
        var target = _folder.File("model");
        ModelFile.Save(target + Path.DirectorySeparatorChar, model, s_tokenizer);
        var names = Directory.EnumerateFiles(target).Select(Path.GetFileName).Order().ToArray();
        File.WriteAllText(Path.Combine(target, "stale.json"), "");
        const string guid = ".dfc4f2bc";
        Directory.CreateDirectory(target + guid + ".partial");
        File.WriteAllText(Path.Combine(target + guid + ".partial", "torn"), "");
        Directory.CreateDirectory(target + guid + ".old");
        ModelFile.Save(target, other, s_tokenizer);
        Assert.That(Directory.EnumerateFiles(target).Select(Path.GetFileName).Order(), Is.EqualTo(names));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path), Is.EqualTo(new[] { target }));
        Assert.That(
            LogProbs(ModelFile.LoadWeights(target, _backend)), Is.EqualTo(LogProbs(other)).Within(sizeof(Real) == 4 ? 0 : 1e-5));
    }

    /// <summary>Folders that somebody else has made, or that another output is written in.</summary>
    [TestCase("model.partial")]
    [TestCase("model.old")]
    [TestCase("model.notes-of-more-than-32-characters--.partial")]
    [TestCase("model.v2.dfc4f2bc.partial")]
    [TestCase("my-model.dfc4f2bc.partial")]
    public void WhatOthersPutBesideAFolderStays(string name)
    {
        Directory.CreateDirectory(_folder.File(name));
        File.WriteAllText(_folder.File($"{name}/notes.txt"), "mine");
        AtomicFolder.Write(_folder.File("model"), static _ => { });
        AtomicFolder.Write(_folder.File("model"), static _ => { });
        AtomicFolder.Delete(_folder.File("model"));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(new[] { name }));
        Assert.That(File.ReadAllText(_folder.File($"{name}/notes.txt")), Is.EqualTo("mine"));
    }

    [Test]
    public void WhenTheNewFolderFailsTheOldOneStays()
    {
        var target = _folder.File("model");
        ModelFile.Save(target, Create(), s_tokenizer);
        var before = File.ReadAllBytes(Path.Combine(target, "model.safetensors"));
        Assert.That(
            () => AtomicFolder.Write(target, static partial =>
            {
                File.WriteAllText(Path.Combine(partial, "model.safetensors"), "");
                throw new InvalidOperationException("broken");
            }),
            Throws.InvalidOperationException);
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path), Is.EqualTo(new[] { target }));
        Assert.That(File.ReadAllBytes(Path.Combine(target, "model.safetensors")), Is.EqualTo(before));

        File.WriteAllText(_folder.File("file"), "");
        Assert.That(
            () => ModelFile.Save(_folder.File("file"), Create(), s_tokenizer), Throws.InstanceOf<InputException>().With.Message.Contains("file"));
        Assert.That(File.Exists(_folder.File("file")), Is.True);
        Assert.That(Directory.EnumerateDirectories(_folder.Path), Is.EqualTo(new[] { target }));
    }

    [Test]
    public void TheFingerprintFollowsEveryWeightAndTheConfiguration()
    {
        var model = Create();
        var fingerprint = ModelFile.Fingerprint(model);
        Assert.That(ModelFile.Fingerprint(model.Clone()), Is.EqualTo(fingerprint));
        foreach (var (name, value) in model.Parameters())
        {
            var numbers = value.ToArray();
            numbers[^1] = Real.BitIncrement(numbers[^1]);
            var other = model.Clone();
            _backend.Upload(numbers, other.Weights[name].Data);
            Assert.That(ModelFile.Fingerprint(other), Is.Not.EqualTo(fingerprint), name);
        }
        var config = new Transformer(model.Config with { RopeTheta = 200 }, _backend);
        config.Weights.CopyFrom(model.Weights);
        Assert.That(ModelFile.Fingerprint(config), Is.Not.EqualTo(fingerprint));
    }

    [Test]
    public void AMissingTensorIsNamed() =>
        AssertRefused(Create(), static tensors => tensors.RemoveAll(static t => t.Name == "model.norm.weight"), "tensor 'model.norm.weight'");

    [Test]
    public void AnUnknownTensorIsNamed() =>
        AssertRefused(Create(), static tensors => tensors.Add(("model.layers.7.bias", [1], new Real[1])), "tensor 'model.layers.7.bias'");

    [Test]
    public void AHeadThatATiedModelDoesNotNeedIsNoMistake()
    {
        var model = Create();
        Write(model, static tensors => tensors.Add(("lm_head.weight", [258, 24], new Real[258 * 24])));
        Assert.That(TinyModels.Weights(ModelFile.LoadWeights(_folder.Path, _backend)), Is.EqualTo(TinyModels.Weights(model)));
    }

    [TestCase("model.norm.weight", new[] { 23 })]
    [TestCase("model.norm.weight", new[] { 1, 24 })]
    [TestCase("model.layers.1.self_attn.k_proj.weight", new[] { 24, 12 }, Description = "transposed")]
    public void ATensorOfAnotherShapeIsNamed(string name, int[] shape) => AssertRefused(
        Create(), tensors => tensors[tensors.FindIndex(t => t.Name == name)] = (name, shape, new Real[shape.Aggregate(1, static (a, b) => a * b)]), name);

    [Test]
    public void AVocabularyLargerThanTheWeightsIsRefused()
    {
        ModelFile.Save(_folder.Path, Create(), s_tokenizer);
        var config = File.ReadAllText(_folder.File("config.json"));
        File.WriteAllText(_folder.File("config.json"), config.Replace("\"vocab_size\": 258", "\"vocab_size\": 300"));
        Assert.That(() => ModelFile.Load(_folder.Path, _backend), Throws.InstanceOf<InputException>().With.Message.Contains("embed_tokens"));
    }

    [Test]
    public void ATokenizerLargerThanTheModelIsRefused()
    {
        ModelFile.Save(_folder.Path, Create(vocabulary: 200), s_tokenizer);
        var config = File.ReadAllText(_folder.File("config.json"));
        Assert.That(config, Does.Contain("\"vocab_size\": 200"));
        Assert.That(() => ModelFile.Load(_folder.Path, _backend), Throws.InstanceOf<InputException>().With.Message.Contains("258 ids"));
    }

    [Test]
    public void WhatIsNoModelIsRefused()
    {
        Assert.That(() => ModelFile.LoadWeights(_folder.File("nothing"), _backend), Throws.InstanceOf<InputException>().With.Message.Contains("nothing"));
        Assert.That(() => ModelFile.LoadWeights(_folder.Path, _backend), Throws.InstanceOf<InputException>().With.Message.Contains("config.json"));
        ModelFile.Save(_folder.Path, Create(), s_tokenizer);
        File.Delete(_folder.File("model.safetensors"));
        Assert.That(() => ModelFile.LoadWeights(_folder.Path, _backend), Throws.InstanceOf<InputException>().With.Message.Contains("model.safetensors"));
        Assert.That(
            () => ModelFile.Load(Repository.Shared("data/weights/stories260K.bin"), _backend),
            Throws.InstanceOf<InputException>().With.Message.Contains("--tokenizer"));
    }

    private Transformer Create(bool tied = true, int keyValueHeads = 2, bool interleaved = false, int vocabulary = 258) =>
        TinyModels.Create(_backend, TinyModels.Config(tied, keyValueHeads, interleaved, vocabulary));

    private void Write(Transformer model, Action<List<(string Name, int[] Shape, ReadOnlyMemory<Real> Values)>> change)
    {
        ModelFile.Save(_folder.Path, model, s_tokenizer);
        var tensors = model.Parameters().Select(static p => (p.Name, p.Value.Shape.ToArray(), (ReadOnlyMemory<Real>)p.Value.ToArray())).ToList();
        change(tensors);
        SafetensorsWriter.Write(_folder.File("model.safetensors"), tensors);
    }

    private void AssertRefused(
        Transformer model, Action<List<(string Name, int[] Shape, ReadOnlyMemory<Real> Values)>> change, string named)
    {
        Write(model, change);
        Assert.That(
            () => ModelFile.LoadWeights(_folder.Path, _backend),
            Throws.InstanceOf<InputException>().With.Message.Contains(named).And.Message.Contains("model.safetensors"));
    }

    private Real[] LogProbs(Transformer model)
    {
        using var step = new StepScope(_backend, gradients: false);
        return model.TokenLogProbs(PackedBatch.Pack(_backend, [new PromptGroup([1, 2, 3], [[4, 5, 6, 7, 8, 9, 10]])])).ToArray();
    }
}
