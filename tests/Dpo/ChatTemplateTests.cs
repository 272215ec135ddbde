using System.Text.Json;
using System.Text.Json.Nodes;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>The templates against what the models' own Jinja gives, written out, but for the token that begins a sequence.</summary>
public class ChatTemplateTests
{
    private static readonly ChatMessage s_system = new("system", "S"), s_first = new("user", " q "), s_answer = new("assistant", "a "), s_second = new("user", "r");

    private static IEnumerable<TestCaseData> Prompts()
    {
        const string user = "<|im_start|>user\n q <|im_end|>\n<|im_start|>assistant\na <|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n";
        yield return Row("chatml", "<|im_start|>system\nS<|im_end|>\n" + user, user, "yes<|im_end|>\n");
        yield return Row("qwen2.5", "<|im_start|>system\nS<|im_end|>\n" + user,
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n" + user, "yes<|im_end|>\n");
        const string header = "<|start_header_id|>system<|end_header_id|>\n\n";
        const string turns = "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>"
            + "<|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
        const string dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
        yield return Row("llama-3", header + "S<|eot_id|>" + turns, turns, "yes<|eot_id|>");
        yield return Row("llama-3.1", header + dates + "S<|eot_id|>" + turns, header + dates + "<|eot_id|>" + turns, "yes<|eot_id|>");
        yield return Row(
            "llama-2", "[INST] <<SYS>>\nS\n<</SYS>>\n\n q [/INST] a </s><s>[INST] r [/INST]", "[INST] q [/INST] a </s><s>[INST] r [/INST]", " yes </s>");
        yield return Row("mistral", "[INST] S\n\nq [/INST] a</s>[INST] r [/INST]", "[INST] q [/INST] a</s>[INST] r [/INST]", " yes</s>");
        yield return Row("mistral-v1", null, "[INST]  q  [/INST]a </s>[INST] r [/INST]", "yes</s>");
        const string zephyr = "<|user|>\n q </s>\n<|assistant|>\na </s>\n<|user|>\nr</s>\n<|assistant|>\n";
        yield return Row("zephyr", "<|system|>\nS</s>\n" + zephyr, zephyr, "yes</s>\n");
        const string gemma = "<start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n<start_of_turn>user\nr<end_of_turn>\n<start_of_turn>model\n";
        yield return Row("gemma", null, gemma, "yes<end_of_turn>\n");

        static TestCaseData Row(string name, string? withSystem, string without, string completion) =>
            new TestCaseData(name, withSystem, without, completion).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Prompts))]
    public void PromptAndCompletionAreThoseOfTheModelsTemplate(string name, string? withSystem, string without, string completion)
    {
        var template = ChatTemplate.All.Single(t => t.Name == name);
        ChatMessage[] messages = [s_first, s_answer, s_second], whole = [s_system, .. messages];
        Assert.That(template.RenderPrompt(messages), Is.EqualTo(without));
        Assert.That(template.RenderCompletion(messages, [new("assistant", "yes")]), Is.EqualTo(completion));
        Assert.That(template.RenderPrompt(messages[..2]), Does.EndWith("a").Or.EndsWith("a "), "an answer stays open");
        if (withSystem is null)
        {
            Assert.That(() => template.RenderPrompt(whole), Throws.TypeOf<ChatException>());
            return;
        }
        Assert.That(template.RenderPrompt(whole), Is.EqualTo(withSystem));
        Assert.That(template.RenderCompletion(whole, [new("assistant", "yes")]), Is.EqualTo(completion));
    }

    [Test]
    public void EveryTemplateIsTested() => Assert.That(Prompts().Select(static p => p.Arguments[0]), Is.EquivalentTo(ChatTemplate.All.Select(static t => t.Name)));

    [Test]
    public void ATemplateRefusesInItsOwnWords()
    {
        Assert.That(() => ChatTemplate.Gemma.RenderPrompt([s_system, s_first]), Throws.TypeOf<ChatException>().With.Message.Contains("System role not supported"));
        Assert.That(() => ChatTemplate.Llama2.RenderPrompt([s_first, s_second]), Throws.TypeOf<ChatException>().With.Message.Contains("alternation"));
    }

    /// <summary>From tokenizer_config.json to the ids of a row, and out again with the tokenizer.</summary>
    [Test]
    public void TheTokenizersTemplateIsUsedKeptAndRefusedWhereUnknown()
    {
        using var folder = new TemporaryFolder();
        const string own = "{{ bos_token }}{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + eos_token }}{% endfor %}";
        var tokenizer = Load(own);
        var row = JsonSerializer.Serialize(new
        {
            prompt = new[] { new { role = "user", content = "low" } },
            chosen = new[] { new { role = "assistant", content = "lower" } },
            rejected = new[] { new { role = "assistant", content = "newest" } },
        });
        File.WriteAllText(folder.File("rows.jsonl"), row);
        var pair = ReadData.Pairs(folder.File("rows.jsonl"), tokenizer).Pairs[0];
        Assert.That(tokenizer.Decode(pair.Prompt), Is.EqualTo("[INST] low [/INST]"));
        Assert.That(pair.Chosen, Is.EqualTo([.. tokenizer.EncodeContinuation(" lower"), tokenizer.EosId]), "one end, as a token");
        tokenizer.Save(folder.File("saved"));
        Assert.That(TokenizerFile.Load(folder.File("saved")).ChatTemplate, Is.EqualTo(own));

        tokenizer = Load("{{ '### Instruction' }}\n{% macro turn(m) %}{% endmacro %}");
        Assert.That(() => ReadData.Pairs(folder.File("rows.jsonl"), tokenizer), Throws.TypeOf<InputException>()
            .With.Message.Contains("line 1: is a conversation, but the tokenizer's chat_template cannot be followed (line 2: the statement 'macro' is not supported)").And.Message.Contains("--chat-template chatml|"));
        var chosen = ReadData.Pairs(folder.File("rows.jsonl"), tokenizer, new PreferenceDataOptions { Template = ChatTemplate.Gemma }).Pairs[0];
        Assert.That(tokenizer.Decode(chosen.Prompt), Does.StartWith("<start_of_turn>user\nlow"));

        File.WriteAllText(folder.File("chat_template.jinja"), "{{ '<start_of_turn>' }}");
        Assert.That(Load(own).ChatTemplate, Is.EqualTo("{{ '<start_of_turn>' }}"), "a file of its own goes before");

        ITokenizer Load(string template)
        {
            TokenizersSamples.Trained().Save(folder.Path);
            TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root => root["chat_template"] = JsonValue.Create(template));
            return TokenizerFile.Load(folder.Path);
        }
    }

    /// <summary>bos_token is what tokenizer_config.json calls so, also where no text begins with it by itself; and it is saved.</summary>
    [Test]
    public void ATemplateWritesABosTokenThatNoTextBeginsWith()
    {
        using var folder = new TemporaryFolder();
        using var saved = new TemporaryFolder();
        TokenizersSamples.Trained("<s>", "<|endoftext|>").Save(folder.Path);
        TokenizersSamples.Edit(folder.File("tokenizer_config.json"), root =>
        {
            root["add_bos_token"] = false;
            root["bos_token"] = "<s>";
            root["chat_template"] = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}";
        });
        var tokenizer = TokenizerFile.Load(folder.Path);
        foreach (var one in new[] { tokenizer, TokenizersSamples.SavedAndLoaded(tokenizer, saved) })
        {
            Assert.That(one.BosId, Is.Null);
            Assert.That(ChatTemplate.Of(one).RenderPrompt([new ChatMessage("user", "hi")]), Is.EqualTo("<s>hi"));
        }
    }

    /// <summary>Between turns Llama 2 and Mistral end a sequence: a tokenizer that would spell the end out is refused.</summary>
    [Test]
    public void AnEndBetweenTurnsMustBeAToken()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("rows.jsonl"), JsonSerializer.Serialize(new
        {
            prompt = new[] { new { role = "user", content = "a" }, new { role = "assistant", content = "b" }, new { role = "user", content = "c" } },
            chosen = new[] { new { role = "assistant", content = "d" } },
            rejected = new[] { new { role = "assistant", content = "e" } },
        }));
        var options = new PreferenceDataOptions { Template = ChatTemplate.Mistral };
        var pair = ReadData.Pairs(folder.File("rows.jsonl"), new ByteTokenizer(endMarker: "</s>"), options).Pairs[0];
        Assert.That(pair.Prompt.Count(static id => id == ByteTokenizer.Eos), Is.EqualTo(1));
        Assert.That(() => ReadData.Pairs(folder.File("rows.jsonl"), new ByteTokenizer(endMarker: "<end>", eosText: "</s>"), options),
            Throws.TypeOf<InputException>().With.Message.Contains("split_special_tokens"));
    }
}
