using FsCheck;
using FsCheck.Fluent;
using TinyDpo.Kernels;
using TinyDpo.Models;
using TinyDpo.Tensors;

namespace TinyDpo.Tests;

public class PackedBatchTests
{
    private CpuBackend _backend = null!;
    private StepScope _step = null!;

    [SetUp]
    public void Open()
    {
        _backend = PoisonedBackend.Create();
        _step = new StepScope(_backend);
    }

    [TearDown]
    public void Close()
    {
        _step.Dispose();
        _backend.Dispose();
    }

    /// <summary>Groups with 1 to 3 completions each, some of one token, which need no segment.</summary>
    internal static Gen<PromptGroup[]> Groups(int vocabulary, int longest, int mostGroups = 6)
    {
        var ids = Gen.Choose(1, longest).SelectMany(n => Gen.Choose(0, vocabulary - 1).ArrayOf(n));
        return
            from ranks in Gen.Choose(1, 3)
            from count in Gen.Choose(0, mostGroups)
            from groups in (from prompt in ids from completions in ids.ArrayOf(ranks) select new PromptGroup(prompt, completions)).ArrayOf(count)
            select groups;
    }

    /// <summary>
    /// The plain definition: each completion token is predicted by a row; that row and those it attends to, put in order, are the sequence
    /// up to the token, at positions 0, 1, 2, ...
    /// </summary>
    [Test]
    public void EveryPredictionSeesItsOwnSequenceAndNothingElse()
    {
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(200), Prop.ForAll(Arb.From(Groups(50, 6)), groups =>
        {
            var batch = PackedBatch.Pack(_backend, groups);
            var ranks = groups.Length == 0 ? 0 : groups[0].Completions.Count;
            var sequences = Enumerable.Range(0, ranks).SelectMany(rank => groups.Select(g => (g.Prompt, Completion: g.Completions[rank]))).ToArray();
            var (tokens, positions, rows) = (Get(batch.Tokens), Get(batch.Positions), Get(batch.Rows));
            var visible = Visible(batch.Segments);

            Assert.That(batch.Sequences, Is.EqualTo(sequences.Length));
            Assert.That(Get(batch.Targets), Is.EqualTo(sequences.SelectMany(static s => s.Completion)));
            Assert.That(rows, Has.Length.EqualTo(sequences.Sum(static s => s.Completion.Length)));
            var offset = 0;
            Assert.That(Get(batch.Offsets), Is.EqualTo((int[])[0, .. sequences.Select(s => offset += s.Completion.Length)]));
            var at = 0;
            foreach (var (prompt, completion) in sequences)
            {
                for (var i = 0; i < completion.Length; i++, at++)
                {
                    var seen = visible[rows[at]];
                    Assert.That(seen.Select(t => tokens[t]), Is.EqualTo((int[])[.. prompt, .. completion[..i]]));
                    Assert.That(seen.Select(t => positions[t]), Is.EqualTo(Enumerable.Range(0, prompt.Length + i)));
                }
            }
        }));
    }

    [Test]
    public void APromptIsRunOnceAndALastTokenNotAtAll()
    {
        Check.One(Config.QuickThrowOnFailure, Prop.ForAll(Arb.From(Groups(50, 6)), groups =>
        {
            var batch = PackedBatch.Pack(_backend, groups);
            Assert.That(batch.Tokens.Length, Is.EqualTo(groups.Sum(static g => g.Prompt.Length + g.Completions.Sum(static c => c.Length - 1))));
            Assert.That(batch.Segments.Groups, Is.EqualTo(groups.Length));
            Assert.That(batch.Segments.Tokens, Is.EqualTo(batch.Tokens.Length));
        }));
    }

    [Test]
    public void AnExampleByHand()
    {
        var batch = PackedBatch.Pack(_backend, [new PromptGroup([7, 8, 9], [[1, 2], [3]]), new PromptGroup([5], [[4], [6, 6, 2]])]);
        Assert.That(Get(batch.Tokens), Is.EqualTo(new[] { 7, 8, 9, 1, 5, 6, 6 }));
        Assert.That(Get(batch.Positions), Is.EqualTo(new[] { 0, 1, 2, 3, 0, 1, 2 }));
        Assert.That(Get(batch.Rows), Is.EqualTo(new[] { 2, 3, 4, 2, 4, 5, 6 }));
        Assert.That(Get(batch.Targets), Is.EqualTo(new[] { 1, 2, 4, 3, 6, 6, 2 }));
        Assert.That(Get(batch.Offsets), Is.EqualTo(new[] { 0, 2, 3, 4, 7 }));
        Assert.That(batch.Segments.Segments.ToArray(), Is.EqualTo(new Segment[] { new(0, 0, 0, 3), new(0, 3, 3, 1), new(0, 0, 4, 1), new(4, 1, 5, 2) }));
    }

    [Test]
    public void WhatCannotBePackedIsRefused()
    {
        Assert.That(() => PackedBatch.Pack(_backend, [new PromptGroup([], [[1]])]), Throws.ArgumentException);
        Assert.That(() => PackedBatch.Pack(_backend, [new PromptGroup([1], [[]])]), Throws.ArgumentException);
        Assert.That(() => PackedBatch.Pack(_backend, [new PromptGroup([1], [[1]]), new PromptGroup([1], [[1], [2]])]), Throws.ArgumentException);
    }

    private int[] Get(IndexBuffer buffer)
    {
        var values = new int[buffer.Length];
        _backend.Download(buffer, values);
        return values;
    }

    /// <summary>For each row of the packed axis, the rows that it attends to, itself last.</summary>
    private static int[][] Visible(SegmentLayout layout)
    {
        var visible = new int[layout.Tokens][];
        foreach (var segment in layout.Segments)
        {
            for (var i = 0; i < segment.Length; i++)
            {
                visible[segment.Start + i] =
                    [.. Enumerable.Range(segment.PrefixStart, segment.PrefixLength), .. Enumerable.Range(segment.Start, i + 1)];
            }
        }
        return visible;
    }
}
