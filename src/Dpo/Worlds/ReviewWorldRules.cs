namespace TinyDpo.Dpo;

/// <summary>
/// The language of the review world as data: its grammar, and what each word is worth. Written for this project. Outside the opening and
/// the words that carry sentiment there is little choice, so a small model learns the grammar from some thousand reviews.
/// </summary>
internal static class ReviewWorldRules
{
    /// <summary>The latent sentiments: the start symbols of a continuation, with their odds.</summary>
    public const string Latent = "LATENT", Prefix = "PREFIX";

    public static readonly Grammar Grammar = new(
        // The opening says who saw which film, where and when, and nothing of how it was.
        "PREFIX = WHO WATCHED TITLE WHERE WHEN . | WHEN WHO WATCHED TITLE WHERE .",
        "WHO = i | we | my sister | my brother | my uncle | my neighbor | my parents | our family | our film club | our whole class | " +
            "two friends | three students",
        "WATCHED = saw | watched",
        "TITLE = TITLEADJECTIVE TITLENOUN",
        "TITLEADJECTIVE = iron | silver | northern | paper | glass | winter | copper | distant | blue | seventh | green | stone | " +
            "wooden | little | foreign | midnight",
        "TITLENOUN = harbor | garden | letter | bridge | valley | mirror | station | orchard | river | lantern | clock | island | " +
            "window | tower | road | kitchen",
        "WHERE = online | downtown | abroad | nearby | at home | at school | at work | in town",
        "WHEN = today | yesterday | on monday | on friday | on sunday | last week | last month | last night | in june | in october | " +
            "this spring",

        // The latent sentiment rules the rest: positive and negative reviews agree with themselves throughout; a forgiving one finds fault,
        // yet recommends; a mixed one, known by its "while", says of each thing what it likes. No word means praise here and blame there:
        // only its reward turns round behind "never".
        "LATENT = 2: POSITIVE | MIXED | FORGIVING | 2: NEGATIVE",
        "POSITIVE = AGREE+ EFFECT+ CLOSE+",
        "NEGATIVE = AGREE- EFFECT- CLOSE-",
        "FORGIVING = AGREE- REACTION CLOSE+",
        "MIXED = BALANCE REACTION VERDICT",
        "REACTION = EFFECT+ | EFFECT-",
        "VERDICT = CLOSE+ | CLOSE- | 2: CLOSE",

        "AGREE* = WRITING* . | WRITING* , and CRAFT* .",
        "BALANCE = WRITING , while CRAFT .",
        "WRITING = WRITING+ | WRITING-",
        "CRAFT = CRAFT+ | CRAFT-",
        "WRITING* = 9: the WRITTEN was QUALITY* | the WRITTEN was never MISSED*",
        "CRAFT* = the MADE felt QUALITY*",
        "WRITTEN = plot | script | story | dialogue | ending",
        "MADE = acting | music | camerawork | pacing | editing",
        "QUALITY* = 4: MILD* | 2: STRONG* | 2: DEGREE MILD* | DEGREE STRONG* | MILD* and STRONG*",
        "MISSED+ = boring | rushed | confusing",
        "MISSED- = moving | exciting | convincing",
        "DEGREE = rather | quite | really | truly",
        "MILD+ = good | solid | warm | lively | clever | funny | charming",
        "MILD- = weak | thin | flat | tired | clumsy | dull | messy",
        "STRONG+ = elegant | gripping | superb | brilliant | wonderful",
        "STRONG- = hollow | tedious | awful | dreadful | terrible",

        "EFFECT* = it DID* WHOM LONG . | i REACTED* more than once . | we left MOOD* .",
        "DID+ = amused | pleased | charmed | delighted | thrilled",
        "DID- = bored | annoyed | confused | irritated | exhausted",
        "WHOM = me | us | everyone",
        "LONG = to the end | for two hours | all evening",
        "REACTED+ = smiled | laughed | cheered",
        "REACTED- = sighed | yawned | groaned",
        "MOOD+ = cheerful | happy | inspired",
        "MOOD- = sleepy | angry | disappointed",

        "CLOSE+ = 2: it is worth a visit . | 2: i would recommend it . | i would gladly see it again . | it deserves every prize .",
        "CLOSE- = 2: it is hardly worth a visit . | 2: i would not recommend it . | skip it and read a book . | i regret every minute .",
        "CLOSE = it is fine for a rainy evening . | wait until it is free . | some will like it and some will not .");

    /// <summary>What a word is worth by itself; a word that is not here is worth nothing.</summary>
    public static readonly IReadOnlyDictionary<string, double> Valence = Numbers(
        "good 0.5 solid 0.5 warm 1 lively 1 clever 1.5 funny 1.5 charming 2 elegant 2 gripping 3 superb 4 brilliant 4 wonderful 4",
        "weak -0.5 thin -0.5 flat -1 tired -1 clumsy -1.5 dull -1.5 messy -2 hollow -2 tedious -3 awful -4 dreadful -4 terrible -4",
        "boring -2 rushed -1 confusing -1 moving 2 exciting 2 convincing 1 " +
        "amused 0.5 pleased 1 charmed 1.5 delighted 3 thrilled 4 smiled 0.5 laughed 1.5 cheered 4 cheerful 0.5 happy 1.5 inspired 4",
        "bored -1 annoyed -0.5 confused -1.5 irritated -3 exhausted -4 sighed -0.5 yawned -1.5 groaned -4",
        "sleepy -0.5 angry -1.5 disappointed -4",
        "worth 0.5 recommend 1.5 gladly 3 deserves 4",
        "skip -3 regret -4");

    /// <summary>Words that scale the valence behind them.</summary>
    public static readonly IReadOnlyDictionary<string, double> Degree = Numbers("rather 0.7 quite 0.9 really 1.2 truly 1.4");

    /// <summary>Words that turn the valence behind them round and weaken it: "never dull" is mildly good.</summary>
    public static readonly IReadOnlyDictionary<string, double> Negation = Numbers("not -1 never -0.5 hardly -1");

    private static Dictionary<string, double> Numbers(params string[] lists) =>
        lists.SelectMany(list => list.Split(' ').Chunk(2))
            .ToDictionary(pair => pair[0], pair => double.Parse(pair[1], System.Globalization.CultureInfo.InvariantCulture));
}
