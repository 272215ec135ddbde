using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo merge: adapters into their model's weights.</summary>
internal static class MergeCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var tokenizer = CommonOptions.Tokenizer();
        var folder = CommonOptions.Out("Where the whole model goes.");
        var format = CommonOptions.SaveFormat();
        var maxShard = CommonOptions.MaxShardSize();
        var command = new Command("merge", "Writes a model whole: LoRA adapters merged into its weights, a llama2.c file as a Hugging Face folder.")
        {
            model, tokenizer, folder, format.Option, maxShard,
        };
        var device = new DeviceFlags(command);
        command.SetAction(parsed =>
        {
            using var backend = device.Open(parsed);
            var output = parsed.GetRequiredValue(folder);
            MergeRun.Run(parsed.GetRequiredValue(model), parsed.GetValue(tokenizer), output, format.Read(parsed), parsed.GetValue(maxShard), backend);
            JsonLine.Write(new { model = output });
            return CommandLine.Success;
        });
        return command;
    }
}
