using TinyDpo.Dpo;
using TinyDpo.Models;

namespace TinyDpo.Tests;

/// <summary>Whole data files in memory, for tests that look at their rows.</summary>
internal static class ReadData
{
    public static (PreferencePair[] Pairs, PreferenceSummary Summary) Pairs(string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        var (rows, summary) = PreferenceData.Read(path, tokenizer, options);
        using (rows)
        {
            return ([.. rows], summary);
        }
    }

    public static (SftExample[] Examples, DataSummary Summary) Examples(string path, ITokenizer? tokenizer, PreferenceDataOptions? options = null)
    {
        var (rows, summary) = SftData.Read(path, tokenizer, options);
        using (rows)
        {
            return ([.. rows], summary);
        }
    }
}
