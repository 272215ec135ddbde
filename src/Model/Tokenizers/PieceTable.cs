namespace TinyDpo.Models;

/// <summary>Collects a vocabulary and its merges from a file, and refuses what contradicts itself.</summary>
internal sealed class PieceTable
{
    // A torn or hostile file must not make us allocate for an absurd id; the largest vocabularies in use have 2^18.
    private const int MaximumIds = 1 << 24;

    private readonly Dictionary<string, int> ids = [];
    private readonly Dictionary<int, string> pieces = [];
    private readonly HashSet<(int, int)> pairs = [];
    private int maximumId = -1;

    public delegate InputException Error(string problem, string remedy);

    public void Add(string piece, int id, Error error)
    {
        if (id is < 0 or >= MaximumIds)
        {
            throw error($"id {id} is outside [0, {MaximumIds})", "give the piece an id in that range");
        }
        if (!pieces.TryAdd(id, piece) && pieces[id] != piece)
        {
            throw error($"id {id} of the piece \"{Quoted.Text(piece)}\" is also that of \"{Quoted.Text(pieces[id])}\"", "give every piece an id of its own");
        }
        if (!ids.TryAdd(piece, id) && ids[piece] != id)
        {
            throw error($"the piece \"{Quoted.Text(piece)}\" has the ids {ids[piece]} and {id}", "keep one of them");
        }
        maximumId = Math.Max(maximumId, id);
    }

    public int? IdOf(string piece) => ids.TryGetValue(piece, out var id) ? id : null;

    public bool Has(int id) => pieces.ContainsKey(id);

    public string PieceOf(int id) => pieces[id];

    public Merge Merge(string left, string right, int rank, Error error)
    {
        var name = () => $"the merge of \"{Quoted.Text(left)}\" and \"{Quoted.Text(right)}\"";
        int Known(string piece) => IdOf(piece) ?? throw error($"{name()} needs the piece \"{Quoted.Text(piece)}\", which the vocabulary lacks",
            "vocabulary and merges must come from the same tokenizer");
        var merge = new Merge(Known(left), Known(right), Known(left + right), rank);
        return pairs.Add((merge.Left, merge.Right)) ? merge : throw error($"{name()} is there twice", "keep the first one");
    }

    /// <summary>The pieces by id, null where an id has none.</summary>
    public string?[] ToArray()
    {
        var array = new string?[maximumId + 1];
        foreach (var (id, piece) in pieces)
        {
            array[id] = piece;
        }
        return array;
    }
}
