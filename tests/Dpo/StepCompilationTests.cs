using TinyDpo.Dpo;

namespace TinyDpo.Tests.Dpo;

public sealed class StepCompilationTests
{
    [Test]
    public async Task ItsStepsAreMade() => await StepCompilation.Start();
}
