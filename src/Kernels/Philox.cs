namespace TinyDpo.Kernels;

/// <summary>What a random number is for: a part of its address, so that no two uses ever share one.</summary>
public enum RandomPurpose : uint
{
    Initialise = 1,
    Shuffle,
    Sample,
    World,
    Preference,
    Test,
    Theory,
}

/// <summary>
/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a random number is a pure function of its address
/// (seed, purpose, step, sequence, position), so results depend neither on the thread count nor on the order of evaluation.
/// </summary>
public static class Philox
{
    /// <summary>Four independent 32-bit words for one address.</summary>
    public static (uint, uint, uint, uint) Block(ulong seed, RandomPurpose purpose, uint step, uint sequence, uint position)
    {
        uint c0 = position, c1 = sequence, c2 = step, c3 = (uint)purpose;
        uint k0 = (uint)seed, k1 = (uint)(seed >> 32);
        for (var round = 0; round < 10; round++)
        {
            var p0 = (ulong)0xD2511F53 * c0;
            var p1 = (ulong)0xCD9E8D57 * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ k1, (uint)p0);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        return (c0, c1, c2, c3);
    }

    /// <summary>A uniform number in [0, 1) with 53 random bits.</summary>
    public static double Uniform(ulong seed, RandomPurpose purpose, int step, int sequence, int position)
    {
        var (a, b, _, _) = Block(seed, purpose, (uint)step, (uint)sequence, (uint)position);
        return ((((ulong)a << 32) | b) >> 11) * (1.0 / (1UL << 53));
    }

    /// <summary>A standard normal number (Box-Muller, in double).</summary>
    public static double Normal(ulong seed, RandomPurpose purpose, int step, int sequence, int position)
    {
        var (a, b, c, d) = Block(seed, purpose, (uint)step, (uint)sequence, (uint)position);
        var u = (((((ulong)a << 32) | b) >> 11) + 1) * (1.0 / (1UL << 53)); // in (0, 1]: its logarithm is finite
        var v = ((((ulong)c << 32) | d) >> 11) * (1.0 / (1UL << 53));
        return Math.Sqrt(-2 * Math.Log(u)) * Math.Cos(2 * Math.PI * v);
    }

    /// <summary>The numbers 0..count-1 in a random order (Fisher-Yates).</summary>
    public static int[] Permutation(ulong seed, RandomPurpose purpose, int step, int count)
    {
        var order = new int[count];
        for (var i = 0; i < count; i++)
        {
            order[i] = i;
        }
        for (var i = count - 1; i > 0; i--)
        {
            var j = (int)(Uniform(seed, purpose, step, 0, i) * (i + 1));
            (order[i], order[j]) = (order[j], order[i]);
        }
        return order;
    }
}
