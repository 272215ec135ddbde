using TinyDpo.Kernels;

namespace TinyDpo.Dpo;

/// <summary>Where preference training has the reference's log-probs from: computed before it (<see cref="ReferenceLogProbs"/>), or of a model that moves.</summary>
public interface IReferenceSource
{
    /// <summary>What a checkpoint must hold of it.</summary>
    IReadOnlyList<(string Name, DeviceBuffer Values)> State => [];

    /// <summary>Those of some pairs, by their indices in the run.</summary>
    ReferenceLogProbs At(IReadOnlyList<int> batch);

    /// <summary>The policy has been updated so many times.</summary>
    void Updated(int steps)
    {
    }
}
