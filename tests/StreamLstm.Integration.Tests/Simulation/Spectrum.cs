using System.Numerics;

namespace StreamLstm.Integration.Tests.Simulation;

/// <summary>Power spectral density after Welch (1967): Hann windows that overlap by half, one-sided, in units² per Hz.</summary>
internal sealed class Spectrum
{
    private readonly double[] _density;
    private readonly double _step;

    /// <param name="window">Samples per window, a power of 2.</param>
    public Spectrum(IReadOnlyList<double> x, double rate, int window)
    {
        Assert.True(BitOperations.IsPow2(window) && x.Count >= window);
        (_density, _step) = (new double[(window / 2) + 1], rate / window);
        double[] hann = [.. Enumerable.Range(0, window).Select(i => 0.5 - (0.5 * Math.Cos(2 * Math.PI * i / window)))];
        double norm = rate * hann.Sum(w => w * w);
        int count = 0;
        for (int from = 0; from + window <= x.Count; from += window / 2, count++)
        {
            double mean = Enumerable.Range(from, window).Average(i => x[i]);
            Complex[] values = [.. Enumerable.Range(0, window).Select(i => new Complex((x[from + i] - mean) * hann[i], 0))];
            Transform(values);
            for (int k = 0; k < _density.Length; k++)
            {
                _density[k] += (k == 0 || k == window / 2 ? 1 : 2) * values[k].Magnitude * values[k].Magnitude / norm;
            }
        }

        for (int k = 0; k < _density.Length; k++)
        {
            _density[k] /= count;
        }
    }

    public double Power(double from, double to) => Bins(from, to).Sum(k => _density[k]) * _step;

    public double Peak(double from, double to) => Bins(from, to).MaxBy(k => _density[k]) * _step;

    /// <summary>Slope of log density over log frequency by least squares, leaving out a band.</summary>
    public double Slope(double from, double to, double withoutFrom, double withoutTo)
    {
        (double X, double Y)[] points = [.. Bins(from, to).Where(k => k * _step < withoutFrom || k * _step > withoutTo).Select(k => (Math.Log(k * _step), Math.Log(_density[k])))];
        (double mx, double my) = (points.Average(p => p.X), points.Average(p => p.Y));
        return points.Sum(p => (p.X - mx) * (p.Y - my)) / points.Sum(p => (p.X - mx) * (p.X - mx));
    }

    private IEnumerable<int> Bins(double from, double to) =>
        Enumerable.Range(1, _density.Length - 1).Where(k => k * _step >= from && k * _step < to);

    private static void Transform(Complex[] x)
    {
        if (x.Length == 1)
        {
            return;
        }

        Complex[] even = [.. x.Where((_, i) => i % 2 == 0)], odd = [.. x.Where((_, i) => i % 2 == 1)];
        Transform(even);
        Transform(odd);
        for (int k = 0; k < even.Length; k++)
        {
            Complex turned = Complex.FromPolarCoordinates(1, -2 * Math.PI * k / x.Length) * odd[k];
            (x[k], x[k + even.Length]) = (even[k] + turned, even[k] - turned);
        }
    }
}
