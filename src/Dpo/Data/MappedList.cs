using System.Collections;

namespace TinyDpo.Dpo;

/// <summary>A list whose items are made when they are asked for, so that they need not all be in memory.</summary>
internal sealed class MappedList<T>(int count, Func<int, T> item) : IReadOnlyList<T>
{
    public int Count => count;

    public T this[int index] => item(index);

    public IEnumerator<T> GetEnumerator() => Enumerable.Range(0, count).Select(item).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
