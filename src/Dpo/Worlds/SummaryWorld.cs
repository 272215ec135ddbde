namespace TinyDpo.Dpo;

/// <summary>
/// Summaries with a known truth. A prefix is a report of a deed and of three circumstances in any order, the continuation a summary of one
/// sentence. The writer says most things that matter, some that do not, and is at times wordy. The true reward is the weighted share of the
/// report's facts that the summary states, less a price for each word and one for each thing that the report does not say. A fact counts
/// behind the word that the grammar puts before it, once, and the shortest grammatical way to state it has no word more than that: no list of
/// words is worth more than the best summary of the grammar.
/// </summary>
internal sealed class SummaryWorld() : World("summaries", new Language(new Grammar(Reports()), "REPORT"))
{
    private const double WordPrice = 0.025, FalsehoodPrice = 0.2;

    // All that a summary is made of, with the values that it may name.
    private static readonly Dictionary<string, string[]> s_all = Fact.All.ToDictionary(static f => f.Name, static f => f.Values);

    private static readonly Dictionary<string, Fact> s_factOf =
        Fact.All.SelectMany(static f => f.Values.Select(value => (value, f))).ToDictionary(static p => p.value, static p => p.f);

    private protected override Language Continuations { get; } = SummariesOf(s_all);

    public override double Reward(string prefix, string continuation)
    {
        var facts = Language.Words(prefix).Where(s_factOf.ContainsKey).ToHashSet();
        var words = Language.Words(continuation);
        HashSet<string> stated = [], invented = [];
        for (var i = 0; i < words.Length; i++)
        {
            if (!s_factOf.TryGetValue(words[i], out var fact))
            {
                continue;
            }
            if (!facts.Contains(words[i]))
            {
                invented.Add(words[i]);
            }
            else if (fact.Cues.Length == 0 || (i > 0 && fact.Cues.Contains(words[i - 1])))
            {
                stated.Add(words[i]);
            }
        }
        var worth = facts.Sum(static f => s_factOf[f].Worth);
        var coverage = worth > 0 ? stated.Sum(static f => s_factOf[f].Worth) / worth : 0;
        return Math.Clamp(coverage - (WordPrice * words.Length) - (FalsehoodPrice * invented.Count), 0, 1);
    }

    private protected override Language Writer(string prefix) => SummariesOf(
        Language.Words(prefix).Where(s_factOf.ContainsKey).GroupBy(static word => s_factOf[word].Name).ToDictionary(static g => g.Key, static g => g.ToArray()));

    // Every report has the deed; of the circumstances any three, in any order.
    private static IEnumerable<string> Reports()
    {
        string[] told = [.. Fact.Circumstances.Select(static f => "TOLD" + f.Name)];
        var orders = told.SelectMany(a => told.Where(b => b != a).SelectMany(b => told.Where(c => c != a && c != b).Select(c => $"{a} {b} {c}")));
        return
        [
            "REPORT = DEED CIRCUMSTANCES in short ,",
            "DEED = the ACTOR ACT the THING . | word came that the ACTOR ACT the THING .",
            "CIRCUMSTANCES = " + string.Join(" | ", orders),
            .. Fact.Circumstances.Select(static f => $"TOLD{f.Name} = {f.Told}"),
            .. Fact.All.Select(static f => Rule(f.Name, f.Values)),
        ];
    }

    /// <summary>The summaries of reports with these facts: any of the circumstances is said or left out, in the order of the table.</summary>
    private static Language SummariesOf(Dictionary<string, string[]> facts)
    {
        Fact[] known = [.. Fact.Circumstances.Where(f => facts.ContainsKey(f.Name))];
        var choices = Enumerable.Range(0, 1 << known.Length).Select(set =>
        {
            var weight = known.Select((f, i) => (set >> i & 1) == 1 ? f.Said : 1 - f.Said).Aggregate(1.0, static (product, p) => product * p);
            var said = known.Where((_, i) => (set >> i & 1) == 1).Select(static f => "SAID" + f.Name);
            return FormattableString.Invariant($"{weight}: DEED {string.Join(' ', said)} .");
        });
        return new Language(
            new Grammar(
            [
                "SUMMARY = " + string.Join(" | ", choices),
                "DEED = 5: the ACTOR ACT the THING | 2: someone ACT the THING | 2: the ACTOR ACT something | someone ACT something | " +
                    "2: we read that the ACTOR ACT the THING",
                .. known.Select(static f => $"SAID{f.Name} = {f.Summed}"),
                .. facts.Select(static f => Rule(f.Key, f.Value)),
            ]),
            "SUMMARY");
    }

    private static string Rule(string name, string[] values) => $"{name} = {string.Join(" | ", values)}";

    /// <summary>A kind of fact.</summary>
    /// <param name="Worth">Its share in a summary's coverage.</param>
    /// <param name="Values">One word each; no word is a value of two kinds.</param>
    /// <param name="Cues">A value counts behind one of these words; behind any where there is none.</param>
    /// <param name="Said">How often the writer says it.</param>
    /// <param name="Told">How a report says it.</param>
    /// <param name="Summed">How a summary says it: in the fewest words first.</param>
    private sealed record Fact(string Name, double Worth, string[] Values, string[] Cues, double Said = 1, string Told = "", string Summed = "")
    {
        private static readonly Fact[] s_deed =
        [
            new("ACTOR", 1.5, Words("baker mayor teacher farmer sailor painter doctor tailor miller poet judge pilot"), ["the"]),
            new("ACT", 1.5, Words("opened sold found mended burned moved bought closed cleaned drew"), []),
            new("THING", 1.5, Words("mill bridge boat barn school well tower garden wagon statue clock gate"), ["the"]),
        ];

        public static Fact[] Circumstances { get; } =
        [
            new("PLACE", 1, Words("dover lisbon cairo oslo delhi lima paris boston quebec venice"), ["in", "of"], 0.6,
                "it happened in PLACE . | the place was PLACE .", "3: in PLACE | in the city of PLACE"),
            new("DAY", 0.5, Words("monday tuesday wednesday thursday friday saturday sunday"), ["on"], 0.5,
                "it was on DAY . | this took place last DAY .", "on DAY"),
            new("MOTIVE", 1, Words("money love revenge fun charity peace art fame luck health"), ["for"], 0.45,
                "it was done for MOTIVE . | the motive was MOTIVE .", "3: for MOTIVE | and it was all for MOTIVE"),
            new("SKY", 0, Words("rain snow fog wind sunshine hail"), ["in"], 0.35,
                "there was SKY that day . | people still remember the SKY .", "in SKY"),
            new("WITNESS", 0.25, Words("anna boris clara david elena felix greta hugo"), ["says"], 0.4,
                "WITNESS saw it all . | the witness was WITNESS .", "3: , says WITNESS | , or so says WITNESS"),
        ];

        public static IEnumerable<Fact> All => [.. s_deed, .. Circumstances];

        private static string[] Words(string list) => list.Split(' ');
    }
}
