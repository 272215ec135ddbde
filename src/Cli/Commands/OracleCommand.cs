using System.CommandLine;
using TinyDpo.Dpo;

namespace TinyDpo.Cli;

/// <summary>tinydpo oracle: one DPO step from given weights, everything written out.</summary>
internal static class OracleCommand
{
    public static Command Create()
    {
        var workload = CommonOptions.Workload();
        var weights = new Argument<string>("ORACLE.safetensors") { Description = "Weights policy.* and reference.*." };
        var output = new Argument<string>("OUT.safetensors") { Description = "Gets logps.policy, logps.reference, loss and grad.*." };
        var command = new Command("oracle", "Log-probs, loss and every gradient of one DPO step, for comparison with another implementation.")
        {
            workload, weights, output,
        };
        var device = new DeviceFlags(command);
        command.SetAction(parsed =>
        {
            using var backend = device.Open(parsed);
            var loss = OracleRun.Run(
                Workload.Read(parsed.GetRequiredValue(workload)), parsed.GetRequiredValue(weights), parsed.GetRequiredValue(output), backend);
            JsonLine.Write(new { loss });
            return CommandLine.Success;
        });
        return command;
    }
}
