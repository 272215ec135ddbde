using System.Text.RegularExpressions;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Simulator;

/// <summary>One kernel of kernels.ptx as a module of its own, in which lines can be spoilt. What is meant to change must change.</summary>
public sealed class PlantedKernel
{
    private readonly string _head;
    private readonly string _tail;
    private string _entry;

    public PlantedKernel(string name)
    {
        Name = name;
        var ptx = CudaModule.EmbeddedPtx();
        var start = ptx.IndexOf($".visible .entry {name}(", StringComparison.Ordinal);
        Assert.That(start, Is.Positive, $"kernels.ptx has no kernel {name}");
        var end = ptx.IndexOf("\n}\n", start, StringComparison.Ordinal) + 3;
        _entry = ptx[start..end];
        // The head has the version and target; shared memory of several kernels is declared between them.
        _head = ptx[..ptx.IndexOf(".address_size", StringComparison.Ordinal)] + ".address_size 64\n"
            + string.Join('\n', Regex.Matches(ptx, @"^(\.\w+ )?\.shared .*;$", RegexOptions.Multiline).Select(static m => m.Value).Distinct()) + "\n";
        _tail = ptx[ptx.IndexOf("\t.file", StringComparison.Ordinal)..];
    }

    public string Name { get; }

    public string Ptx => _head + _entry + _tail;

    /// <summary>Replaces the nth match, counted from 0; a negative n counts from the last.</summary>
    public PlantedKernel Replace(string pattern, string replacement, int nth = 0)
    {
        var matches = Regex.Matches(_entry, pattern, RegexOptions.Multiline);
        var match = matches[nth < 0 ? matches.Count + nth : nth];
        var changed = match.Result(replacement);
        Assert.That(changed, Is.Not.EqualTo(match.Value));
        _entry = _entry[..match.Index] + changed + _entry[(match.Index + match.Length)..];
        return this;
    }

    public PlantedKernel ReplaceAll(string pattern, string replacement)
    {
        var changed = Regex.Replace(_entry, pattern, replacement, RegexOptions.Multiline);
        Assert.That(changed, Is.Not.EqualTo(_entry));
        _entry = changed;
        return this;
    }
}
