namespace TinyDpo.Kernels;

/// <summary>A CUDA or cuBLAS call failed, or the libraries are not there. The message names the call, the error and the remedy.</summary>
public sealed class CudaException(string message) : Exception(message);
