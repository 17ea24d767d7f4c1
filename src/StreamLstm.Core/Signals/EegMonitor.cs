using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Signals;

/// <summary>One window of an electroencephalogram.</summary>
/// <param name="Sample">Index of its last input sample.</param>
/// <param name="Alpha">Mean over the channels of log power of 8 to 13 Hz, with outlying samples bounded.</param>
/// <param name="Rhythm">Alpha's share: log power of 8 to 13 Hz less that of 13 to 30 Hz, mean over the channels.</param>
/// <param name="Change">How far the band powers of the last seconds are from those of the half minute before; 1 = threshold, 0 while unknown.</param>
public readonly record struct EegWindow(long Sample, float Alpha, float Rhythm, float Change);

/// <summary>
/// Band powers of an electroencephalogram in windows of half a second: theta 4 to 8, alpha 8 to 13, beta 13 to 30 Hz, each a Butterworth
/// band pass and a one-second exponential mean of squares; a square counts at most nine times the band's mean over ten seconds, so that blinks and electrode pops
/// don't drown the rhythm. The change score is the root mean square over channels and bands of (recent median − earlier
/// median)/deviation. All state is <see cref="Numbers"/> and <see cref="Words"/>, of constant size.
/// </summary>
public sealed class EegMonitor
{
    /// <summary>Hz.</summary>
    public const double LowestRate = 100;

    /// <summary>Hz.</summary>
    public const double HighestRate = 1024;

    public const int MostChannels = 64;

    private const int Bands = 3;
    private const double WindowSeconds = 0.5;
    private const double PowerSeconds = 1;
    private const double UsualSeconds = 10;
    private const double MostPower = 9;
    private const int RecentWindows = 6;
    private const int HistoryWindows = 60;
    private const float DeviationFloor = 0.2f;
    private const float MostDeviation = 6;
    private const float Threshold = 2;

    private const int PerBand = 6;
    private const int PerChannel = 3 + (Bands * PerBand);

    private readonly int _channels;
    private readonly int _hop;
    private readonly double _powerGain;
    private readonly double _usualGain;
    private readonly (Biquad Low, Biquad High)[] _bands;
    private readonly double[] _numbers;
    private readonly float[] _words;
    private readonly float[] _scratch = new float[HistoryWindows];

    /// <param name="rate">Samples per second and channel.</param>
    public EegMonitor(double rate, int channels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rate, LowestRate);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rate, HighestRate);
        ArgumentOutOfRangeException.ThrowIfLessThan(channels, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(channels, MostChannels);
        _channels = channels;
        _hop = (int)Math.Round(WindowSeconds * rate);
        _powerGain = 1 / (PowerSeconds * rate);
        _usualGain = 1 / (UsualSeconds * rate);
        _bands = [(Biquad.LowPass(8, rate), Biquad.HighPass(4, rate)), (Biquad.LowPass(13, rate), Biquad.HighPass(8, rate)), (Biquad.LowPass(30, rate), Biquad.HighPass(13, rate))];
        _numbers = new double[1 + (channels * PerChannel)];
        _words = new float[channels * Bands * RobustWindow.Length(HistoryWindows)];
    }

    /// <summary>Half of the durable state.</summary>
    public Span<double> Numbers => _numbers;

    /// <summary>The other half.</summary>
    public Span<float> Words => _words;

    /// <summary>Takes one sample of every channel.</summary>
    /// <param name="values">[channels]; NaN = missing, the last value is held.</param>
    /// <returns>The window this sample completes, or null.</returns>
    public EegWindow? Push(ReadOnlySpan<double> values)
    {
        var n = (long)_numbers[0]++;
        for (var c = 0; c < _channels; c++)
        {
            var s = _numbers.AsSpan(1 + (c * PerChannel), PerChannel);
            if (double.IsFinite(values[c]))
            {
                // The first value is the origin, so that an offset doesn't ring through the filters.
                if (s[2] == 0)
                {
                    s[2] = 1;
                    s[1] = values[c];
                }

                s[0] = values[c] - s[1];
            }

            for (var b = 0; b < Bands; b++)
            {
                var band = s.Slice(3 + (b * PerBand), PerBand);
                var x = _bands[b].High.Step(_bands[b].Low.Step(s[0], band[..2]), band.Slice(2, 2));
                var square = x * x;
                var gain = Math.Max(_usualGain, 1d / (n + 1));
                if (n * _usualGain > 0.2)
                    square = Math.Min(square, MostPower * band[5]);
                band[4] += Math.Max(_powerGain, 1d / (n + 1)) * (square - band[4]);
                band[5] += gain * (square - band[5]);
            }
        }

        return (n + 1) % _hop == 0 ? Window(n) : null;
    }

    private EegWindow Window(long n)
    {
        float alpha = 0, beta = 0, sum = 0;
        var known = true;
        for (var c = 0; c < _channels; c++)
        {
            for (var b = 0; b < Bands; b++)
            {
                var history = _words.AsSpan(((c * Bands) + b) * RobustWindow.Length(HistoryWindows), RobustWindow.Length(HistoryWindows));
                var power = Elementary.Log((float)Math.Max(_numbers[1 + (c * PerChannel) + 3 + (b * PerBand) + 4], 1e-20));
                if (b == 1)
                    alpha += power;
                else if (b == 2)
                    beta += power;
                RobustWindow.Push(history, power);
                known &= RobustWindow.Count(history) == HistoryWindows;
                var (usual, deviation) = RobustWindow.Describe(history, HistoryWindows, _scratch);
                var recent = RobustWindow.Describe(history, RecentWindows, _scratch).Median;
                var z = Math.Clamp((recent - usual) / (deviation + DeviationFloor), -MostDeviation, MostDeviation);
                sum += z * z;
            }
        }

        return new EegWindow(n, alpha / _channels, (alpha - beta) / _channels, known ? MathF.Sqrt(sum / (_channels * Bands)) / Threshold : 0);
    }
}
