using System.Text.Json;
using System.Text.Json.Serialization;
using TinyDpo.Dpo;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class RecordJsonTests
{
    private static readonly TrainingOptions Training = new()
    {
        LearningRate = 3e-5,
        MaxSteps = 7,
        Seed = ulong.MaxValue,
        Schedule = ScheduleKind.Cosine,
        SaveFormat = NumberFormat.BF16,
        GradientCheckpointing = true,
        Lora = new LoraOptions { Rank = 4, Alpha = 0.1, Targets = ["q_proj", "0.self_attn.\"ä\"<>&+"] },
    };

    private static readonly object[] Records =
    [
        new DemoOptions { Out = "out" }.Recorded(),
        new DpoRunOptions { Out = "out", Model = "a \\ b\t€\U0001F600", Data = "pairs.jsonl", Training = Training, Sync = new ReferenceSync(0.25, 3), MaxLength = 9 }.Recorded(),
        new SftRunOptions { Out = "out", Data = "", Config = "small", Training = Training with { GradientCheckpointing = false } }.Recorded(),
        new RewardModelRunOptions { Out = "out", Model = "m", Data = "d", EvalData = "e" }.Recorded(),
        new { Training = Training.Key(), Sync = (ReferenceSync?)null, Empty = new int[0], Nested = new[] { new { A = -1L }, new { A = long.MaxValue } }, No = false },
    ];

    [TestCaseSource(nameof(Records))]
    public void IsWhatTheSerializerWrites(object record)
    {
        var named = new JsonSerializerOptions { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };
        Assert.Multiple(() =>
        {
            Assert.That(RecordJson.Readable(record), Is.EqualTo(JsonSerializer.Serialize(record, named)));
            Assert.That(RecordJson.Compact(record), Is.EqualTo(JsonSerializer.Serialize(record)));
        });
    }

    [Test]
    public void ANumberThatIsNoneIsRefusedAsTheSerializerRefusesIt() =>
        Assert.That(() => RecordJson.Readable(new { Beta = double.NaN }), Throws.ArgumentException);

    [Test]
    public void ATypeThatItDoesNotKnowIsNotWrittenAsSomethingElse() =>
        Assert.That(() => RecordJson.Readable(new { Beta = 0.5f }), Throws.InstanceOf<NotSupportedException>());
}
