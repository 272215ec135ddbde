using TinyDpo.Models;

namespace TinyDpo.Dpo;

/// <summary>
/// The floating-point operations that a DPO step needs, from the shapes alone: a multiply-add is two, and a product's backward costs two
/// products. What an implementation computes twice, or for padding, does not count.
/// </summary>
public static class StepFlops
{
    /// <summary>
    /// 6 x multiply-adds of the linear layers (queries, output projection and MLP of the last one for predicting tokens only),
    /// + 6 x vocabulary x hidden x predicting tokens, + 12 x query width x (query, key) pairs that see each other, over all layers: the last
    /// one's too of tokens that predict nothing, which no step of ours computes (see <see cref="TinyDpo.Kernels.SegmentLayout.RootsAskLast"/>).
    /// </summary>
    public static long Needed(ModelConfig config, IEnumerable<PreferencePair> pairs)
    {
        long tokens = 0, predicting = 0, visible = 0;
        var layers = Enumerable.Range(0, config.Layers).Select(config.Attention).ToList();
        foreach (var pair in pairs)
        {
            tokens += pair.Prompt.Length;
            predicting++; // the prompt's last token
            visible += Visible(0, pair.Prompt.Length);
            foreach (var completion in ((int[][])[pair.Chosen, pair.Rejected]).Where(static c => c.Length > 0)) // an unpaired row has one
            {
                var inputs = completion.Length - 1; // the last token predicts nothing
                tokens += inputs;
                predicting += inputs;
                visible += Visible(pair.Prompt.Length, pair.Prompt.Length + inputs);
            }
        }
        long hidden = config.HiddenSize, queries = config.Heads * config.HeadSize, keys = config.KeyValueHeads * config.HeadSize;
        var mlpMatrices = config.Architecture == Architecture.Gpt2 ? 2 : 3;
        var keysAndValues = 2 * hidden * keys;
        var rest = (2 * hidden * queries) + (mlpMatrices * hidden * config.IntermediateSize);
        var linear = (config.Layers * tokens * keysAndValues) + ((((config.Layers - 1) * tokens) + predicting) * rest);
        return (6 * linear) + (6 * config.VocabSize * hidden * predicting) + (12 * queries * visible);

        long Visible(int from, int to) => layers.Sum(layer => layer.VisibleKeys(from, to));
    }
}
