namespace TinyDpo.Dpo;

/// <summary>
/// Dialogue of one turn with a known truth. A prefix is a question, how to do something to a thing; the continuation an answer. What helps
/// depends on the deed and on what the thing is made of, and the writer knows it somewhat more than half of the time. The true reward, helpfulness, is the
/// logistic function of what an answer is worth: the right remedy, the thing that was asked about, a word of caution; less for a wrong remedy
/// or another thing, a shrug, an insult, and for each word past what is needed. Each counts once, and no text is worth more than the best
/// answer of the grammar.
/// </summary>
internal sealed class DialogueWorld() : World("dialogue", new Language(new Grammar(Questions()), "QUESTION"))
{
    private const double RightRemedy = 3, WrongRemedy = -1.5, RightThing = 1, WrongThing = -1, Caution = 1, LongWord = -0.2, Threshold = 1, Scale = 1.8;
    private const int NeededWords = 14;

    private static readonly string[][] s_things = Table(
        "shirt carpet curtain jacket scarf blanket", "kettle knife spoon lamp fork pan", "table chair shelf door ladder bench",
        "window bottle mirror jar vase lens");

    // A remedy for each of the materials above.
    private static readonly Dictionary<string, string[]> s_remedies = new()
    {
        ["clean"] = Words("soap vinegar lemon ammonia"),
        ["repair"] = Words("thread solder nails epoxy"),
        ["paint"] = Words("dye enamel varnish acrylic"),
        ["protect"] = Words("lavender grease beeswax foam"),
        ["dry"] = Words("sunlight towels sawdust paper"),
        ["move"] = Words("baskets magnets ropes crates"),
    };

    private static readonly HashSet<string> s_allThings = [.. s_things.SelectMany(static t => t)], s_allRemedies = [.. s_remedies.Values.SelectMany(static r => r)];

    // What other words are worth; of words with the same worth one counts.
    private static readonly Dictionary<string, double> s_manner = new() { ["wait"] = Caution, ["careful"] = Caution, ["know"] = -0.5, ["else"] = -1, ["silly"] = -3, ["never"] = -1.5 };

    private protected override Language Continuations { get; } = Answers(s_allThings, s_allRemedies, s_allRemedies, s_allRemedies);

    public override double Reward(string prefix, string continuation)
    {
        var (thing, remedy) = Asked(prefix);
        var words = Language.Words(continuation);
        var worth = words.Distinct().Sum(word =>
            s_allRemedies.Contains(word) ? (word == remedy ? RightRemedy : WrongRemedy)
            : s_allThings.Contains(word) ? (word == thing ? RightThing : WrongThing)
            : 0);
        worth += words.Where(s_manner.ContainsKey).Select(static word => s_manner[word]).Distinct().Sum();
        worth += LongWord * Math.Max(0, words.Length - NeededWords);
        return 1 / (1 + Math.Exp((Threshold - worth) / Scale));
    }

    private protected override Language Writer(string prefix)
    {
        var (thing, remedy) = Asked(prefix);
        var deed = s_remedies.Values.First(remedies => remedies.Contains(remedy));
        return Answers([thing!], [remedy!], deed, s_allRemedies);
    }

    /// <summary>The thing that a prefix asks about, and the remedy for it; null where it asks nothing.</summary>
    private static (string? Thing, string? Remedy) Asked(string prefix)
    {
        var words = Language.Words(prefix);
        var (thing, deed) = (Array.Find(words, s_allThings.Contains), Array.Find(words, s_remedies.ContainsKey));
        return thing is null || deed is null ? (null, null) : (thing, s_remedies[deed][Array.FindIndex(s_things, material => material.Contains(thing))]);
    }

    private static IEnumerable<string> Questions() =>
    [
        "QUESTION = how do i DEED WHOSE LOOK THING ? | what is a good way to DEED WHOSE LOOK THING ? | i want to DEED WHOSE LOOK THING . | " +
            "please help us DEED WHOSE LOOK THING . | WHOSE LOOK THING is here , how do we DEED it ?",
        Rule("DEED", s_remedies.Keys),
        Rule("THING", s_allThings),
        "WHOSE = my | our | the",
        "LOOK = old | new | little | large | spare | second | other | green | blue | red | white | plain",
    ];

    // FITTING are remedies for the deed, whatever the thing is made of.
    private static Language Answers(IEnumerable<string> things, IEnumerable<string> right, IEnumerable<string> fitting, IEnumerable<string> any) => new(
        new Grammar(
        [
            "ANSWER = 8: MANNER HELP . NEXT . | 10: MANNER HELP . | 10: HELP . NEXT . | 12: HELP . | 3: i do not know . | 2: ask someone else . | " +
                "2: that is a silly question .",
            "MANNER = sure , | good question , | thank you for asking ,",
            "HELP = use REMEDY | use REMEDY on the THING | you could try REMEDY | you could try REMEDY on the THING",
            "REMEDY = 4: RIGHT | 2: FITTING | 2: ANY",
            "NEXT = then wait an hour | good luck | be careful with the THING | but it never works",
            Rule("THING", things), Rule("RIGHT", right), Rule("FITTING", fitting), Rule("ANY", any),
        ]),
        "ANSWER");

    private static string Rule(string name, IEnumerable<string> words) => $"{name} = {string.Join(" | ", words)}";

    private static string[][] Table(params string[] lists) => [.. lists.Select(Words)];

    private static string[] Words(string list) => list.Split(' ');
}
