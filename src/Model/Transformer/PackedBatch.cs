using TinyDpo.Kernels;

namespace TinyDpo.Models;

/// <summary>A prompt with its completions: two for a preference pair (chosen, then rejected), one for supervised fine-tuning.</summary>
public readonly record struct PromptGroup(int[] Prompt, IReadOnlyList<int[]> Completions);

/// <summary>
/// Sequences on one flat token axis, without padding. A prompt is run once: its completions are segments of their own that attend to it
/// and continue its positions. A completion's last token predicts nothing, so it is a target only and not run.
/// Belongs to the scope in which it was packed.
/// </summary>
public sealed class PackedBatch
{
    private PackedBatch(
        IndexBuffer tokens, IndexBuffer positions, IndexBuffer rows, IndexBuffer predictors, IndexBuffer predictorOf, IndexBuffer targets,
        IndexBuffer offsets, SegmentLayout segments, int sequences)
    {
        (Tokens, Positions, Rows, Targets, Offsets, Segments, Sequences) = (tokens, positions, rows, targets, offsets, segments, sequences);
        (Predictors, PredictorOf) = (predictors, predictorOf);
    }

    /// <summary>Input ids [tokens].</summary>
    public IndexBuffer Tokens { get; }

    /// <summary>Each input's position in its sequence [tokens].</summary>
    public IndexBuffer Positions { get; }

    /// <summary>For each completion token, the row that predicts it [predictions]; the prompt's last row stands once a completion.</summary>
    public IndexBuffer Rows { get; }

    /// <summary>The rows that predict a completion token, each once, ascending: [predictors].</summary>
    public IndexBuffer Predictors { get; }

    /// <summary>For each completion token, the place in <see cref="Predictors"/> of the row that predicts it [predictions].</summary>
    public IndexBuffer PredictorOf { get; }

    /// <summary>The completion tokens [predictions].</summary>
    public IndexBuffer Targets { get; }

    /// <summary>Where each sequence's predictions begin [sequences + 1].</summary>
    public IndexBuffer Offsets { get; }

    public SegmentLayout Segments { get; }

    /// <summary>
    /// Completions in all. Those of rank 0 of every group come first, then those of rank 1: with preference pairs, all chosen, then all
    /// rejected.
    /// </summary>
    public int Sequences { get; }

    /// <summary>The longest sequence that <see cref="Pack"/> would run, in positions.</summary>
    public static int LongestPosition(PromptGroup group) => group.Prompt.Length + group.Completions.Max(static c => c.Length) - 1;

    /// <summary>
    /// What predicts the prompts' own tokens, each one's first apart, in the order of the groups: the rows, their targets, and where each
    /// prompt's predictions begin [groups + 1]. Belongs to the scope in which it was made.
    /// </summary>
    public (IndexBuffer Rows, IndexBuffer Targets, IndexBuffer Offsets) PromptPredictions(IBackend backend)
    {
        var tokens = new int[Tokens.Length];
        backend.Download(Tokens, tokens);
        var (rows, offsets) = (new List<int>(), new List<int> { 0 });
        for (var group = 0; group < Segments.Groups; group++)
        {
            var prompt = Segments.Segments[Segments.GroupStarts[group]];
            rows.AddRange(Enumerable.Range(prompt.Start, prompt.Length - 1));
            offsets.Add(rows.Count);
        }
        return (Index(backend, rows), Index(backend, [.. rows.Select(row => tokens[row + 1])]), Index(backend, offsets));
    }

    /// <summary>The place of each completion's last token among the predictions [sequences]. Belongs to the scope in which it was made.</summary>
    public IndexBuffer LastPredictions(IBackend backend)
    {
        var offsets = new int[Offsets.Length];
        backend.Download(Offsets, offsets);
        return Index(backend, [.. offsets.Skip(1).Select(static next => next - 1)]);
    }

    /// <summary>Packs groups that all have the same number of completions.</summary>
    /// <exception cref="ArgumentException">A prompt or completion is empty, or the numbers of completions differ.</exception>
    public static PackedBatch Pack(IBackend backend, IReadOnlyList<PromptGroup> groups)
    {
        var ranks = groups.Count == 0 ? 0 : groups[0].Completions.Count;
        var tokens = new List<int>();
        var positions = new List<int>();
        var segments = new List<Segment>();
        var firstRows = new int[groups.Count, ranks]; // the input row of each completion's first token
        for (var g = 0; g < groups.Count; g++)
        {
            var (prompt, completions) = groups[g];
            if (prompt.Length == 0 || completions.Count != ranks || completions.Any(static c => c.Length == 0))
            {
                throw new ArgumentException($"group {g}: prompt and completions must not be empty, and each group has {ranks} of them");
            }
            var root = tokens.Count;
            Append(prompt, prompt.Length, 0);
            segments.Add(new Segment(0, 0, root, prompt.Length));
            for (var rank = 0; rank < ranks; rank++)
            {
                firstRows[g, rank] = tokens.Count;
                var length = completions[rank].Length - 1;
                if (length > 0)
                {
                    segments.Add(new Segment(root, prompt.Length, tokens.Count, length));
                    Append(completions[rank], length, prompt.Length);
                }
            }
        }

        var rows = new List<int>();
        var targets = new List<int>();
        var offsets = new List<int> { 0 };
        for (var rank = 0; rank < ranks; rank++)
        {
            var root = 0;
            for (var g = 0; g < groups.Count; g++)
            {
                var completion = groups[g].Completions[rank];
                for (var i = 0; i < completion.Length; i++)
                {
                    rows.Add(i == 0 ? root + groups[g].Prompt.Length - 1 : firstRows[g, rank] + i - 1);
                    targets.Add(completion[i]);
                }
                offsets.Add(rows.Count);
                root += groups[g].Prompt.Length + groups[g].Completions.Sum(static c => c.Length - 1);
            }
        }
        List<int> predictors = [.. rows.Distinct().Order()];
        return new PackedBatch(
            Index(backend, tokens), Index(backend, positions), Index(backend, rows), Index(backend, predictors),
            Index(backend, rows.ConvertAll(row => predictors.BinarySearch(row))), Index(backend, targets), Index(backend, offsets),
            SegmentLayout.Validate([.. segments], tokens.Count), groups.Count * ranks);

        void Append(int[] ids, int count, int firstPosition)
        {
            for (var i = 0; i < count; i++)
            {
                tokens.Add(ids[i]);
                positions.Add(firstPosition + i);
            }
        }
    }

    private static IndexBuffer Index(IBackend backend, List<int> values)
    {
        var buffer = backend.Memory.RentIndex(values.Count);
        backend.Upload([.. values], buffer);
        return buffer;
    }
}
