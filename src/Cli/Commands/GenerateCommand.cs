using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>tinydpo generate: text from a prompt.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var prompt = new Option<string>("--prompt") { Description = "The text to continue.", HelpName = "TEXT", Required = true };
        var json = new Option<bool>("--json") { Description = "Print {prompt_ids, ids, text}; ids holds prompt and continuation." };
        var quiet = CommonOptions.Quiet();
        var command = new Command("generate", "Continue a prompt.") { model, tokenizer, prompt, json, quiet };
        var device = new DeviceFlags(command);
        var sampling = new SamplingFlags(command, maxTokens: 256);
        command.SetAction((parsed, cancellation) =>
        {
            using var backend = device.Open(parsed);
            var text = Generate(parsed, parsed.GetRequiredValue(model), parsed.GetValue(tokenizer), parsed.GetRequiredValue(prompt));
            if (parsed.GetValue(json))
            {
                JsonLine.Write(new { prompt_ids = text.PromptIds, ids = text.Ids, text = text.Text });
            }
            else
            {
                Console.Out.WriteLine(text.Text);
            }
            return Task.FromResult(CommandLine.Success);

            GeneratedText Generate(ParseResult options, string path, string? tokenizerPath, string start)
            {
                var (loaded, itsTokenizer) = ModelFile.Load(path, backend, tokenizerPath);
                return GeneratedText.Of(loaded, itsTokenizer, start, sampling.Read(options, itsTokenizer.EosId), cancellation);
            }
        });
        return command;
    }
}
