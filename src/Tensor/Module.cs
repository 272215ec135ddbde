namespace TinyDpo.Tensors;

/// <summary>A part of a model that holds parameters.</summary>
public abstract class Module
{
    /// <summary>Every parameter with its full name, in a fixed order.</summary>
    public abstract IEnumerable<(string Name, Tensor Value)> Parameters();
}
