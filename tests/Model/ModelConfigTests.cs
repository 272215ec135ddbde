using System.Text.Json;
using System.Text.Json.Nodes;
using TinyDpo.Models;

namespace TinyDpo.Tests;

public class ModelConfigTests
{
    private const string Base = """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 5,
         "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 172, "max_position_embeddings": 256, "rms_norm_eps": 1e-05}
        """;

    [Test]
    public void ReadsTheRealModel()
    {
        var config = ModelConfig.FromJson(Repository.Shared("data/weights/stories260K-hf/config.json"));
        Assert.That(config, Is.EqualTo(new ModelConfig
        {
            VocabSize = 512,
            HiddenSize = 64,
            Layers = 5,
            Heads = 8,
            KeyValueHeads = 4,
            HeadSize = 8,
            IntermediateSize = 172,
            MaxPositions = 512,
            RopeTheta = 10000,
            NormEpsilon = 1e-5,
            TieEmbeddings = true,
            BosTokenId = 1,
            EosTokenId = 1,
        }));
    }

    [Test]
    public void ReadsAWorkload()
    {
        var path = Repository.Shared("workloads/oracle.json");
        using var document = JsonInput.ReadFile(path);
        var config = ModelConfig.FromWorkload(document.RootElement.GetProperty("config"), path);
        Assert.That((config.VocabSize, config.HeadSize, config.KeyValueHeads, config.MaxPositions), Is.EqualTo((97, 8, 2, 4096)));
        Assert.That((config.BosTokenId, config.EosTokenId, config.RotaryInterleaved), Is.EqualTo(((int?)null, (int?)null, false)));
    }

