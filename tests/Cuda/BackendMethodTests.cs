using System.Reflection;
using System.Reflection.Emit;
using TinyDpo.Kernels;

namespace TinyDpo.Tests.Cuda;

/// <summary>
/// Every method of IBackend does its work on the device: followed through the code of CudaBackend, it launches a kernel or calls cuBLAS,
/// or, where it moves memory or waits, makes the driver's call for that. What it computes is the op table's business.
/// </summary>
public class BackendMethodTests
{
    private static readonly Dictionary<short, OpCode> s_opcodes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(static field => (OpCode)field.GetValue(null)!).ToDictionary(static code => code.Value);

    private static readonly Dictionary<string, string> s_withoutKernel = new()
    {
        [nameof(IBackend.Upload)] = nameof(ICudaDriver.cuMemcpyHtoDAsync),
        [nameof(IBackend.Download)] = nameof(ICudaDriver.cuMemcpyDtoHAsync),
        [nameof(IBackend.Copy)] = nameof(ICudaDriver.cuMemcpyDtoDAsync),
        [nameof(IBackend.Fill)] = nameof(ICudaDriver.cuMemsetD32Async),
        [nameof(IBackend.Synchronise)] = nameof(ICudaDriver.cuStreamSynchronize),
    };

    private static IEnumerable<TestCaseData> Methods() =>
        from method in typeof(CudaBackend).GetInterfaceMap(typeof(IBackend)).TargetMethods
        where !method.IsSpecialName && method.Name != nameof(IBackend.KeepPacked) // advice, of no use to cuBLAS
        let parameters = method.GetParameters().Select(static p => p.ParameterType.Name)
        select new TestCaseData(method).SetArgDisplayNames($"{method.Name}({string.Join(", ", parameters)})");

    [TestCaseSource(nameof(Methods))]
    public void WorksOnTheDevice(MethodInfo method)
    {
        var called = new HashSet<MethodBase>();
        Follow(method, called);
        Assert.That(called.Select(static m => m.DeclaringType), Does.Not.Contain(typeof(NotImplementedException)), "is not written yet");
        var names = called.Select(static m => m.Name).ToList();
        if (s_withoutKernel.TryGetValue(method.Name, out var call))
        {
            Assert.That(names, Does.Contain(call));
        }
        else
        {
            Assert.That(names, Does.Contain("Launch").Or.Contains(nameof(ICudaDriver.cublasSgemm)), "launches no kernel and does not call cuBLAS");
        }
    }

    // All that a method calls, directly or through methods of the engine.
    private static void Follow(MethodBase method, HashSet<MethodBase> called)
    {
        if (called.Add(method) && method.DeclaringType?.Assembly == typeof(CudaBackend).Assembly && method.GetMethodBody() is { } body)
        {
            foreach (var next in Calls(method, body.GetILAsByteArray()!))
            {
                Follow(next, called);
            }
        }
    }

    private static IEnumerable<MethodBase> Calls(MethodBase method, byte[] code)
    {
        var typeArguments = method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : null;
        var methodArguments = method.IsGenericMethod ? method.GetGenericArguments() : null;
        for (var at = 0; at < code.Length;)
        {
            var opcode = code[at] == 0xFE ? s_opcodes[(short)(0xFE00 | code[at + 1])] : s_opcodes[code[at]];
            at += opcode.Size;
            if (opcode.OperandType == OperandType.InlineMethod)
            {
                yield return method.Module.ResolveMethod(BitConverter.ToInt32(code, at), typeArguments, methodArguments)!;
            }
            at += opcode.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(code, at)),
                _ => 4,
            };
        }
    }
}
