using System.Text;

namespace TinyDpo.Simulator;

/// <summary>CUresult: the codes that the simulator returns, with CUDA's names and texts (cuda.h).</summary>
internal static class CudaResult
{
    public const int Success = 0;
    public const int InvalidValue = 1;
    public const int OutOfMemory = 2;
    public const int NotInitialized = 3;
    public const int InvalidDevice = 101;
    public const int InvalidContext = 201;
    public const int NoBinaryForGpu = 209;
    public const int InvalidPtx = 218;
    public const int UnsupportedPtxVersion = 222;
    public const int InvalidHandle = 400;
    public const int NotFound = 500;
    public const int NotReady = 600;
    public const int LaunchOutOfResources = 701;
    public const int ContextIsDestroyed = 709;
    public const int LaunchFailed = 719;

    private static readonly Dictionary<int, (byte[] Name, byte[] Text)> s_names = new()
    {
        [Success] = Utf8("CUDA_SUCCESS", "no error"),
        [InvalidValue] = Utf8("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
        [OutOfMemory] = Utf8("CUDA_ERROR_OUT_OF_MEMORY", "out of memory"),
        [NotInitialized] = Utf8("CUDA_ERROR_NOT_INITIALIZED", "initialization error"),
        [InvalidDevice] = Utf8("CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"),
        [InvalidContext] = Utf8("CUDA_ERROR_INVALID_CONTEXT", "invalid device context"),
        [NoBinaryForGpu] = Utf8("CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"),
        [InvalidPtx] = Utf8("CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"),
        [UnsupportedPtxVersion] = Utf8("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."),
        [InvalidHandle] = Utf8("CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"),
        [NotFound] = Utf8("CUDA_ERROR_NOT_FOUND", "named symbol not found"),
        [NotReady] = Utf8("CUDA_ERROR_NOT_READY", "device not ready"),
        [LaunchOutOfResources] = Utf8("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"),
        [ContextIsDestroyed] = Utf8("CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"),
        [LaunchFailed] = Utf8("CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"),
    };

    /// <summary>A code's name and text, each UTF-8 with its NUL in memory that does not move; null for a code that CUDA does not have.</summary>
    public static (byte[] Name, byte[] Text)? Describe(int code) => s_names.TryGetValue(code, out var names) ? names : null;

    private static (byte[] Name, byte[] Text) Utf8(string name, string text) => (Pinned(name), Pinned(text));

    private static byte[] Pinned(string text)
    {
        var bytes = GC.AllocateArray<byte>(Encoding.UTF8.GetByteCount(text) + 1, pinned: true);
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }
}

/// <summary>cublasStatus_t.</summary>
internal static class BlasStatus
{
    public const int Success = 0;
    public const int NotInitialized = 1;
    public const int InvalidValue = 7;
    public const int ExecutionFailed = 13;
}
