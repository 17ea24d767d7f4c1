namespace StreamLstm.Simulation;

/// <summary>
/// Stationary first-order autoregressive noise x[k] = φ·x[k−1] + ε[k] on knots in time, linear between knots, written as
/// its moving average Σ φ^j ε[k−j] cut off where φ^j falls below 2 %: so any moment can be asked for directly.
/// </summary>
internal sealed class CorrelatedNoise
{
    private readonly CounterRandom _random;
    private readonly double _knotSeconds;
    private readonly double[] _weights;

    public CorrelatedNoise(CounterRandom random, double knotSeconds, double phi)
    {
        _random = random;
        _knotSeconds = knotSeconds;
        int length = Math.Clamp((int)Math.Ceiling(Math.Log(0.02) / Math.Log(phi)), 1, 64);
        _weights = new double[length];
        double weight = Math.Sqrt(1 - (phi * phi));
        for (int j = 0; j < length; j++, weight *= phi)
        {
            _weights[j] = weight;
        }
    }

    /// <summary>Value at a moment in seconds since the Unix epoch; mean 0, variance close to 1.</summary>
    public double At(double seconds)
    {
        double position = seconds / _knotSeconds;
        double knot = Math.Floor(position);
        double fraction = position - knot;
        long next = (long)knot + 1;
        double[] weights = _weights;
        double previous = 0, sum = 0;
        for (int j = 0; j <= weights.Length; j++)
        {
            // Innovation next−j has age j seen from the next knot and age j−1 seen from the current one.
            double atNext = j < weights.Length ? weights[j] : 0;
            sum += ((fraction * atNext) + ((1 - fraction) * previous)) * _random.Normal(next - j);
            previous = atNext;
        }

        return sum;
    }
}