    [Test]
    public void WhatIsSavedIsReadAgain()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("config.json");
        const string unusual =
            """{"head_dim": 24, "rope_theta": 500000, "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "bos_token_id": 3}""";
        foreach (var changes in (string[])["{}", unusual, """{"architectures": ["LlamaForSequenceClassification"]}"""])
        {
            var config = Read(folder, changes);
            config.Save(path);
            Assert.That(ModelConfig.FromJson(path), Is.EqualTo(config));
        }
    }

    [Test]
    public void SavesWhatTransformersReads()
    {
        using var folder = new TemporaryFolder();
        var path = folder.File("config.json");
        Read(folder, """{"eos_token_id": [2, 5]}""").Save(path);
        var saved = JsonNode.Parse(File.ReadAllText(path))!;
        Assert.That(saved["architectures"]!.ToJsonString(), Is.EqualTo("""["LlamaForCausalLM"]"""));
        Assert.That((string?)saved["model_type"], Is.EqualTo("llama"));
        Assert.That((string?)saved["torch_dtype"], Is.EqualTo("float32"));
        Assert.That((int?)saved["head_dim"], Is.EqualTo(8));
        Assert.That((int?)saved["eos_token_id"], Is.EqualTo(2));
        Assert.That(saved["bos_token_id"], Is.Null);
        Assert.That(saved["rope_theta"]!.ToJsonString(), Is.EqualTo("10000.0"), "a float, also for a reader that tells 10000 from 10000.0");
    }

    [Test]
    public void EachArchitecturesOwnKeysAreRead()
    {
        using var folder = new TemporaryFolder();
        var mistral = Read(folder, """{"architectures": ["MistralForCausalLM"], "model_type": "mistral"}""");
        Assert.That((mistral.Architecture, mistral.SlidingWindow), Is.EqualTo((Architecture.Mistral, (int?)4096)), "transformers' default");
        mistral = Read(folder, """{"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": null}""");
        Assert.That(mistral.SlidingWindow, Is.Null);
        var qwen2 = Read(folder, """{"architectures": null, "model_type": "qwen2", "sliding_window": 128, "use_sliding_window": false}""");
        Assert.That((qwen2.Architecture, qwen2.SlidingWindow), Is.EqualTo((Architecture.Qwen2, (int?)null)));
        const string windowed = """{"architectures": null, "model_type": "qwen2", "use_sliding_window": true, """;
        Assert.That(Windows(""), Is.EqualTo((int?[])[null, null, null, null, null]), "4096 from layer 28 on, by transformers' defaults");
        Assert.That(Windows(""", "sliding_window": 128, "max_window_layers": 3"""), Is.EqualTo((int?[])[null, null, null, 128, 128]));
        Assert.That(Windows(""", "sliding_window": null, "max_window_layers": 0"""), Is.All.Null);
        const string types = """, "layer_types": ["full_attention", "full_attention", "full_attention", "full_attention", "sliding_attention"]""";
        Assert.That(Windows(types), Is.EqualTo((int?[])[null, null, null, null, 4096]));

        var llama3 = Read(folder, """
            {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
             "original_max_position_embeddings": 8192}}
            """);
        Assert.That((llama3.RopeTheta, llama3.RopeScaling), Is.EqualTo((5e5, (RopeScaling)new Llama3RopeScaling(8, 1, 4, 8192))));

        int?[] Windows(string changes)
        {
            var config = Read(folder, windowed.TrimEnd(' ', ',') + changes + "}");
            return [.. Enumerable.Range(0, config.Layers).Select(layer => config.Attention(layer).Window)];
        }
    }

    /// <summary>The keys of published configurations, those that say nothing of the computation among them.</summary>
    [TestCase("Llama-3.2-1B-Instruct", """
        {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
         "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
         "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
         "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
         "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
         "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "use_cache": true,
         "vocab_size": 128256}
        """, 1_235_814_400)]
    [TestCase("Qwen2.5-0.5B-Instruct", """
        {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu",
         "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21,
         "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
         "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "dtype": "bfloat16", "use_cache": true,
         "use_sliding_window": false, "vocab_size": 151936}
        """, 494_032_768)]
    [TestCase("TinyLlama-1.1B-Chat", """
        {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 2048,
         "initializer_range": 0.02, "intermediate_size": 5632, "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32,
         "num_hidden_layers": 22, "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000.0,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 32000}
        """, 1_100_048_384)]
    [TestCase("SmolLM2-135M", """
        {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 0,
         "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664, "intermediate_size": 1536, "is_llama_config": true,
         "max_position_embeddings": 8192, "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
         "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
         "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 49152}
        """, 134_515_008)]
    [TestCase("gpt2", """
        {"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1,
         "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768,
         "n_head": 12, "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
         "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
         "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257}
        """, 124_439_808)]
    public void APublishedModelHasItsPublishedNumberOfParameters(string name, string json, long parameters)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("config.json"), json);
        Assert.That(Transformer.Layout(ModelConfig.FromJson(folder.File("config.json"))).Sum(static p => (long)p.Shape.Count), Is.EqualTo(parameters), name);
    }

    [Test]
    public void ReadsAGpt2WithoutAHead()
    {
        var config = ModelConfig.FromJson(Repository.Shared("data/weights/tiny_gpt2/config.json"));
        Assert.That(config, Is.EqualTo(new ModelConfig
        {
            Architecture = Architecture.Gpt2,
            VocabSize = 21,
            HiddenSize = 2,
            Layers = 1,
            Heads = 1,
            KeyValueHeads = 1,
            HeadSize = 2,
            IntermediateSize = 8,
            MaxPositions = 1024,
            NormEpsilon = 1e-5,
            TieEmbeddings = true,
            BosTokenId = 20,
            EosTokenId = 20,
        }));
    }

    [Test]
    public void InterleavedRotaryIsNotSaved()
    {
        using var folder = new TemporaryFolder();
        var config = Read(folder, "{}") with { RotaryInterleaved = true };
        Assert.That(() => config.Save(folder.File("out.json")), Throws.InvalidOperationException);
        Assert.That(File.Exists(folder.File("out.json")), Is.False);
    }

    [Test]
    public void SilentKeysTakeTransformersDefaults()
    {
        using var folder = new TemporaryFolder();
        var config = Read(folder, """{"num_key_value_heads": null, "bos_token_id": null, "rope_scaling": null}""");
        Assert.That((config.KeyValueHeads, config.HeadSize, config.RopeTheta, config.TieEmbeddings), Is.EqualTo((8, 8, 10000.0, false)));
        Assert.That((config.BosTokenId, config.EosTokenId), Is.EqualTo(((int?)null, (int?)null)));
    }

    [TestCase("""{"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}""", 500000)]
    [TestCase("""{"rope_theta": 500000, "rope_parameters": {"rope_theta": 5e5}}""", 500000)]
    [TestCase("""{"rope_theta": 20000.0, "rope_parameters": {"rope_type": "default"}}""", 20000)]
    [TestCase("""{"rope_theta": 20000.0, "rope_scaling": {"type": "default"}}""", 20000)]
    public void TheRotaryBaseIsFoundInBothPlaces(string changes, double theta)
    {
        using var folder = new TemporaryFolder();
        Assert.That(Read(folder, changes).RopeTheta, Is.EqualTo(theta));
    }

    [TestCase("""{"architectures": ["GemmaForCausalLM"], "model_type": "gemma"}""",
        "architectures: 'GemmaForCausalLM' is not supported; the supported ones are LlamaForCausalLM (model_type llama), MistralForCausalLM")]
    [TestCase("""{"model_type": "bert"}""", "model_type: 'bert' is not supported; the supported ones are LlamaForCausalLM (model_type llama)")]
    [TestCase("""{"model_type": "mistral"}""", "model_type: 'mistral' is not that of 'LlamaForCausalLM'")]
    [TestCase("""{"architectures": null, "model_type": null}""", "architectures: is missing, and so is model_type")]
    [TestCase("""{"architectures": "LlamaForCausalLM"}""", "architectures: must be a list of strings")]
    [TestCase("""{"attention_bias": true}""", "attention_bias: true is not supported")]
    [TestCase("""{"mlp_bias": true}""", "mlp_bias: true is not supported")]
    [TestCase("""{"mlp_bias": 1}""", "mlp_bias: must be a true or false, is 1")]
    [TestCase("""{"hidden_act": "gelu"}""", "hidden_act: 'gelu' is not supported; the one supported is silu")]
    [TestCase("""{"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}""", "rope_scaling.low_freq_factor: is missing")]
    [TestCase("""{"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1, "original_max_position_embeddings": 8}}""",
        "rope_scaling.high_freq_factor: must exceed low_freq_factor")]
    [TestCase("""{"rope_scaling": {"type": "linear", "factor": 0.5}}""", "rope_scaling.factor: must lie in [1, 1e6], is 0.5")]
    [TestCase("""{"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "linear", "factor": 3}}""",
        "rope_scaling: says something else than rope_parameters")]
    [TestCase("""{"rope_scaling": {"type": "dynamic", "factor": 2.0}}""", "rope_scaling: rotary positions of type 'dynamic'")]
    [TestCase("""{"architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_key_value_heads": null}""", "num_key_value_heads: is missing")]
    [TestCase("""{"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 0}""", "sliding_window: must be at least 1, is 0")]
    [TestCase("""{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "use_sliding_window": true, "max_window_layers": -1}""", "max_window_layers: must be at least 0")]
    [TestCase("""{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention"]}""",
        "layer_types: is not 5 layers, some of full_attention and then some of sliding_attention")]
    [TestCase("""{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}""", "n_embd: is missing")]
    [TestCase("""{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 12, "n_head": 5, "n_layer": 1, "n_positions": 8}""",
        "n_head: n_embd 12 does not divide into 5 heads")]
    [TestCase("""{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 12, "n_head": 2, "n_layer": 0, "n_positions": 8}""",
        "n_layer: must lie in [1, 4096], is 0")]
    [TestCase("""{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "relu"}""", "activation_function: 'relu' is not supported")]
    [TestCase("""{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "scale_attn_weights": false}""", "scale_attn_weights: false is not supported")]
    [TestCase("""{"rope_scaling": {"factor": 2.0}}""", "rope_scaling: rotary positions of type '(unnamed)'")]
    [TestCase("""{"rope_scaling": 2.0}""", "rope_scaling: is no JSON object")]
    [TestCase("""{"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}""", "rope_parameters: rotary positions of type 'yarn'")]
    [TestCase("""{"rope_parameters": {"partial_rotary_factor": 0.5}}""", "rope_parameters: rotary positions of type 'default' with this scaling")]
    [TestCase("""{"rope_parameters": {"rope_theta": "big"}}""", "rope_parameters.rope_theta: must be a number, is \"big\"")]
    [TestCase("""{"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e5}}""", "rope_theta: is 10000, but rope_parameters.rope_theta is 100000")]
    [TestCase("""{"quantization_config": {}}""", "quantization_config: quantised weights are not supported")]
    [TestCase("""{"vocab_size": null}""", "vocab_size: is missing; add it")]
    [TestCase("""{"hidden_size": null}""", "hidden_size: is missing; add it")]
    [TestCase("""{"num_hidden_layers": null}""", "num_hidden_layers: is missing; add it")]
    [TestCase("""{"num_attention_heads": null}""", "num_attention_heads: is missing; add it")]
    [TestCase("""{"intermediate_size": null}""", "intermediate_size: is missing; add it")]
    [TestCase("""{"max_position_embeddings": null}""", "max_position_embeddings: is missing; add it")]
    [TestCase("""{"rms_norm_eps": null}""", "rms_norm_eps: is missing; add it")]
    [TestCase("""{"vocab_size": 512.5}""", "vocab_size: must be a whole number, is 512.5")]
    [TestCase("""{"vocab_size": "512"}""", "vocab_size: must be a whole number, is \"512\"")]
    [TestCase("""{"vocab_size": 99999999999}""", "vocab_size: must be a whole number, is 99999999999")]
    [TestCase("""{"vocab_size": 0}""", "vocab_size: must lie in [1, 16777216], is 0")]
    [TestCase("""{"hidden_size": -64}""", "hidden_size: must lie in [1, 262144], is -64")]
    [TestCase("""{"num_hidden_layers": 100000}""", "num_hidden_layers: must lie in [1, 4096], is 100000")]
    [TestCase("""{"num_attention_heads": 0}""", "num_attention_heads: hidden_size 64 does not divide into 0 heads")]
    [TestCase("""{"num_attention_heads": 5}""", "num_attention_heads: hidden_size 64 does not divide into 5 heads")]
    [TestCase("""{"num_attention_heads": -8, "head_dim": 8}""", "num_attention_heads: must lie in [1, 4096], is -8")]
    [TestCase("""{"num_key_value_heads": 3}""", "num_key_value_heads: 8 attention heads cannot share 3 key/value heads evenly")]
    [TestCase("""{"num_key_value_heads": 0}""", "num_key_value_heads: must lie in [1, 4096], is 0")]
    [TestCase("""{"num_key_value_heads": 16}""", "num_key_value_heads: 8 attention heads cannot share 16")]
    [TestCase("""{"head_dim": 7}""", "head_dim: rotary positions turn pairs, but a head is 7 wide")]
    [TestCase("""{"intermediate_size": 0}""", "intermediate_size: must lie in [1, 1048576], is 0")]
    [TestCase("""{"max_position_embeddings": 0}""", "max_position_embeddings: must lie in [1, 16777216], is 0")]
    [TestCase("""{"rope_theta": 0.0}""", "rope_theta: must lie in [1, 1e12], is 0")]
    [TestCase("""{"rope_theta": 1e999}""", "rope_theta: must lie in [1, 1e12]")]
    [TestCase("""{"rms_norm_eps": 0}""", "rms_norm_eps: must lie between 0 and 1, is 0")]
    [TestCase("""{"eos_token_id": 512}""", "eos_token_id: 512 is no token of 512")]
    [TestCase("""{"eos_token_id": ["2"]}""", "eos_token_id: must be a whole number, is \"2\"")]
    [TestCase("""{"bos_token_id": -1}""", "bos_token_id: -1 is no token of 512")]
    [TestCase("""{"vocab_size": 16777216, "hidden_size": 8192}""", "vocab_size: a weight of [16777216, 8192] holds more than 2147483647 numbers")]
    [TestCase("""{"head_dim": 4096, "num_attention_heads": 4096, "hidden_size": 1024}""", "head_dim: a weight of [16777216, 1024] holds more")]
    public void EachFaultHasItsMessage(string changes, string message)
    {
        using var folder = new TemporaryFolder();
        Assert.That(() => Read(folder, changes), Throws.TypeOf<InputException>()
            .With.Message.StartsWith($"{folder.File("input.json")}, ").And.Message.Contains(message));
    }

    [Test]
    public void AConfigurationThatIsNoObjectIsRefused()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("c.json"), "[1]");
        Assert.That(() => ModelConfig.FromJson(folder.File("c.json")), Throws.TypeOf<InputException>().With.Message.Contains("is no JSON object"));
        using var document = JsonDocument.Parse("3");
        Assert.That(() => ModelConfig.FromWorkload(document.RootElement, "w.json"),
            Throws.TypeOf<InputException>().With.Message.StartsWith("w.json: "));
    }

    // The base configuration with some keys set.
    private static ModelConfig Read(TemporaryFolder folder, string changes)
    {
        using var original = JsonDocument.Parse(Base);
        using var changed = JsonDocument.Parse(changes);
        var merged = original.RootElement.EnumerateObject().Concat(changed.RootElement.EnumerateObject())
            .GroupBy(p => p.Name).ToDictionary(g => g.Key, g => g.Last().Value);
        var path = folder.File("input.json");
        File.WriteAllText(path, JsonSerializer.Serialize(merged));
        return ModelConfig.FromJson(path);
    }
}
