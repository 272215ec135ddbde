using System.CommandLine;
using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Cli;

/// <summary>tinydpo tokenize: JSON strings in, arrays of ids out.</summary>
internal static class TokenizeCommand
{
    public static Command Create()
    {
        var model = new Option<string>("--model") { Description = "A model folder, a tokenizer.json or a llama2.c TOK.bin.", HelpName = "MODEL", Required = true };
        var tokenizer = CommonOptions.Tokenizer();
        var command = new Command("tokenize", "Read a JSON string a line from stdin; print its ids as a JSON array a line.") { model, tokenizer };
        command.SetAction(parsed =>
        {
            var loaded = TokenizerFile.Load(parsed.GetValue(tokenizer) ?? parsed.GetRequiredValue(model));
            foreach (var ids in TokenizeLines.Encode(Console.OpenStandardInput(), loaded))
            {
                JsonLine.Write(ids);
            }
            return CommandLine.Success;
        });
        return command;
    }
}
