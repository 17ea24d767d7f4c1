namespace StreamLstm.Core.Signals;

/// <summary>
/// Second-order Butterworth section by the bilinear transform, direct form II transposed (Oppenheim and Schafer, Discrete-Time Signal
/// Processing, §6.4 and §7.2). Holds coefficients only; its state is two numbers of the caller's.
/// </summary>
internal readonly struct Biquad
{
    private readonly double _b0;
    private readonly double _b1;
    private readonly double _b2;
    private readonly double _a1;
    private readonly double _a2;

    private Biquad(double b0, double b1, double b2, double a1, double a2)
    {
        _b0 = b0;
        _b1 = b1;
        _b2 = b2;
        _a1 = a1;
        _a2 = a2;
    }

    /// <param name="cutoff">-3 dB frequency, Hz.</param>
    /// <param name="rate">Samples per second.</param>
    public static Biquad LowPass(double cutoff, double rate)
    {
        var (w, a0, a1, a2) = Denominator(cutoff, rate);
        return new(w * w / a0, 2 * w * w / a0, w * w / a0, a1 / a0, a2 / a0);
    }

    /// <inheritdoc cref="LowPass"/>
    public static Biquad HighPass(double cutoff, double rate)
    {
        var (_, a0, a1, a2) = Denominator(cutoff, rate);
        return new(1 / a0, -2 / a0, 1 / a0, a1 / a0, a2 / a0);
    }

    /// <param name="x">Next input.</param>
    /// <param name="state">[2], zero before the first sample.</param>
    public double Step(double x, Span<double> state)
    {
        var y = (_b0 * x) + state[0];
        state[0] = (_b1 * x) - (_a1 * y) + state[1];
        state[1] = (_b2 * x) - (_a2 * y);
        return y;
    }

    private static (double W, double A0, double A1, double A2) Denominator(double cutoff, double rate)
    {
        // tan by its sine and cosine, which Elementary defines the same on every machine; rate / 2 is half a turn.
        var (sin, cos) = Numerics.Elementary.SinCosTurns((float)(cutoff / rate / 2));
        var w = (double)sin / cos;
        return (w, 1 + (Math.Sqrt(2) * w) + (w * w), 2 * ((w * w) - 1), 1 - (Math.Sqrt(2) * w) + (w * w));
    }
}
