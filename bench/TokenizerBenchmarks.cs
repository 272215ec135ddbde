using System.Text;
using BenchmarkDotNet.Attributes;
using TinyDpo.Kernels;
using TinyDpo.Models;

namespace TinyDpo.Bench;

/// <summary>
/// Byte-level byte-pair encoding of a megabyte of invented words, as frequent as Zipf has it (the r-th with a weight of 1 / r), by a tokenizer of 4,096 pieces
/// that was trained on other words of the same language. One thread: the tokenizers have no more.
/// </summary>
public class TokenizerBenchmarks
{
    private const int Bytes = 1 << 20;
    private const int Words = 20_000;
    private const string Consonants = "bcdfghklmnprstvw";
    private const string Vowels = "aeiou";

    private string _text = null!;
    private ByteLevelTokenizer _tokenizer = null!;
    private int[] _ids = null!;

    [GlobalSetup]
    public void Prepare()
    {
        _tokenizer = BytePairTrainer.Train(Text(stream: 0), 4096, ["<|endoftext|>"]);
        _text = Text(stream: 1);
        _ids = _tokenizer.Encode(_text);
        if (_tokenizer.Decode(_ids) != _text)
        {
            throw new InvalidOperationException("The text does not survive the round trip.");
        }
    }

    [Benchmark]
    public int[] Encode() => _tokenizer.Encode(_text);

    [Benchmark]
    public string Decode() => _tokenizer.Decode(_ids);

    [GlobalCleanup]
    public void Finish()
    {
        foreach (var method in (string[])[nameof(Encode), nameof(Decode)])
        {
            Measurements.Add(Measurements.Name(method, []), new Measurement(1000.0 * _text.Length, "MB/s", null, null));
        }
    }

    private static string Text(int stream)
    {
        var text = new StringBuilder(Bytes);
        for (var i = 0; text.Length < Bytes; i++)
        {
            // The inverse of the distribution of ranks, whose weights add up to about log(Words).
            var rank = (int)Math.Pow(Words, Uniform(stream, i)) - 1;
            AppendWord(text, rank);
            text.Append(i % 12 == 11 ? ". " : " ");
        }
        return text.ToString(0, Bytes);
    }

    /// <summary>The word of a rank: syllables that spell a number; frequent words are short.</summary>
    private static void AppendWord(StringBuilder text, int rank)
    {
        for (var left = rank; ; left = (left / (Consonants.Length * Vowels.Length)) - 1)
        {
            text.Append(Consonants[left % Consonants.Length]).Append(Vowels[left / Consonants.Length % Vowels.Length]);
            if (left < Consonants.Length * Vowels.Length)
            {
                return;
            }
        }
    }

    private static double Uniform(int stream, int i) => Philox.Uniform(0, RandomPurpose.Test, 2, stream, i);
}
