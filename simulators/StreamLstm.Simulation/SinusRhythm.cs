namespace StreamLstm.Simulation;

/// <summary>
/// Intervals of the sinus rhythm, whose power spectrum has two Gaussian peaks as in McSharry et al. 2003: .1 Hz (Mayer waves of the
/// blood pressure) and .25 Hz (breathing), each .01 Hz wide. The paper draws random phases for every frequency of an inverse Fourier
/// transform, which repeats itself; here the frequencies are random too, so that the sum of cosines can go on for ever.
/// </summary>
internal sealed class SinusRhythm
{
    private const double LowHz = 0.1, HighHz = 0.25, WidthHz = 0.01;
    private const int Cosines = 24;

    private readonly double _mean, _low, _high;
    private readonly double[] _hertz = new double[2 * Cosines], _phases = new double[2 * Cosines];

    /// <param name="mean">Mean interval in seconds.</param>
    /// <param name="deviation">Standard deviation in seconds.</param>
    /// <param name="ratio">Power of the low peak over that of the high one.</param>
    public SinusRhythm(CounterRandom random, double mean, double deviation, double ratio)
    {
        _mean = mean;
        _low = deviation * Math.Sqrt(ratio / (1 + ratio) * 2 / Cosines);
        _high = deviation * Math.Sqrt(1 / (1 + ratio) * 2 / Cosines);
        for (int i = 0; i < 2 * Cosines; i++)
        {
            _hertz[i] = (i < Cosines ? LowHz : HighHz) + (WidthHz * random.Normal(2 * i));
            _phases[i] = random.Uniform((2 * i) + 1, 0, 2 * Math.PI);
        }
    }

    public double Mean => _mean;

    /// <summary>The interval that begins at a time, in seconds.</summary>
    public double Interval(double seconds)
    {
        double sum = _mean;
        for (int i = 0; i < 2 * Cosines; i++)
        {
            sum += (i < Cosines ? _low : _high) * Math.Cos((2 * Math.PI * _hertz[i] * seconds) + _phases[i]);
        }

        return Math.Max(0.3, sum);
    }
}
