using System.Text.Json.Nodes;
using TinyDpo.Dpo;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

/// <summary>Adapters: what they compute, what training does to them, and PEFT's files.</summary>
public class LoraTests
{
    private static readonly ByteLevelTokenizer s_tokenizer = BytePairTrainer.Train("a small text", 258, ["<|endoftext|>"]);
    private static readonly LoraOptions s_options = new() { Rank = 3, Alpha = 6 };

    private TemporaryFolder _folder = null!;
    private CpuBackend _backend = null!;

    [SetUp]
    public void Open() => (_folder, _backend) = (new TemporaryFolder(), PoisonedBackend.Create());

    [TearDown]
    public void Close()
    {
        _backend.Dispose();
        _folder.Dispose();
    }

    private static IEnumerable<TestCaseData> Cases => TinyModels.Architectures().Select(static a => new TestCaseData(a.Config).SetArgDisplayNames(a.Name));

    [TestCaseSource(nameof(Cases))]
    public void AtTheStartNothingChangesAndOnlyTheBsHaveAGradient(ModelConfig config)
    {
        var model = TinyModels.Create(_backend, config);
        var before = LogProbs(model);
        var adapters = LoraAdapters.Attach(model, s_options, seed: 1);
        Assert.That(LogProbs(model), Is.EqualTo(before), "to the bit");
        Backward(model);
        foreach (var (name, value) in adapters.Parameters.Tensors)
        {
            // With B = 0 nothing comes back to A: its gradient is a true zero until the first step.
            Assert.That(value.GradToArray(), name.Contains("lora_A") ? Is.All.Zero : Has.Some.Not.Zero, name);
            Assert.That(value.GradToArray(), Has.All.Matches<Real>(Real.IsFinite), name);
        }
        Assert.That(model.Parameters().All(static p => !p.Value.RequiresGrad && p.Value.Grad is null));

        Randomise(adapters);
        Backward(model);
        foreach (var (name, value) in adapters.Parameters.Tensors)
        {
            Assert.That(value.GradToArray(), Has.Some.Not.Zero.And.All.Matches<Real>(Real.IsFinite), name);
        }
    }

    /// <summary>Matrices are kept packed while sequences are sampled: the adapters' too, as they are.</summary>
    [Test]
    public void WhatIsSampledComesFromTheAdaptersAsTheyAre()
    {
        var model = TinyModels.Create(_backend);
        int[][] Sample() => [.. Generator.Sample(model, [[1, 2, 3], [4]], new GenerationOptions { MaxTokens = 30, Seed = 3 }).Select(static s => s.Tokens)];
        var plain = Sample();
        var adapters = LoraAdapters.Attach(model, s_options, seed: 1);
        Randomise(adapters);
        var adapted = Sample();
        Assert.That(adapted, Is.Not.EqualTo(plain));
        Assert.That(model.WithoutAdapters(Sample), Is.EqualTo(plain));
        Randomise(adapters, scale: 0.7);
        Assert.That(Sample(), Is.Not.EqualTo(adapted));
        Randomise(adapters);
        Assert.That(Sample(), Is.EqualTo(adapted));
    }

    [TestCaseSource(nameof(Cases))]
    public void MergedAndUnmergedLogitsAgree(ModelConfig config)
    {
        var targets = config.Architecture == Architecture.Gpt2 ? new[] { "c_attn", "mlp.c_proj" } : ["q_proj", "v_proj", "down_proj", "1.self_attn.o_proj"];
        var model = TinyModels.Create(_backend, config);
        var plain = Logits(model);
        var adapters = LoraAdapters.Attach(model, s_options with { Targets = targets }, seed: 1);
        Randomise(adapters, scale: 0.1);
        var unmerged = Logits(model);
        model.MergeAdapters();
        Assert.That(TinyModels.RelativeDistance(Logits(model), unmerged), Is.LessThan(sizeof(Real) == 4 ? 1e-5 : 1e-13));
        Assert.That(TinyModels.RelativeDistance(plain, unmerged), Is.GreaterThan(1e-2), "the adapters do something");
        Assert.That(model.Adapters, Is.Null);
    }

