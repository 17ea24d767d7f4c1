namespace StreamLstm.Runtime.Evaluation;

/// <summary>Minimises a function of a few variables without derivatives (Nelder and Mead 1965, with the usual coefficients 1, 2, ½, ½).</summary>
internal static class NelderMead
{
    /// <param name="function">May return NaN or infinity where it isn't defined.</param>
    /// <param name="start">First corner of the simplex [n]; the others are one step along each axis from it.</param>
    /// <param name="tolerance">Ends when the simplex's values differ by less than this.</param>
    public static double[] Minimise(Func<double[], double> function, double[] start, double step, int maxEvaluations, double tolerance)
    {
        var n = start.Length;
        var points = new double[n + 1][];
        var values = new double[n + 1];
        var evaluations = 0;
        for (var i = 0; i <= n; i++)
        {
            points[i] = (double[])start.Clone();
            if (i > 0)
                points[i][i - 1] += step;
            values[i] = Evaluate(points[i]);
        }

        while (evaluations < maxEvaluations)
        {
            Array.Sort(values, points);
            if (values[n] - values[0] < tolerance)
                break;
            var centroid = new double[n];
            for (var i = 0; i < n; i++)
            {
                for (var j = 0; j < n; j++)
                    centroid[j] += points[i][j] / n;
            }

            var reflected = Along(-1);
            var reflectedValue = Evaluate(reflected);
            if (reflectedValue < values[0])
            {
                var expanded = Along(-2);
                var expandedValue = Evaluate(expanded);
                Replace(expandedValue < reflectedValue ? expanded : reflected, Math.Min(expandedValue, reflectedValue));
            }
            else if (reflectedValue < values[n - 1])
            {
                Replace(reflected, reflectedValue);
            }
            else
            {
                var contracted = Along(reflectedValue < values[n] ? -0.5 : 0.5);
                var contractedValue = Evaluate(contracted);
                if (contractedValue < Math.Min(reflectedValue, values[n]))
                {
                    Replace(contracted, contractedValue);
                }
                else
                {
                    for (var i = 1; i <= n; i++)
                    {
                        for (var j = 0; j < n; j++)
                            points[i][j] = points[0][j] + (0.5 * (points[i][j] - points[0][j]));
                        values[i] = Evaluate(points[i]);
                    }
                }
            }

            double[] Along(double share)
            {
                var point = new double[n];
                for (var j = 0; j < n; j++)
                    point[j] = centroid[j] + (share * (points[n][j] - centroid[j]));
                return point;
            }

            void Replace(double[] point, double value)
            {
                points[n] = point;
                values[n] = value;
            }
        }

        Array.Sort(values, points);
        return points[0];

        double Evaluate(double[] point)
        {
            evaluations++;
            var value = function(point);
            return double.IsFinite(value) ? value : double.MaxValue;
        }
    }
}
