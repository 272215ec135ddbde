using System.Reflection;
using System.Runtime.InteropServices;

namespace TinyDpo.Kernels;

/// <summary>
/// One of NVIDIA's libraries: the names it goes by, and, once it was looked for, its handle or why there is none. It is looked for once.
/// </summary>
internal sealed class NativeLibraryFile
{
    private readonly string _title;
    private readonly string _remedy;
    private readonly Type _calls;
    private readonly string _variable;
    private readonly string[] _candidates;
    private readonly Lazy<Opened> _opened;

    /// <param name="title">What messages call it.</param>
    /// <param name="variable">The environment variable that names the file, in place of the candidates.</param>
    /// <param name="candidates">File names, tried in this order where the system's loader looks.</param>
    /// <param name="calls">The class with its entry points, each of which it must have.</param>
    /// <param name="remedy">What to do where it is absent.</param>
    public NativeLibraryFile(string title, string variable, string[] candidates, Type calls, string remedy)
    {
        (_title, _variable, _candidates, _calls, _remedy) = (title, variable, candidates, calls, remedy);
        _opened = new Lazy<Opened>(Open);
    }

    /// <summary>The file that the variable names, else the candidates.</summary>
    public string[] LookedFor => Environment.GetEnvironmentVariable(_variable) is { Length: > 0 } named ? [named] : _candidates;

    /// <summary>The library; 0 where it is absent.</summary>
    public nint Handle => _opened.Value.Handle;

    /// <summary>The name under which it was found, or null.</summary>
    public string? Path => _opened.Value.Path;

    /// <summary>Why there is none, in one line with the remedy; null where there is one.</summary>
    public string? Problem => _opened.Value.Problem;

    /// <exception cref="CudaException">It is absent, or lacks a call.</exception>
    public void Require()
    {
        if (Problem is { } problem)
        {
            throw new CudaException(problem);
        }
    }

    /// <summary>The calls that it exports, under the names of the file.</summary>
    internal static IEnumerable<string> EntryPoints(Type calls) =>
        from method in calls.GetMethods(BindingFlags.Static | BindingFlags.NonPublic)
        let import = method.GetCustomAttribute<LibraryImportAttribute>()
        where import is not null
        select import.EntryPoint ?? method.Name;

    private Opened Open()
    {
        var lookedFor = LookedFor;
        return ReferenceEquals(lookedFor, _candidates)
            ? Open(
                lookedFor, $"{_title} was not found: looked for {string.Join(", ", lookedFor)} where the system's loader looks",
                $"{_remedy}, or name its file in {_variable}")
            : Open(lookedFor, $"{_title} cannot be opened: {_variable} names {lookedFor[0]}", "correct it, or unset it");
    }

    private Opened Open(string[] candidates, string notFound, string remedy)
    {
        var detail = "";
        foreach (var candidate in candidates)
        {
            try
            {
                var handle = NativeLibrary.Load(candidate);
                var missing = EntryPoints(_calls).Where(name => !NativeLibrary.TryGetExport(handle, name, out _)).ToList();
                var some = string.Join(", ", missing.Take(3)) + (missing.Count > 3 ? $" and {missing.Count - 3} more calls" : "");
                return missing.Count == 0
                    ? new Opened(handle, candidate, null)
                    : new Opened(0, null, $"{_title} in {candidate} lacks {some}: it is too old, or another library; {remedy}");
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                // A file that is there but does not load has a reason of its own, such as a library that it needs itself.
                var reason = Reason(e.Message);
                if (!reason.Contains("No such file", StringComparison.Ordinal) || !reason.Contains(candidate, StringComparison.Ordinal))
                {
                    detail = $" ({reason})";
                }
            }
        }
        return new Opened(0, null, $"{notFound}{detail}; {remedy}");
    }

    // The first line of .NET's message is general advice; what the loader said follows.
    private static string Reason(string message)
    {
        var lines = message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return lines.Length > 1 ? lines[1] : lines[0];
    }

    private sealed record Opened(nint Handle, string? Path, string? Problem);
}
