namespace TinyDpo.Tensors;

/// <summary>Clipping by the global norm (Pascanu et al. 2013), as PyTorch's clip_grad_norm_.</summary>
public static class GradientClipping
{
    /// <summary>The factor that brings a gradient of this norm to at most <paramref name="maxNorm"/>; 0 or less means no clipping.</summary>
    public static double Scale(double norm, double maxNorm) => maxNorm > 0 && norm > maxNorm ? maxNorm / (norm + 1e-6) : 1;
}
