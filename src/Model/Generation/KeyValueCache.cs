using TinyDpo.Kernels;
using TinyDpo.Tensors;

namespace TinyDpo.Models;

/// <summary>
/// The keys and values of every layer for a number of sequences: two buffers [slots, capacity * kvHeads * headSize] a layer, where the backend
/// alone knows what lies where within a block of tokens. Belongs to the scope in which it was made.
/// </summary>
internal sealed class KeyValueCache
{
    // The most numbers that one layer's keys may take: 256 MiB of float.
    private const int LayerBudget = 64 * 1024 * 1024;

    private readonly Transformer _model;
    private readonly int _capacity;
    private readonly DeviceBuffer[] _keys;
    private readonly DeviceBuffer[] _values;

    /// <param name="model">Whose keys and values.</param>
    /// <param name="slots">Sequences side by side.</param>
    /// <param name="tokens">The most of a sequence.</param>
    /// <exception cref="InputException">The model has a window, shorter than that, and the device none.</exception>
    public KeyValueCache(Transformer model, int slots, int tokens)
    {
        model.Reserve(tokens);
        (_model, _capacity) = (model, Capacity(model, tokens));
        var length = checked(slots * _capacity * Width(model));
        _keys = [.. Enumerable.Range(0, model.Config.Layers).Select(_ => model.Backend.Memory.Rent(length))];
        _values = [.. Enumerable.Range(0, model.Config.Layers).Select(_ => model.Backend.Memory.Rent(length))];
    }

    /// <summary>How many sequences of that length are run side by side without taking too much memory; at least 1.</summary>
    public static int MostSlots(Transformer model, int tokens) =>
        (int)Math.Clamp(LayerBudget / ((long)Capacity(model, tokens) * Width(model)), 1, int.MaxValue);

    /// <summary>Attention of one new token a slot: appends its key and value, then attends to all that the slot holds.</summary>
    /// <param name="lengths">Tokens in each slot, the new one included.</param>
    /// <param name="slots">Number of slots in use: the first so many.</param>
    public Transformer.AttentionStep Attend(IndexBuffer lengths, int slots) => (layer, q, k, v) =>
    {
        var backend = _model.Backend;
        backend.AppendCache(k.Data, v.Data, lengths, slots, _capacity, Width(_model), _keys[layer], _values[layer]);
        var output = Tensor.Uninitialised(backend, q.Shape);
        backend.DecodeAttention(_model.Config.Attention(layer), q.Data, _keys[layer], _values[layer], lengths, slots, _capacity, output.Data);
        return output;
    };

    /// <summary>Copies the first <paramref name="length"/> tokens of one slot over another.</summary>
    public void Move(int from, int to, int length)
    {
        if (from == to)
        {
            return;
        }
        var (slot, used) = (_capacity * Width(_model), Capacity(_model, length) * Width(_model));
        foreach (var buffer in _keys.Concat(_values))
        {
            _model.Backend.Copy(buffer.Slice(from * slot, used), buffer.Slice(to * slot, used));
        }
    }

    /// <summary>So many tokens, and what fills the last of their blocks.</summary>
    private static int Capacity(Transformer model, int tokens)
    {
        var block = model.Backend.CacheBlock;
        return (tokens + block - 1) / block * block;
    }

    private static int Width(Transformer model) => model.Config.Attention(0).KeyValueWidth; // every layer's
}
