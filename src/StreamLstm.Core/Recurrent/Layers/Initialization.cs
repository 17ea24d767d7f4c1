using System.Numerics;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent.Layers;

/// <summary>Initial parameters. Drawn in single precision whatever T, so that float and double networks of one seed agree.</summary>
internal static class Initialization
{
    public static void Fill<T>(NetworkOptions options, ParameterLayout layout, ulong seed, Span<T> parameters)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        ulong stream = 0;
        for (var l = 0; l < layout.Layers.Length; l++)
        {
            var (layer, slots) = (options.Layers[l], layout.Layers[l]);
            Draw(slots.WeightIh, layer.KernelInitializer, parameters);
            Draw(slots.WeightHh, layer.RecurrentInitializer, parameters);
            foreach (var bias in new[] { slots.Bias, slots.RecurrentBias })
            {
                if (bias is { } view)
                {
                    Draw(view, layer.BiasInitializer, parameters);
                }
            }

            foreach (var peephole in new[] { slots.PeepholeI, slots.PeepholeF, slots.PeepholeO })
            {
                if (peephole is { } view)
                {
                    Draw(view, layer.KernelInitializer == Initializer.Zeros ? Initializer.Zeros : Initializer.GlorotUniform, parameters);
                }
            }

            if (layer is { Cell: CellKind.Lstm, UnitForgetBias: true } && slots.Bias is { } forget)
            {
                for (var u = 0; u < layer.Units; u++)
                {
                    parameters[forget.Offset + layer.Units + u] += T.One;
                }
            }
        }

        Draw(layout.HeadWeight, Initializer.GlorotUniform, parameters);

        void Draw(ParameterView view, Initializer initializer, Span<T> target)
        {
            var random = new CounterRandom(seed, stream++);
            var values = target.Slice(view.Offset, view.Length);
            switch (initializer)
            {
                case Initializer.GlorotUniform:
                    var limit = MathF.Sqrt(6f / (view.Rows + view.Columns));
                    for (var i = 0; i < values.Length; i++)
                    {
                        values[i] = T.CreateChecked(limit * ((2f * random.Unit((ulong)i)) - 1f));
                    }

                    break;
                case Initializer.Orthogonal:
                    var matrix = Orthogonal(view.Rows, view.Columns, random);
                    for (var i = 0; i < values.Length; i++)
                    {
                        values[i] = T.CreateChecked(matrix[i]);
                    }

                    break;
                default:
                    values.Clear();
                    break;
            }
        }
    }

    /// <summary>[rows, columns] with orthonormal vectors along the shorter dimension, uniformly distributed among those.</summary>
    private static float[] Orthogonal(int rows, int columns, CounterRandom random)
    {
        // Gram-Schmidt on normally distributed vectors, made orthogonal twice because once loses digits (Giraud et al. 2005).
        var (count, length) = rows >= columns ? (columns, rows) : (rows, columns);
        var vectors = new double[count][];
        ulong counter = 0;
        for (var v = 0; v < count; v++)
        {
            var vector = new double[length];
            double norm;
            do
            {
                for (var i = 0; i < length; i++)
                {
                    vector[i] = Normal(random, ref counter);
                }

                for (var pass = 0; pass < 2; pass++)
                {
                    for (var earlier = 0; earlier < v; earlier++)
                    {
                        var dot = Dot(vector, vectors[earlier]);
                        for (var i = 0; i < length; i++)
                        {
                            vector[i] -= dot * vectors[earlier][i];
                        }
                    }
                }

                norm = Math.Sqrt(Dot(vector, vector));
            }
            while (norm < 1e-3);

            for (var i = 0; i < length; i++)
            {
                vector[i] /= norm;
            }

            vectors[v] = vector;
        }

        var matrix = new float[rows * columns];
        for (var row = 0; row < rows; row++)
        {
            for (var column = 0; column < columns; column++)
            {
                matrix[(row * columns) + column] = (float)(rows >= columns ? vectors[column][row] : vectors[row][column]);
            }
        }

        return matrix;
    }

    private static double Dot(double[] a, double[] b)
    {
        var sum = 0.0;
        for (var i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    /// <summary>Box, Muller 1958, on functions that have the same bits everywhere.</summary>
    private static double Normal(CounterRandom random, ref ulong counter)
    {
        var radius = Math.Sqrt(-2.0 * Elementary.Log(1f - random.Unit(counter++)));
        return radius * Elementary.SinCosTurns(random.Unit(counter++)).Cos;
    }
}
