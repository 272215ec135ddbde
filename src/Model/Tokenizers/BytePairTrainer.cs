using System.Runtime.InteropServices;
using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// Trains byte-level byte-pair encoding (Sennrich et al. 2016, over bytes as GPT-2 has it): merges the most frequent pair of neighbours,
/// again and again. Of equally frequent pairs it takes the greatest by (left bytes, right bytes).
/// </summary>
public sealed class BytePairTrainer
{
    private readonly List<string> pieces;
    private readonly List<byte[]> bytes;
    private readonly Dictionary<string, int> ids = [];
    private readonly List<Merge> merges = [];
    private readonly List<(int[] Symbols, long Count)> words = [];
    private readonly Dictionary<(int Left, int Right), Pair> pairs = [];
    private readonly PriorityQueue<(int Left, int Right), Candidate> queue = new();

    private BytePairTrainer(IReadOnlyList<string> specialTokens)
    {
        // The alphabet is laid out by character, as GPT-2's vocabulary is: the printable bytes come first.
        var alphabet = Enumerable.Range(0, 256).Select(value => (byte)value).OrderBy(value => ByteAlphabet.Characters[value]).ToArray();
        pieces = [.. specialTokens, .. alphabet.Select(value => ByteAlphabet.Piece([value]))];
        bytes = [.. specialTokens.Select(Encoding.UTF8.GetBytes), .. alphabet.Select(value => (byte[])[value])];
        for (var id = 0; id < pieces.Count; id++)
        {
            if (pieces[id].Length == 0 || !ids.TryAdd(pieces[id], id))
            {
                throw new ArgumentException("special tokens must be distinct, not empty and no single characters", nameof(specialTokens));
            }
        }
    }

