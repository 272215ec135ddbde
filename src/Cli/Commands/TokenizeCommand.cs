using System.CommandLine;
using System.Text;
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
            using var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
            foreach (var ids in TokenizeLines.Encode(input, loaded))
            {
                JsonLine.Write(ids);
            }
            return CommandLine.Success;
        });
        return command;
    }
}
