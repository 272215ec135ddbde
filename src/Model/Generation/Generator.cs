using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>How continuations are sampled.</summary>
public sealed record GenerationOptions
{
    /// <summary>The most tokens a continuation gets, the end token included.</summary>
    public int MaxTokens { get; init; } = 256;

    public SamplingOptions Sampling { get; init; } = new();

    public ulong Seed { get; init; }

    /// <summary>The token that ends a continuation; null to run to <see cref="MaxTokens"/>.</summary>
    public int? EosId { get; init; }

    /// <summary>Sequences run side by side. No result depends on it.</summary>
    public int Slots { get; init; } = 256;
}

/// <summary>A sampled continuation: its tokens, the end token included where one was drawn.</summary>
public readonly record struct Continuation(int[] Tokens, bool Ended);

/// <summary>
/// Samples many sequences at once with a key/value cache. Every sequence has a slot; when one ends, the next prompt takes its slot, so the
/// batch stays full. A prompt is fed token by token through the same step that samples. Each random number is addressed by sequence and
/// position, so a continuation depends on its seed, index and prompt alone. With a small model each thread has slots of its own and makes their
/// steps by itself.
/// </summary>
public sealed class Generator
{
    // The most weights, 4 MiB of float, with which each thread reads them all, from its own cache. With more it is cheaper that each reads its part.
    private const int MostForEach = 1024 * 1024;

    private readonly Transformer _model;
    private readonly GenerationOptions _options;
    private readonly int[][] _prompts; // a list may compute its items, which is not for several threads
    private readonly List<int>[] _sampled;
    private readonly bool[] _ended;
    private readonly Lock _finishing = new();
    private int _begun;
    private int _finished;
    private volatile bool _failed; // on one thread, and then the others' work is in vain

    private Generator(Transformer model, IReadOnlyList<int[]> prompts, GenerationOptions options)
    {
        (_model, _prompts, _options) = (model, [.. prompts], options);
        _sampled = [.. prompts.Select(static _ => new List<int>())];
        _ended = new bool[prompts.Count];
    }

    /// <summary>One continuation a prompt, in order.</summary>
    /// <param name="model">The model; its weights are read only.</param>
    /// <param name="prompts">Token ids, none empty.</param>
    /// <param name="options">Length, temperature, seed.</param>
    /// <param name="finished">Called with the number of finished sequences, by one thread after the other, and not the caller's alone.</param>
    /// <param name="cancellation">Stops between two tokens.</param>
    /// <exception cref="ArgumentException">A prompt is empty or leaves no room in the model's context.</exception>
    public static Continuation[] Sample(
        Transformer model, IReadOnlyList<int[]> prompts, GenerationOptions options, Action<int>? finished = null,
        CancellationToken cancellation = default)
    {
        for (var i = 0; i < prompts.Count; i++)
        {
            if (prompts[i].Length == 0 || prompts[i].Length >= model.Config.MaxPositions)
            {
                throw new ArgumentException(
                    $"prompt {i} has {prompts[i].Length} tokens; a prompt needs at least 1 and fewer than the context of {model.Config.MaxPositions}");
            }
        }
        var generator = new Generator(model, prompts, options);
        if (prompts.Count > 0 && options.MaxTokens > 0)
        {
            generator.Run(finished, cancellation);
        }
        return [.. generator._sampled.Select((tokens, i) => new Continuation([.. tokens], generator._ended[i]))];
    }

    /// <summary>The most tokens, prompt included, that a sequence may have.</summary>
    private int Limit(int sequence) =>
        _prompts[sequence].Length + Math.Min(_options.MaxTokens, _model.Config.MaxPositions - _prompts[sequence].Length);

    private void Run(Action<int>? finished, CancellationToken cancellation)
    {
        using var scope = new StepScope(_model.Backend, gradients: false);
        var longest = Enumerable.Range(0, _prompts.Length).Max(Limit);
        var slots = Math.Min(Math.Min(_options.Slots, _prompts.Length), KeyValueCache.MostSlots(_model, longest));
        _model.KeepPacked();
        _model.Reserve(longest); // here, since what the threads rent apart does not outlive their part
        if (slots == 1 || _model.Weights.Count > MostForEach || _model.Backend is not CpuBackend { Threads: > 1 } cpu)
        {
            RunSlots(slots, longest, finished, cancellation);
            return;
        }
        cpu.ForEachWorker(worker =>
        {
            try
            {
                RunSlots((slots + cpu.Threads - 1 - worker) / cpu.Threads, longest, finished, cancellation);
            }
            catch
            {
                _failed = true;
                throw;
            }
        });
    }

