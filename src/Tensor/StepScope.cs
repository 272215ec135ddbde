using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

/// <summary>
/// The lifetime of a step: every tensor made inside goes back to the pool when it ends. Scopes nest; a tensor belongs to the innermost.
/// With <c>gradients: false</c> no op inside keeps anything for a backward pass.
/// </summary>
public sealed class StepScope(IBackend backend, bool gradients = true) : MemoryScope(backend)
{
    private readonly bool _gradients = gradients;

    /// <summary>Whether ops record what backward needs: an inner scope cannot turn on what an outer one turned off.</summary>
    public bool Gradients => _gradients && (Nearest(Parent)?.Gradients ?? true);

    /// <summary>Lets a tensor of this scope live as long as the scope around it.</summary>
    public void MoveToParent(Tensor tensor) => MoveToParent(tensor.Data);

    /// <summary>Whether ops that run now on this backend record for a backward pass.</summary>
    public static bool RecordsGradients(IBackend backend) => Nearest(backend.Memory.Current)?.Gradients ?? true;

    private static StepScope? Nearest(MemoryScope? scope)
    {
        while (scope is not null and not StepScope)
        {
            scope = scope.Parent;
        }
        return scope as StepScope;
    }
}
