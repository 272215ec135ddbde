namespace TinyDpo.Dpo;

/// <summary>
/// A probabilistic context-free grammar without recursion: one set of rules serves the sampler, the recogniser and the exact figures. A
/// rule is a line <c>NAME = alternative | 3: alternative</c>: symbols apart by spaces, weight 1 unless one stands before a colon. A symbol
/// in capitals is the name of a rule, any other a word. A name that ends in <c>*</c> stands for two rules, in which <c>*</c> reads + and
/// <c>~</c> reads -, or the other way about.
/// </summary>
public sealed class Grammar
{
    private readonly Dictionary<string, Alternative[]> rules = [];

    private sealed record Alternative(double Probability, string[] Symbols);

    /// <exception cref="ArgumentException">A rule is malformed, defined twice, refers to a rule that does not exist, or to
    /// itself.</exception>
    public Grammar(params IEnumerable<string> lines)
    {
        foreach (var line in lines)
        {
            if (line.Split('=')[0].Contains('*'))
            {
                Define(line.Replace('*', '+').Replace('~', '-'));
                Define(line.Replace('*', '-').Replace('~', '+'));
            }
            else
            {
                Define(line);
            }
        }
        foreach (var name in rules.Keys)
        {
            RequireSound(name, []);
        }
    }

    /// <summary>The words of one derivation of <paramref name="symbol"/>; takes one uniform number in [0, 1) for each choice.</summary>
    public List<string> Sample(string symbol, Func<double> uniform)
    {
        var words = new List<string>();
        Expand(symbol);
        return words;

        void Expand(string name)
        {
            if (!rules.TryGetValue(name, out var alternatives))
            {
                words.Add(name);
                return;
            }
            foreach (var part in Choose(alternatives).Symbols)
            {
                Expand(part);
            }
        }

        Alternative Choose(Alternative[] alternatives)
        {
            if (alternatives.Length == 1)
            {
                return alternatives[0];
            }
            var left = uniform();
            var chosen = 0;
            while (chosen < alternatives.Length - 1 && (left -= alternatives[chosen].Probability) >= 0)
            {
                chosen++;
            }
            return alternatives[chosen];
        }
    }

    /// <summary>
    /// The probability that <paramref name="symbol"/> derives exactly these words, summed over derivations (the inside algorithm).
    /// </summary>
    public double Probability(string symbol, IReadOnlyList<string> words)
    {
        var reached = Advance(symbol, new Dictionary<int, double> { [0] = 1 }, words);
        return reached.GetValueOrDefault(words.Count);
    }

    /// <summary>Whether <paramref name="symbol"/> derives exactly these words.</summary>
    public bool Accepts(string symbol, IReadOnlyList<string> words) => Probability(symbol, words) > 0;

    /// <summary>Entropy of a derivation in nats (of the text too, where no text has two derivations).</summary>
    public double Entropy(string symbol) =>
        Sum(symbol, 0, a => -Math.Log(a.Probability) + a.Symbols.Sum(Entropy));

    /// <summary>Expected number of words; punctuation is no word.</summary>
    public double MeanLength(string symbol) => Sum(symbol, IsPunctuation(symbol) ? 0 : 1, a => a.Symbols.Sum(MeanLength));

    /// <summary>Fewest and most words that a derivation can have; punctuation is no word.</summary>
    public (int Shortest, int Longest) Lengths(string symbol)
    {
        if (!rules.TryGetValue(symbol, out var alternatives))
        {
            var own = IsPunctuation(symbol) ? 0 : 1;
            return (own, own);
        }
        var ranges = alternatives.Select(a => a.Symbols.Select(Lengths).ToArray()).ToArray();
        return (ranges.Min(parts => parts.Sum(p => p.Shortest)), ranges.Max(parts => parts.Sum(p => p.Longest)));
    }

    /// <summary>Number of derivations (of texts too, where no text has two).</summary>
    public double Count(string symbol) =>
        rules.TryGetValue(symbol, out var alternatives) ? alternatives.Sum(a => a.Symbols.Aggregate(1.0, (n, s) => n * Count(s))) : 1;

    /// <summary>Every word that <paramref name="symbol"/> can derive, punctuation included.</summary>
    public IEnumerable<string> Words(string symbol) =>
        (rules.TryGetValue(symbol, out var alternatives) ? alternatives.SelectMany(a => a.Symbols.SelectMany(Words)) : [symbol]).Distinct();

    internal static bool IsPunctuation(string word) => word is "." or "," or "?";

    private double Sum(string symbol, double word, Func<Alternative, double> value) =>
        rules.TryGetValue(symbol, out var alternatives) ? alternatives.Sum(a => a.Probability * value(a)) : word;

    /// <summary>From each position reached so far, with its probability, to the positions that lie behind one more symbol.</summary>
    private Dictionary<int, double> Advance(string symbol, Dictionary<int, double> from, IReadOnlyList<string> words)
    {
        var reached = new Dictionary<int, double>();
        if (!rules.TryGetValue(symbol, out var alternatives))
        {
            foreach (var (position, p) in from)
            {
                if (position < words.Count && words[position] == symbol)
                {
                    reached[position + 1] = p;
                }
            }
            return reached;
        }
        foreach (var alternative in alternatives)
        {
            var current = from;
            foreach (var part in alternative.Symbols)
            {
                if (current.Count == 0)
                {
                    break;
                }
                current = Advance(part, current, words);
            }
            foreach (var (position, p) in current)
            {
                reached[position] = reached.GetValueOrDefault(position) + (p * alternative.Probability);
            }
        }
        return reached;
    }

    private void Define(string line)
    {
        var sides = line.Split('=');
        if (sides.Length != 2)
        {
            throw new ArgumentException($"a rule reads NAME = alternatives: {line}");
        }
        var weighted = sides[1].Split('|').Select(Weighted).ToArray();
        var total = weighted.Sum(w => w.Weight);
        var alternatives = weighted.Select(w => new Alternative(w.Weight / total, w.Symbols)).ToArray();
        if (!rules.TryAdd(sides[0].Trim(), alternatives))
        {
            throw new ArgumentException($"the rule {sides[0].Trim()} is defined twice");
        }
    }

    private static (double Weight, string[] Symbols) Weighted(string alternative)
    {
        var parts = alternative.Split(':');
        var weight = parts.Length == 2 ? double.Parse(parts[0], System.Globalization.CultureInfo.InvariantCulture) : 1;
        var symbols = parts[^1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return symbols.Length > 0 && weight > 0
            ? (weight, symbols)
            : throw new ArgumentException($"an alternative is empty: '{alternative}'");
    }

    private void RequireSound(string symbol, List<string> above)
    {
        if (above.Contains(symbol))
        {
            throw new ArgumentException($"the rule {symbol} refers to itself");
        }
        if (!rules.TryGetValue(symbol, out var alternatives))
        {
            if (symbol.Any(char.IsUpper))
            {
                throw new ArgumentException($"there is no rule {symbol}");
            }
            return;
        }
        foreach (var part in alternatives.SelectMany(a => a.Symbols).Distinct())
        {
            RequireSound(part, [.. above, symbol]);
        }
    }
}