    /// <summary>Samples sequences, so many side by side, until none is left that nobody has begun.</summary>
    private void RunSlots(int slots, int longest, Action<int>? finished, CancellationToken cancellation)
    {
        using var scope = new StepScope(_model.Backend, gradients: false);
        var active = new List<Slot>();
        while (active.Count < slots && Next() is { } first)
        {
            active.Add(first);
        }
        if (active.Count == 0)
        {
            return;
        }
        var cache = new KeyValueCache(_model, slots, longest);
        while (active.Count > 0 && !_failed)
        {
            cancellation.ThrowIfCancellationRequested();
            Step(active, cache);
            for (var i = active.Count - 1; i >= 0; i--)
            {
                if (!IsFinished(active[i]))
                {
                    continue;
                }
                if (Next() is { } next)
                {
                    active[i] = next;
                }
                else
                {
                    // Slots are rows of the cache: the last one moves into the gap.
                    cache.Move(active.Count - 1, i, active[^1].Length);
                    active[i] = active[^1];
                    active.RemoveAt(active.Count - 1);
                }
                lock (_finishing)
                {
                    finished?.Invoke(++_finished);
                }
            }
        }
    }

    /// <summary>A slot for the next sequence that nobody has begun, or null.</summary>
    private Slot? Next() => Interlocked.Increment(ref _begun) is var begun && begun <= _prompts.Length ? new Slot { Sequence = begun - 1 } : null;

    private bool IsFinished(Slot slot) =>
        _ended[slot.Sequence] || _prompts[slot.Sequence].Length + _sampled[slot.Sequence].Count >= Limit(slot.Sequence);

    /// <summary>Feeds one token of every active sequence, and samples for those whose prompt is used up.</summary>
    private void Step(List<Slot> active, KeyValueCache cache)
    {
        var backend = _model.Backend;
        using var step = new StepScope(backend, gradients: false);
        var tokens = new int[active.Count];
        var positions = new int[active.Count];
        var lengths = new int[active.Count];
        var sampling = new List<int>();
        for (var i = 0; i < active.Count; i++)
        {
            var slot = active[i];
            var prompt = _prompts[slot.Sequence];
            tokens[i] = slot.Length < prompt.Length ? prompt[slot.Length] : _sampled[slot.Sequence][slot.Length - prompt.Length];
            positions[i] = slot.Length;
            lengths[i] = ++slot.Length;
            if (slot.Length >= prompt.Length)
            {
                sampling.Add(i);
            }
        }
        var hidden = _model.Hidden(Index(tokens), Index(positions), cache.Attend(Index(lengths), active.Count));
        if (sampling.Count == 0)
        {
            return;
        }
        var logits = _model.Logits(hidden, Index([.. sampling]));
        var drawn = backend.Memory.RentIndex(sampling.Count);
        backend.Sample(
            logits.Data, sampling.Count, _model.Config.VocabSize, _options.Sampling, _options.Seed,
            Index([.. sampling.Select(i => active[i].Sequence)]), Index([.. sampling.Select(i => active[i].Length)]), drawn);
        var ids = new int[sampling.Count];
        backend.Download(drawn, ids);
        for (var i = 0; i < ids.Length; i++)
        {
            var sequence = active[sampling[i]].Sequence;
            _sampled[sequence].Add(ids[i]);
            _ended[sequence] = ids[i] == _options.EosId;
        }

        IndexBuffer Index(int[] values)
        {
            var buffer = backend.Memory.RentIndex(values.Length);
            backend.Upload(values, buffer);
            return buffer;
        }
    }

    private sealed class Slot
    {
        public required int Sequence { get; init; }

        /// <summary>Tokens fed so far.</summary>
        public int Length { get; set; }
    }
}
