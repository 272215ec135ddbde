using System.Globalization;

namespace TinyDpo.Dpo;

/// <summary>
/// What can be done with values of a template: text (string), numbers (long), truth (bool), none (null), lists (List of values) and mappings
/// (Dictionary by string), as in Python.
/// </summary>
internal static class JinjaValues
{
    private const int MostDepth = 64;

    public static bool IsTrue(object? value) => value switch
    {
        null or JinjaUndefined => false,
        bool truth => truth,
        long number => number != 0,
        string text => text.Length > 0,
        List<object?> list => list.Count > 0,
        Dictionary<string, object?> mapping => mapping.Count > 0,
        _ => true,
    };

    public static string Text(object? value, JinjaPlace at) => value switch
    {
        null => "None",
        JinjaUndefined => "",
        bool truth => truth ? "True" : "False",
        long number => number.ToString(CultureInfo.InvariantCulture),
        string text => text,
        _ => throw at.Fault($"{Name(value)} cannot be printed here"),
    };

    /// <exception cref="JinjaException">The values are nested too deep for the stack; those of a conversation's template are not.</exception>
    public static bool AreEqual(object? a, object? b, JinjaPlace at, int depth = 0)
    {
        if (depth > MostDepth)
        {
            throw at.Fault($"values nested more than {MostDepth} deep are compared");
        }
        return (a, b) switch
        {
            (JinjaNamespace, _) or (_, JinjaNamespace) => ReferenceEquals(a, b),
            _ when ReferenceEquals(a, b) => true,
            (List<object?> x, List<object?> y) => x.Count == y.Count && Gone(x.Count) && x.Zip(y).All(pair => AreEqual(pair.First, pair.Second, at, depth + 1)),
            (Dictionary<string, object?> x, Dictionary<string, object?> y) =>
                x.Count == y.Count && Gone(x.Count) && x.All(pair => y.TryGetValue(pair.Key, out var other) && AreEqual(pair.Value, other, at, depth + 1)),
            (JinjaUndefined, JinjaUndefined) => true,
            (bool x, long y) => (x ? 1 : 0) == y,
            (long x, bool y) => x == (y ? 1 : 0),
            (string x, string y) => x.Length == y.Length && Looked(x.Length) && x == y,
            _ => Equals(a, b),
        };

        bool Gone(int items)
        {
            at.MakeList(items);
            return true;
        }

        bool Looked(int characters)
        {
            at.Look(characters);
            return true;
        }
    }

    public static object Arithmetic(string sign, object? a, object? b, JinjaPlace at) => (sign, a, b) switch
    {
        ("+", string x, string y) => Sum(x, y, at),
        ("+", List<object?> x, List<object?> y) => Sum(x, y, at),
        ("//" or "%", long, 0L) => throw at.Fault("a number is divided by zero"),
        (_, long x, long y) => Arithmetic(sign, x, y) is var result && result >= long.MinValue && result <= long.MaxValue
            ? (long)result
            : throw at.Fault("a number is out of range"),
        _ => throw at.Fault($"{sign} does not go with {Name(a)} and {Name(b)}"),
    };

    // In twice the bits, where nothing overflows; quotients are rounded down, as Python's.
    private static Int128 Arithmetic(string sign, Int128 x, Int128 y)
    {
        var turned = sign is "//" or "%" && x % y != 0 && x < 0 != y < 0;
        return sign switch
        {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "//" => (x / y) - (turned ? 1 : 0),
            _ => (x % y) + (turned ? y : 0),
        };
    }

    public static bool Compare(string sign, object? a, object? b, JinjaPlace at)
    {
        switch (sign)
        {
            case "==":
                return AreEqual(a, b, at);
            case "!=":
                return !AreEqual(a, b, at);
            case "in":
                return Contains(b, a, at);
            case "not in":
                return !Contains(b, a, at);
        }
        var order = (a, b) switch
        {
            (long x, long y) => x.CompareTo(y),
            (string x, string y) => Order(x, y, at),
            _ => throw at.Fault($"{sign} does not go with {Name(a)} and {Name(b)}"),
        };
        return sign switch { "<" => order < 0, ">" => order > 0, "<=" => order <= 0, _ => order >= 0 };
    }

    private static int Order(string a, string b, JinjaPlace at)
    {
        at.Look(Math.Min(a.Length, b.Length));
        return string.CompareOrdinal(a, b);
    }

    /// <summary>A mapping's value, if it has the key.</summary>
    public static bool Find(Dictionary<string, object?> mapping, string key, JinjaPlace at, out object? value)
    {
        at.Look(key.Length);
        return mapping.TryGetValue(key, out value);
    }

