namespace StreamLstm.Core.Signals;

/// <summary>A second-order Butterworth high-pass and low-pass in a row, with its state; begins at its first value.</summary>
public sealed class BandFilter(double low, double high, double rate)
{
    private readonly Biquad _high = Biquad.HighPass(low, rate);
    private readonly Biquad _low = Biquad.LowPass(high, rate);
    private readonly double[] _state = new double[4];
    private double _origin = double.NaN;

    public double Step(double x)
    {
        if (double.IsNaN(_origin))
            _origin = x;
        return _low.Step(_high.Step(x - _origin, _state.AsSpan(0, 2)), _state.AsSpan(2, 2));
    }
}