    [TestCaseSource(nameof(Cases))]
    public void TheAdaptersFileHasPeftsNamesAndShapesAndGivesBackEveryBit(ModelConfig config)
    {
        config = config with { VocabSize = s_tokenizer.VocabSize };
        ModelFile.Save(_folder.File("base"), TinyModels.Create(_backend, config), s_tokenizer);
        var model = ModelFile.LoadWeights(_folder.File("base"), _backend);
        Randomise(LoraAdapters.Attach(model, s_options, seed: 1));
        ModelFile.Save(_folder.File("adapter"), model, s_tokenizer);

        using (var file = SafetensorsFile.Open(Path.Combine(_folder.File("adapter"), "adapter_model.safetensors")))
        {
            var (module, width, rows) = config.Architecture == Architecture.Gpt2
                ? ("transformer.h.1.attn.c_attn", 24, 72)
                : ("model.layers.1.self_attn.q_proj", 24, 24);
            Assert.That(file.Shape($"base_model.model.{module}.lora_A.weight"), Is.EqualTo(new[] { 3, width }));
            Assert.That(file.Shape($"base_model.model.{module}.lora_B.weight"), Is.EqualTo(new[] { rows, 3 }));
            Assert.That(file.Names, Has.Count.EqualTo(config.Architecture == Architecture.Gpt2 ? 4 : 8));
        }
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.File("adapter"), "adapter_config.json")))!;
        Assert.That(((string?)json["peft_type"], (int?)json["r"], (double?)json["lora_alpha"]), Is.EqualTo(("LORA", 3, 6.0)));
        Assert.That((bool?)json["fan_in_fan_out"], Is.EqualTo(config.Architecture == Architecture.Gpt2));
        Assert.That(File.Exists(Path.Combine(_folder.File("adapter"), "model.safetensors")), Is.False);

        var (loaded, _) = ModelFile.Load(_folder.File("adapter"), _backend);
        Assert.That(Numbers(loaded), Is.EqualTo(Numbers(model)));
        Assert.That(LogProbs(loaded), Is.EqualTo(LogProbs(model)));
        Assert.That(ModelFile.Fingerprint(loaded), Is.Not.EqualTo(ModelFile.Fingerprint(ModelFile.LoadWeights(_folder.File("base"), _backend))));
    }

    /// <summary>Adapters as wide as the layer can say any change of it: they learn what the weights themselves learn.</summary>
    [Test]
    public void AtFullRankTheLossOfTheFullFineTuneIsReached()
    {
        var pairs = TinyModels.Pairs(8);
        var full = Train(lora: null, 3e-3);
        var lora = Train(
            new LoraOptions { Rank = 24, Alpha = 48, Targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] }, 3e-3);
        Assert.That(full, Is.LessThan(0.05));
        Assert.That(lora, Is.LessThanOrEqualTo(full));

        double Train(LoraOptions? lora, double rate)
        {
            var policy = TinyModels.Create(_backend);
            var reference = ReferenceLogProbs.Compute(policy, pairs);
            if (lora is not null)
            {
                LoraAdapters.Attach(policy, lora, seed: 2);
            }
            double last = 0;
            var options = new TrainingOptions { Epochs = 40, BatchSize = 8, LearningRate = rate };
            new TrainingRun(policy, new DpoTask(policy, pairs, reference, new DpoLoss(0.5)), options).Run(r => last = r["loss"], Math.Log(2));
            return last;
        }
    }

    [TestCase("r", "0", "describes no adapter")]
    [TestCase("peft_type", "\"IA3\"", "peft_type: 'IA3' is not supported")]
    [TestCase("bias", "\"all\"", "bias: 'all' is not supported")]
    [TestCase("use_dora", "true", "use_dora: is not supported")]
    [TestCase("use_qalora", "true", "use_qalora: is not supported")]
    [TestCase("init_lora_weights", "\"pissa\"", "init_lora_weights: 'pissa' is not supported: it changes the model's own weights")]
    [TestCase("init_lora_weights", "\"pissa_niter_16\"", "init_lora_weights: 'pissa_niter_16' is not supported")]
    [TestCase("init_lora_weights", "\"olora\"", "init_lora_weights: 'olora' is not supported")]
    [TestCase("init_lora_weights", "\"corda\"", "init_lora_weights: 'corda' is not supported")]
    [TestCase("init_lora_weights", "\"loftq\"", "init_lora_weights: 'loftq' is not supported")]
    [TestCase("alora_invocation_tokens", "[]", "alora_invocation_tokens: is not supported")]
    [TestCase("target_parameters", "[\"experts.up\"]", "target_parameters: is not supported")]
    [TestCase("loftq_config", "{\"loftq_bits\": 4}", "loftq_config: is not supported")]
    [TestCase("task_type", "\"SEQ_CLS\"", "task_type: 'SEQ_CLS' is not supported; the one supported is CAUSAL_LM")]
    [TestCase("rank_pattern", "{\"q_proj\": 4}", "rank_pattern: is not supported")]
    [TestCase("modules_to_save", "[\"lm_head\"]", "modules_to_save: is not supported")]
    [TestCase("target_modules", "[\"c_attn\"]", "'c_attn' is no map of this model; give some of q_proj, k_proj")]
    [TestCase("target_modules", "[\"k_proj\"]", "tensor 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'")]
    [TestCase("r", "4", "lora_A.weight': has shape [3, 24], but the model's configuration asks for [4, 24]")]
    [TestCase("base_model_name_or_path", "\"nowhere\"", "'nowhere' is no folder with a model")]
    public void AnAdapterThatDoesNotFitIsRefused(string key, string value, string message)
    {
        SaveAdapter();
        TokenizersSamples.Edit(_folder.File("adapter/adapter_config.json"), root => root[key] = JsonNode.Parse(value));
        Assert.That(() => ModelFile.LoadWeights(_folder.File("adapter"), _backend), Throws.TypeOf<InputException>().With.Message.Contains(message));
    }

    /// <summary>What PEFT writes beside, each with a value that asks for nothing more than B A.</summary>
    [TestCase("""{"init_lora_weights": true, "use_qalora": false, "alora_invocation_tokens": null, "target_parameters": null, "loftq_config": {}}""")]
    [TestCase("""{"init_lora_weights": false, "target_parameters": [], "loftq_config": null, "task_type": null, "arrow_config": null}""")]
    [TestCase("""{"init_lora_weights": "gaussian"}""")]
    [TestCase("""{"init_lora_weights": "eva", "eva_config": {"rho": 2.0}}""")]
    [TestCase("""{"init_lora_weights": "orthogonal"}""")]
    public void AnAdapterOfPlainLoraIsRead(string keys)
    {
        SaveAdapter();
        TokenizersSamples.Edit(_folder.File("adapter/adapter_config.json"), root =>
        {
            foreach (var (key, value) in JsonNode.Parse(keys)!.AsObject())
            {
                root[key] = value?.DeepClone();
            }
        });
        Assert.That(ModelFile.LoadWeights(_folder.File("adapter"), _backend).Adapters, Is.Not.Null);
    }

    [Test]
    public void AnAdapterWithoutATokenizerHasItsModels()
    {
        SaveAdapter();
        foreach (var file in Directory.GetFiles(_folder.File("adapter")).Where(static f => !Path.GetFileName(f).StartsWith("adapter_", StringComparison.Ordinal)))
        {
            File.Delete(file);
        }
        Assert.That(ModelFile.Load(_folder.File("adapter"), _backend).Tokenizer.Fingerprint, Is.EqualTo(s_tokenizer.Fingerprint));
        File.WriteAllText(_folder.File("adapter/tokenizer_config.json"), "{}");
        Assert.That(() => ModelFile.Load(_folder.File("adapter"), _backend), Throws.TypeOf<InputException>().With.Message.Contains("adapter/tokenizer.json"));
    }

    [Test]
    public void AnAdapterAsPicklesIsToBeSavedOtherwise()
    {
        SaveAdapter();
        File.Move(_folder.File("adapter/adapter_model.safetensors"), _folder.File("adapter/adapter_model.bin"));
        Assert.That(() => ModelFile.LoadWeights(_folder.File("adapter"), _backend), Throws.TypeOf<InputException>()
            .With.Message.Contains("adapter_model.bin: is PyTorch's pickle, which is not read; save the weights as adapter_model.safetensors"));
    }

    [Test]
    public void ALlama2cModelGetsNoAdapters()
    {
        var model = TinyModels.Create(_backend, TinyModels.Config(interleaved: true));
        Assert.That(() => LoraAdapters.Attach(model, s_options, 1), Throws.TypeOf<InputException>().With.Message.Contains("convert it"));
    }

    private void SaveAdapter()
    {
        ModelFile.Save(_folder.File("base"), TinyModels.Create(_backend, TinyModels.Config(vocabulary: 258)), s_tokenizer);
        var model = ModelFile.LoadWeights(_folder.File("base"), _backend);
        Randomise(LoraAdapters.Attach(model, s_options, seed: 1));
        ModelFile.Save(_folder.File("adapter"), model, s_tokenizer);
    }

    private void Randomise(LoraAdapters adapters, double scale = 0.5)
    {
        foreach (var ((_, value), i) in adapters.Parameters.Tensors.Select(static (t, i) => (t, i)))
        {
            _backend.Upload([.. TinyModels.Random(11, i, value.Shape.Count).Select(v => (Real)(float)(scale * v))], value.Data);
        }
    }

    private static void Backward(Transformer model)
    {
        using var step = new StepScope(model.Backend);
        model.Trained.ClearGradients();
        model.SequenceLogProbs(PreferencePairs.Pack(model.Backend, TinyModels.Pairs(2))).Backward([1, -1, (Real)0.5, 2]);
    }

    private static Real[] Numbers(Transformer model) => [.. model.Adapters!.Parameters.Tensors.SelectMany(static t => t.Value.ToArray())];

    private static Real[] LogProbs(Transformer model)
    {
        using var step = new StepScope(model.Backend, gradients: false);
        return model.SequenceLogProbs(PreferencePairs.Pack(model.Backend, TinyModels.Pairs(3))).ToArray();
    }

    private static Real[] Logits(Transformer model)
    {
        using var step = new StepScope(model.Backend, gradients: false);
        var batch = PreferencePairs.Pack(model.Backend, TinyModels.Pairs(3));
        return model.Logits(model.Hidden(batch), OpTable.Index(model.Backend, [.. Enumerable.Range(0, batch.Tokens.Length)])).ToArray();
    }
}
