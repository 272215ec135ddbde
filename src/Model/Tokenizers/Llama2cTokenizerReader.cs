using System.Buffers.Binary;
using System.Text;

namespace TinyDpo.Models;

/// <summary>
/// Reads llama2.c's TOK.bin: int32 length of the longest piece, then for each id float32 score, int32 length, bytes; little-endian. Ids 0,
/// 1, 2 are unknown, beginning and end; 256 bytes follow, then the pieces. Of two merges the one whose result scores higher goes first.
/// </summary>
internal static class Llama2cTokenizerReader
{
    private const int Bos = 1;
    private const int ControlIds = 3;
    private const int FirstPiece = ControlIds + 256;
    private const int LongestPlausible = 1 << 16;

    public static bool Recognises(ReadOnlySpan<byte> content) =>
        content.Length < sizeof(int) || BinaryPrimitives.ReadInt32LittleEndian(content) is > 0 and <= LongestPlausible;

    public static ByteFallbackTokenizer Read(string file, ReadOnlySpan<byte> content)
    {
        var table = new PieceTable();
        var scores = ReadPieces(file, content, table);
        var pieces = table.ToArray();
        if (pieces.Length < FirstPiece)
        {
            throw new InputException(file, null, $"has {pieces.Length} pieces, fewer than the {FirstPiece} that control and bytes take",
                "the file may be cut short: fetch it again");
        }
        var added = Enumerable.Range(0, ControlIds).Select(id => new AddedToken(id, pieces[id]!, Special: true)).ToArray();
        return new ByteFallbackTokenizer(new BpeModel
        {
            Source = file,
            Pieces = pieces,
            Merges = MergesByScore(file, table, pieces, scores),
            AddedTokens = added,
            BosId = Bos,
            // Not 2: llama2.c trains and samples with the beginning of the next story as the end of this one.
            EosId = Bos,
            UnkId = 0,
            SplitSpecialTokens = true,
        }, space: ' ', SpacePrefix.Always);
    }

    private static List<float> ReadPieces(string file, ReadOnlySpan<byte> content, PieceTable table)
    {
        var scores = new List<float>();
        if (content.Length < sizeof(int))
        {
            throw Truncated("the header");
        }
        var longest = BinaryPrimitives.ReadInt32LittleEndian(content);
        var rest = content[sizeof(int)..];
        while (!rest.IsEmpty)
        {
            var id = scores.Count;
            var place = $"piece {id}";
            PieceTable.Error error = (problem, remedy) => new InputException(file, place, problem, remedy);
            if (rest.Length < 8)
            {
                throw Truncated(place);
            }
            var score = BinaryPrimitives.ReadSingleLittleEndian(rest);
            var length = BinaryPrimitives.ReadInt32LittleEndian(rest[4..]);
            rest = rest[8..];
            if (length < 0 || length > longest)
            {
                throw error($"has length {length}, outside [0, {longest}]", "the file is damaged or no TOK.bin: fetch it again");
            }
            if (length > rest.Length)
            {
                throw Truncated(place);
            }
            if (!float.IsFinite(score))
            {
                throw error("has a score that is no finite number", "the file is damaged: fetch it again");
            }
            var piece = PieceOf(rest[..length], error);
            rest = rest[length..];
            // llama2.c pads the names of the control pieces with line feeds, for printing.
            table.Add(id < ControlIds ? piece.Trim('\n') : piece, id, error);
            scores.Add(score);
        }
        return scores;

        InputException Truncated(string place) => new(file, place, "the file ends here", "it may be cut short: fetch it again");
    }

    private static string PieceOf(ReadOnlySpan<byte> utf8, PieceTable.Error error)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(utf8);
        }
        catch (DecoderFallbackException)
        {
            throw error("is not valid UTF-8", "the file is damaged: fetch it again");
        }
    }

    // A piece may be made of any two pieces that spell it; all those merges rank by its score.
    private static List<Merge> MergesByScore(string file, PieceTable table, string?[] pieces, List<float> scores)
    {
        var merges = new List<Merge>();
        var rank = -1;
        var previous = float.NaN;
        foreach (var id in Enumerable.Range(FirstPiece, pieces.Length - FirstPiece).OrderByDescending(id => scores[id]))
        {
            rank += scores[id] == previous ? 0 : 1;
            previous = scores[id];
            var piece = pieces[id]!;
            PieceTable.Error error = (problem, remedy) => new InputException(file, $"piece {id}", problem, remedy);
            for (var cut = 1; cut < piece.Length; cut++)
            {
                var (left, right) = (piece[..cut], piece[cut..]);
                if (table.IdOf(left) >= FirstPiece && table.IdOf(right) >= FirstPiece)
                {
                    merges.Add(table.Merge(left, right, rank, error));
                }
            }
        }
        return merges;
    }
}
