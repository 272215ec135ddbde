using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using TinyDpo.Kernels;

namespace TinyDpo.Tests;

public unsafe partial class VectorTailTests
{
    private static readonly int Lanes = Vector256<Real>.Count;

    [Test]
    public void ALoadTakesTheFirstElementsAndZeroes()
    {
        var memory = Enumerable.Range(0, Lanes).Select(i => i + (Real)1.5).ToArray();
        for (var count = 0; count <= Lanes; count++)
        {
            fixed (Real* p = memory)
            {
                var v = VectorTail.LoadPartial(p, count);
                for (var i = 0; i < Lanes; i++)
                {
                    Assert.That(v[i], Is.EqualTo(i < count ? memory[i] : 0), $"lane {i} of {count}");
                }
                Assert.That(VectorTail.LoadPartialReference(p, count), Is.EqualTo(v));
            }
        }
    }

    [Test]
    public void AStoreLeavesTheRestAlone([Values] bool reference)
    {
        var v = Vector256<Real>.Indices + Vector256<Real>.One;
        for (var count = 0; count <= Lanes; count++)
        {
            var memory = Enumerable.Repeat((Real)(-7), 2 * Lanes).ToArray();
            fixed (Real* p = memory)
            {
                if (reference)
                {
                    VectorTail.StorePartialReference(v, p, count);
                }
                else
                {
                    VectorTail.StorePartial(v, p, count);
                }
            }
            for (var i = 0; i < memory.Length; i++)
            {
                Assert.That(memory[i], Is.EqualTo(i < count ? i + 1 : (Real)(-7)), $"element {i} of {count}");
            }
        }
    }

    /// <summary>The row ends where its page does, and the next page forbids any access: one read past it would end the process.</summary>
    [Test]
    [Platform("Linux")]
    public void NothingPastTheEndIsTouched()
    {
        const int readWrite = 3, none = 0, privateAnonymous = 0x22;
        var page = Environment.SystemPageSize;
        var memory = (byte*)MapMemory(null, 2 * page, readWrite, privateAnonymous, -1, 0);
        Assert.That((nint)memory, Is.Not.EqualTo((nint)(-1)));
        try
        {
            Assert.That(ProtectMemory(memory + page, page, none), Is.Zero);
            for (var count = 0; count < Lanes; count++)
            {
                var p = (Real*)(memory + page) - count;
                VectorTail.StorePartial(Vector256.Create((Real)count), p, count);
                Assert.That(VectorReduction.Sum(VectorTail.LoadPartial(p, count)), Is.EqualTo((Real)(count * count)));
            }
        }
        finally
        {
            UnmapMemory(memory, 2 * page);
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* MapMemory(void* address, nint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int ProtectMemory(void* address, nint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int UnmapMemory(void* address, nint length);
}