    /// <summary>container[key], or container.key.</summary>
    public static object? Item(object? container, object? key, JinjaPlace at) => (container, key) switch
    {
        (Dictionary<string, object?> mapping, string name) => Find(mapping, name, at, out var value) ? value : new JinjaUndefined(name),
        (List<object?> list, long index) => Within(index, list.Count) is { } place ? list[place] : new JinjaUndefined($"[{index}]"),
        (string text, long index) => Within(index, text.Length) is { } place ? text[place].ToString() : new JinjaUndefined($"[{index}]"),
        (JinjaUndefined undefined, _) => throw at.Fault($"'{undefined.Name}' is undefined"),
        _ => new JinjaUndefined(key as string ?? "an item"),
    };

    /// <summary>container[start:stop:step].</summary>
    public static object Slice(object? container, object? start, object? stop, object? step, JinjaPlace at)
    {
        var length = container switch
        {
            string text => text.Length,
            List<object?> list => list.Count,
            _ => throw at.Fault($"{Name(container)} cannot be cut"),
        };
        var stride = Bound(step) ?? 1;
        if (stride == 0)
        {
            throw at.Fault("a slice cannot have a step of 0");
        }
        var (first, last) = stride > 0 ? (0L, (long)length) : (length - 1L, -1L);
        var from = Bound(start) is { } s ? Clamp(s) : first;
        var to = Bound(stop) is { } e ? Clamp(e) : last;
        // A longer step leads out as well, and would overflow.
        stride = Math.Clamp(stride, -length - 1L, length + 1L);
        var count = (int)Math.Max(0, (to - from + stride - Math.Sign(stride)) / stride);
        if (container is string)
        {
            at.Make(count);
        }
        else
        {
            at.MakeList(count);
        }
        return container is string t
            ? string.Create(count, (t, from, stride), static (cut, of) =>
            {
                for (var i = 0; i < cut.Length; i++)
                {
                    cut[i] = of.t[(int)(of.from + (i * of.stride))];
                }
            })
            : Enumerable.Range(0, count).Select(i => ((List<object?>)container!)[(int)(from + (i * stride))]).ToList();

        long Clamp(long bound) => Math.Clamp(bound < 0 ? bound + length : bound, stride > 0 ? 0 : -1, stride > 0 ? length : length - 1);

        long? Bound(object? value) => value switch
        {
            null => null,
            long number => number,
            _ => throw at.Fault($"{Name(value)} is no place to cut"),
        };
    }

    public static List<object?> Items(object? value, JinjaPlace at)
    {
        switch (value)
        {
            case List<object?> list:
                return list;
            case JinjaUndefined:
                return [];
            case Dictionary<string, object?> mapping:
                at.MakeList(mapping.Count);
                return [.. mapping.Keys];
            case string text:
                at.MakeList(text.Length);
                return [.. text.Select(static c => c.ToString())];
            default:
                throw at.Fault($"{Name(value)} cannot be gone through");
        }
    }

    public static string Name(object? value) => value switch
    {
        null => "none",
        JinjaUndefined undefined => $"'{undefined.Name}', which is undefined,",
        bool => "a truth value",
        long => "a number",
        string => "a string",
        List<object?> => "a list",
        Dictionary<string, object?> => "a mapping",
        _ => "a function",
    };

    public static string Sum(string a, string b, JinjaPlace at)
    {
        at.Make((long)a.Length + b.Length);
        return a + b;
    }

    private static List<object?> Sum(List<object?> a, List<object?> b, JinjaPlace at)
    {
        at.MakeList((long)a.Count + b.Count);
        return [.. a, .. b];
    }

    private static bool Contains(object? container, object? value, JinjaPlace at)
    {
        switch (container)
        {
            case string text when value is string part:
                at.Search(text, part);
                return text.Contains(part, StringComparison.Ordinal);
            case List<object?> list:
                at.MakeList(list.Count);
                return list.Exists(item => AreEqual(item, value, at));
            case Dictionary<string, object?> mapping:
                return value is string key && Find(mapping, key, at, out _);
            case JinjaUndefined:
                return false;
            default:
                throw at.Fault($"'in' does not go with {Name(value)} and {Name(container)}");
        }
    }

    private static int? Within(long index, int count)
    {
        index += index < 0 ? count : 0;
        return index >= 0 && index < count ? (int)index : null;
    }
}

/// <summary>The one mapping that a template can change, so the one that can hold itself; equal to itself alone, as in Jinja.</summary>
internal sealed class JinjaNamespace(Dictionary<string, object?> values) : Dictionary<string, object?>(values);
