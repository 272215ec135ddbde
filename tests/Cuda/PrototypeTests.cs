using System.Reflection;
using System.Text.RegularExpressions;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>
/// prototypes.h, against which the stubs are compiled, compared with an independent header and with the C# declarations. What no header
/// proves is listed in docs/gpu.md.
/// </summary>
public partial class PrototypeTests
{
    private const string Header = "/usr/include/ffnvcodec/dynlink_cuda.h";
    private const string ListStart = "<!-- unproven signatures -->";
    private const string ListEnd = "<!-- end -->";

    private static readonly string s_text = File.ReadAllText(Path.Combine(CCompiler.StubFolder, "prototypes.h"));
    private static readonly Prototype[] s_inHeader = Section("agrees with ffnvcodec/dynlink_cuda.h");
    private static readonly Prototype[] s_transcribed = Section("transcribed, no independent header at hand");

    private static Prototype[] All => [.. s_inHeader, .. s_transcribed];

    /// <summary>Both ways: what is said to be in the header is, with the same types; what is said not to be is not.</summary>
    [Test]
    public void TheHeaderHasTheSameTypes()
    {
        if (!File.Exists(Header))
        {
            Assert.Ignore($"needs {Header}, which Debian's package libffmpeg-nvenc-dev has");
        }
        var header = File.ReadAllText(Header);
        Assert.That(s_transcribed.Where(p => TypeName(header, p) is not null).Select(static p => p.Name), Is.Empty, "the header has these after all");
        Assert.That(s_inHeader.Where(p => TypeName(header, p) is null).Select(static p => p.Name), Is.Empty, "the header lacks these");

        using var folder = new TemporaryFolder();
        var checks = s_inHeader.Select(p =>
            $"_Static_assert(__builtin_types_compatible_p({TypeName(header, p)}, __typeof__({p.Name})), \"{p.Name}\");");
        File.WriteAllText(folder.File("check.c"), $"""
            #include <ffnvcodec/dynlink_cuda.h>
            #define TINYDPO_DRIVER_TYPES
            #include "prototypes.h"
            {string.Join('\n', checks)}

            """);
        CCompiler.Compile("-c", "-o", folder.File("check.o"), folder.File("check.c"));
    }

    [Test]
    public void EveryImportHasAPrototypeAndEveryPrototypeAnImport() => Assert.That(
        Imports().Select(static import => import.EntryPoint), Is.EquivalentTo(All.Select(static p => p.Name)));

    [Test]
    public void ParametersHaveTheSizeAndKindOfTheirPrototype() => Assert.Multiple(static () =>
    {
        var prototypes = All.ToDictionary(static p => p.Name);
        foreach (var (entryPoint, method) in Imports())
        {
            var (expected, actual) = (prototypes[entryPoint].Parameters, method.GetParameters());
            Assert.That(method.ReturnType, Is.EqualTo(typeof(int)), entryPoint);
            Assert.That(actual, Has.Length.EqualTo(expected.Length), entryPoint);
            foreach (var (parameter, type) in actual.Zip(expected))
            {
                Assert.That(Allowed(type), Does.Contain(parameter.ParameterType), $"{entryPoint}: {parameter.Name} is {type} in C");
            }
        }
    });

    [Test]
    public void TheDocumentationListsWhatNoHeaderProves()
    {
        var doc = File.ReadAllText(Path.Combine(Repository.Root, "docs", "gpu.md"));
        var start = doc.IndexOf(ListStart, StringComparison.Ordinal);
        Assert.That(start, Is.GreaterThanOrEqualTo(0), $"docs/gpu.md has no list between {ListStart} and {ListEnd}");
        var list = doc[start..doc.IndexOf(ListEnd, start, StringComparison.Ordinal)];
        Assert.That(
            Quoted().Matches(list).Select(static match => match.Groups["name"].Value), Is.EquivalentTo(s_transcribed.Select(static p => p.Name)));
    }

    /// <summary>
    /// The C# types that are passed as this C type is. A pointer to the device's memory, or to something that C# never looks into, is a
    /// number; a pointer through which a value comes back is `out` of exactly its size.
    /// </summary>
    private static Type[] Allowed(string type) => type switch
    {
        "int" or "CUdevice" => [typeof(int)],
        "unsigned int" => [typeof(uint)],
        "size_t" => [typeof(nuint)],
        "CUdeviceptr" => [typeof(nint)],
        "int *" or "CUdevice *" => [typeof(int).MakeByRefType()],
        "size_t *" => [typeof(nuint).MakeByRefType()],
        "float *" => [typeof(float).MakeByRefType(), typeof(nint)],
        "const float *" => [typeof(float*), typeof(nint)],
        "char *" or "const char *" => [typeof(byte*)],
        "const char **" => [typeof(byte*).MakeByRefType()],
        "const void *" => [typeof(void*), typeof(byte*)],
        "void *" => [typeof(void*), typeof(nint)],
        "void **" => [typeof(void**), typeof(nint).MakeByRefType()],
        "CUjit_option *" => [typeof(int*)],
        _ when Enumeration(type) => [typeof(int)],
        _ when Handle(type) => [typeof(nint)],
        _ when type.EndsWith(" *", StringComparison.Ordinal) && (Handle(type[..^2]) || type == "CUdeviceptr *") => [typeof(nint).MakeByRefType()],
        _ => [],
    };

    private static bool Handle(string type) => Regex.IsMatch(s_text, $@"typedef struct \w+ \*{Regex.Escape(type)};");

    private static bool Enumeration(string type) => Regex.IsMatch(s_text, $@"typedef enum[^;]*\}} {Regex.Escape(type)};");

    private static IEnumerable<(string EntryPoint, MethodInfo Method)> Imports() =>
        from calls in (Type[])[typeof(NativeCuda), typeof(NativeCublas)]
        from entryPoint in NativeLibraryFile.EntryPoints(calls)
        let name = entryPoint.EndsWith("_v2", StringComparison.Ordinal) ? entryPoint[..^3] : entryPoint
        select (entryPoint, calls.GetMethod(name, BindingFlags.Static | BindingFlags.NonPublic)!);

    // The header's type of a call: under the name of the entry point, or, as with cuDevicePrimaryCtxRelease, without its version.
    private static string? TypeName(string header, Prototype prototype) =>
        ((string[])[$"t{prototype.Name}", $"t{Regex.Replace(prototype.Name, "_v2$", "")}"])
            .FirstOrDefault(name => Regex.IsMatch(header, $@"typedef CUresult CUDAAPI {name}\("));

    private static Prototype[] Section(string title)
    {
        var start = s_text.IndexOf($"// Section: {title}\n", StringComparison.Ordinal);
        var end = s_text.IndexOf("\n\n", start, StringComparison.Ordinal);
        return
        [
            .. Declaration().Matches(s_text[start..end]).Select(static match => new Prototype(
                match.Groups["name"].Value,
                [.. match.Groups["parameters"].Value.Split(", ").Select(static parameter => Spaced().Replace(parameter, " ${stars}").Trim())])),
        ];
    }

    /// <param name="Name">The entry point.</param>
    /// <param name="Parameters">The C types, without the parameters' names, stars after one space.</param>
    private sealed record Prototype(string Name, string[] Parameters);

    [GeneratedRegex(@"^\w+ (?<name>\w+)\((?<parameters>[^)]*)\);", RegexOptions.Multiline)]
    private static partial Regex Declaration();

    [GeneratedRegex(@" (?<stars>\**)\w+$")]
    private static partial Regex Spaced();

    [GeneratedRegex("`(?<name>\\w+)`")]
    private static partial Regex Quoted();
}
