namespace TinyDpo.Tests.Cuda;

/// <summary>Tests on the recording stubs of both libraries, compiled once into a folder of their own.</summary>
public abstract class StubTests
{
    private TemporaryFolder _folder = null!;

    protected string StubFolder => _folder.Path;

    [OneTimeSetUp]
    public void BuildStubs()
    {
        _folder = new TemporaryFolder();
        StubLibraries.Build(StubFolder);
    }

    [OneTimeTearDown]
    public void DeleteStubs() => _folder.Dispose();
}
