using System.Runtime.InteropServices;
using TinyDpo.Kernels;

namespace TinyDpo.Models;

/// <summary>
/// A prompt with its completions: two for a preference pair (chosen, then rejected), one for supervised fine-tuning. One of several may be
/// empty, which is none: its log-prob is 0.
/// </summary>
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
        return (Index(backend, [.. rows]), Index(backend, [.. rows.Select(row => tokens[row + 1])]), Index(backend, [.. offsets]));
    }

    /// <summary>The place of each completion's last token among the predictions [sequences]. Belongs to the scope in which it was made.</summary>
    public IndexBuffer LastPredictions(IBackend backend)
    {
        var offsets = new int[Offsets.Length];
        backend.Download(Offsets, offsets);
        return Index(backend, [.. offsets.Skip(1).Select(static next => next - 1)]);
    }

    /// <summary>Packs groups that all have the same number of completions. Allocates nothing that grows with the number of tokens.</summary>
    /// <exception cref="ArgumentException">A prompt is empty or all its completions are, or the numbers of completions differ.</exception>
    public static PackedBatch Pack(IBackend backend, IReadOnlyList<PromptGroup> groups)
    {
        var ranks = groups.Count == 0 ? 0 : groups[0].Completions.Count;
        var (inputs, predictions, predicting) = Count(groups, ranks);
        using var tokens = new PooledInts(inputs);
        using var positions = new PooledInts(inputs);
        using var predictors = new PooledInts(predicting);
        using var rows = new PooledInts(predictions);
        using var predictorOf = new PooledInts(predictions);
        using var targets = new PooledInts(predictions);
        using var offsets = new PooledInts((groups.Count * ranks) + 1);
        var segments = new List<Segment>(groups.Count * (ranks + 1));

        // Where each completion's predictions stand: all of rank 0, then all of rank 1.
        offsets.Add(0);
        for (var rank = 0; rank < ranks; rank++)
        {
            foreach (var group in groups)
            {
                offsets.Add(offsets.Values[offsets.Count - 1] + group.Completions[rank].Length);
            }
        }
        for (var g = 0; g < groups.Count; g++)
        {
            var (prompt, completions) = groups[g];
            var root = tokens.Count;
            segments.Add(new Segment(0, 0, root, prompt.Length));
            Append(prompt, prompt.Length, 0);
            var last = predictors.Count;
            if (ranks > 0)
            {
                predictors.Add(tokens.Count - 1);
            }
            for (var rank = 0; rank < ranks; rank++)
            {
                var completion = completions[rank];
                var (first, predictor) = (tokens.Count, predictors.Count);
                if (completion.Length > 1)
                {
                    segments.Add(new Segment(root, prompt.Length, first, completion.Length - 1));
                    Append(completion, completion.Length - 1, prompt.Length);
                }
                for (var i = 0; i < completion.Length; i++)
                {
                    var at = offsets.Values[(rank * groups.Count) + g] + i;
                    rows.Values[at] = i == 0 ? root + prompt.Length - 1 : first + i - 1;
                    predictorOf.Values[at] = i == 0 ? last : predictor + i - 1;
                    targets.Values[at] = completion[i];
                    if (i > 0)
                    {
                        predictors.Add(first + i - 1);
                    }
                }
            }
        }
        return new PackedBatch(
            Index(backend, tokens.Values), Index(backend, positions.Values), Index(backend, rows.Values), Index(backend, predictors.Values),
            Index(backend, predictorOf.Values), Index(backend, targets.Values), Index(backend, offsets.Values),
            SegmentLayout.Validate(CollectionsMarshal.AsSpan(segments), inputs), groups.Count * ranks);

        void Append(int[] ids, int count, int firstPosition)
        {
            for (var i = 0; i < count; i++)
            {
                tokens.Add(ids[i]);
                positions.Add(firstPosition + i);
            }
        }
    }

    private static IndexBuffer Index(IBackend backend, ReadOnlySpan<int> values)
    {
        var buffer = backend.Memory.RentIndex(values.Length);
        backend.Upload(values, buffer);
        return buffer;
    }

    private static (int Inputs, int Predictions, int Predicting) Count(IReadOnlyList<PromptGroup> groups, int ranks)
    {
        var (inputs, predictions, predicting) = (0, 0, 0);
        for (var g = 0; g < groups.Count; g++)
        {
            var (prompt, completions) = groups[g];
            if (prompt.Length == 0 || completions.Count != ranks || (ranks > 0 && completions.All(static c => c.Length == 0)))
            {
                throw new ArgumentException($"group {g}: a prompt and all its completions must not be empty, and each group has {ranks} of them");
            }
            inputs += prompt.Length;
            predicting += ranks > 0 ? 1 : 0; // the prompt's last row, for all completions
            foreach (var completion in completions)
            {
                inputs += Math.Max(0, completion.Length - 1);
                predictions += completion.Length;
                predicting += Math.Max(0, completion.Length - 1);
            }
        }
        return (inputs, predictions, predicting);
    }
}