    /// <summary>
    /// Trains on <paramref name="text"/>, which is cut at its special tokens. Ids: special tokens, bytes, then pieces in the order they
    /// were merged. Ends a sequence with &lt;|endoftext|&gt; where that is a special token, else with the first one. The vocabulary stays
    /// smaller than <paramref name="vocabSize"/> where the text has no pair left to merge.
    /// </summary>
    /// <exception cref="ArgumentException">No special token, or one that is empty, twice there or a single character.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="vocabSize"/> is too small for bytes and special tokens.</exception>
    public static ByteLevelTokenizer Train(string text, int vocabSize, IReadOnlyList<string> specialTokens)
    {
        if (specialTokens.Count == 0)
        {
            throw new ArgumentException("at least one special token is needed: the one that ends a sequence", nameof(specialTokens));
        }
        var trainer = new BytePairTrainer(specialTokens);
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabSize, trainer.pieces.Count);
        var added = specialTokens.Select((content, id) => new AddedToken(id, content, Special: true)).ToArray();
        trainer.CountWords(text, new AddedTokenSplitter(added));
        trainer.MergeUntil(vocabSize, [.. specialTokens]);
        return new ByteLevelTokenizer(new BpeModel
        {
            Source = "the trained tokenizer",
            Pieces = trainer.pieces,
            Merges = trainer.merges,
            AddedTokens = added,
            EosId = Math.Max(0, specialTokens.ToList().IndexOf(TokenizerFile.EndOfText)),
            SplitSpecialTokens = false,
        });
    }

    private void CountWords(string text, AddedTokenSplitter splitter)
    {
        var counts = new Dictionary<string, long>();
        var byWord = counts.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (var (stretch, token) in splitter.Split(text))
        {
            var rest = token is null ? text.AsSpan(stretch) : [];
            while (!rest.IsEmpty)
            {
                var length = WordPattern.Gpt2.FirstLength(rest);
                CollectionsMarshal.GetValueRefOrAddDefault(byWord, rest[..length], out _)++;
                rest = rest[length..];
            }
        }
        foreach (var (word, count) in counts)
        {
            words.Add(([.. Encoding.UTF8.GetBytes(word).Select(value => ids[ByteAlphabet.Piece([value])])], count));
            AddPairs(words.Count - 1, sign: 1, listed: _ => true);
        }
    }

    private void MergeUntil(int vocabSize, HashSet<string> specialTokens)
    {
        foreach (var pair in pairs.Keys)
        {
            Offer(pair);
        }
        while (pieces.Count < vocabSize && queue.TryDequeue(out var pair, out var candidate))
        {
            var count = pairs.TryGetValue(pair, out var state) ? state.Count : 0;
            if (count != candidate.Count)
            {
                // Counts fall without the queue being told: an outdated candidate goes back under its present count.
                if (count > 0)
                {
                    Offer(pair);
                }
                continue;
            }
            var piece = pieces[pair.Left] + pieces[pair.Right];
            if (!specialTokens.Contains(piece))
            {
                MergePair(pair, piece, state!.Words);
            }
        }
    }

    private void MergePair((int Left, int Right) pair, string piece, List<int> affected)
    {
        // Two different pairs may spell the same piece: it keeps its one id.
        if (!ids.TryGetValue(piece, out var result))
        {
            result = pieces.Count;
            ids.Add(piece, result);
            pieces.Add(piece);
            bytes.Add([.. bytes[pair.Left], .. bytes[pair.Right]]);
        }
        merges.Add(new Merge(pair.Left, pair.Right, result, merges.Count));
        var grown = new HashSet<(int Left, int Right)>();
        foreach (var word in affected)
        {
            var merged = Merged(words[word].Symbols, pair, result);
            if (merged.Length == words[word].Symbols.Length)
            {
                continue;
            }
            AddPairs(word, sign: -1, listed: _ => false);
            words[word] = (merged, words[word].Count);
            AddPairs(word, sign: 1, listed: neighbours =>
            {
                var isNew = neighbours.Left == result || neighbours.Right == result;
                if (isNew)
                {
                    grown.Add(neighbours);
                }
                return isNew;
            });
        }
        pairs.Remove(pair);
        foreach (var neighbours in grown)
        {
            Offer(neighbours);
        }
    }

    private static int[] Merged(int[] symbols, (int Left, int Right) pair, int result)
    {
        var merged = new List<int>(symbols.Length);
        for (var i = 0; i < symbols.Length; i++)
        {
            var matches = i + 1 < symbols.Length && symbols[i] == pair.Left && symbols[i + 1] == pair.Right;
            merged.Add(matches ? result : symbols[i]);
            i += matches ? 1 : 0;
        }
        return [.. merged];
    }

    /// <summary>Counts a word's pairs in or out; the pairs that <paramref name="listed"/> selects note that the word holds them.</summary>
    private void AddPairs(int word, int sign, Func<(int Left, int Right), bool> listed)
    {
        var (symbols, count) = words[word];
        for (var i = 0; i + 1 < symbols.Length; i++)
        {
            var pair = (symbols[i], symbols[i + 1]);
            ref var state = ref CollectionsMarshal.GetValueRefOrAddDefault(pairs, pair, out _);
            state ??= new Pair();
            state.Count += sign * count;
            if (listed(pair) && (state.Words.Count == 0 || state.Words[^1] != word))
            {
                state.Words.Add(word);
            }
        }
    }

    private void Offer((int Left, int Right) pair) =>
        queue.Enqueue(pair, new Candidate(pairs[pair].Count, bytes[pair.Left], bytes[pair.Right]));

    private sealed class Pair
    {
        public long Count;

        /// <summary>Indices of the words that hold the pair, or once held it.</summary>
        public readonly List<int> Words = [];
    }

    private readonly record struct Candidate(long Count, byte[] Left, byte[] Right) : IComparable<Candidate>
    {
        public int CompareTo(Candidate other)
        {
            var byCount = other.Count.CompareTo(Count);
            var byLeft = byCount != 0 ? byCount : other.Left.AsSpan().SequenceCompareTo(Left);
            return byLeft != 0 ? byLeft : other.Right.AsSpan().SequenceCompareTo(Right);
        }
    }
}
