using TinyDpo.Kernels;

namespace TinyDpo.Tensors;

public sealed partial class Tensor
{
    public static Tensor operator +(Tensor a, Tensor b) => new BinaryOp(BinaryFunction.Add, a, b).Apply();

    public static Tensor operator -(Tensor a, Tensor b) => new BinaryOp(BinaryFunction.Subtract, a, b).Apply();

    public static Tensor operator *(Tensor a, Tensor b) => new BinaryOp(BinaryFunction.Multiply, a, b).Apply();

    public static Tensor operator /(Tensor a, Tensor b) => new BinaryOp(BinaryFunction.Divide, a, b).Apply();

    public static Tensor operator -(Tensor x) => new UnaryOp(UnaryFunction.Negate, x).Apply();

    public static Tensor operator *(double scale, Tensor x) => new AffineOp(x, (Real)scale, 0).Apply();

    public static Tensor operator *(Tensor x, double scale) => scale * x;

    public static Tensor operator /(Tensor x, double divisor) => (1 / divisor) * x;

    public static Tensor operator +(Tensor x, double shift) => new AffineOp(x, 1, (Real)shift).Apply();

    public static Tensor operator -(Tensor x, double shift) => x + (-shift);

    public static Tensor operator -(double shift, Tensor x) => new AffineOp(x, -1, (Real)shift).Apply();

    /// <summary>The sum of all elements, a scalar.</summary>
    public Tensor Sum() => new SumOp(this, 1).Apply();

    /// <summary>The mean of all elements, a scalar.</summary>
    public Tensor Mean() => new SumOp(this, 1 / (Real)Shape.Count).Apply();

    /// <summary>The elements [from, from + length) of a vector, or of a matrix with one column.</summary>
    public Tensor Slice(int from, int length) => new SliceOp(this, from, length).Apply();
}
