namespace TinyDpo.Simulator;

/// <summary>
/// The program under simulation did what a GPU would punish, or silently get wrong. The message names what, and where it is a kernel's
/// fault, the kernel, block, thread and line of kernels.ptx and kernels.cu.
/// </summary>
public sealed class SimulationException(string message) : Exception(message);
