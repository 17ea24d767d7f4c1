using System.Diagnostics.Metrics;

namespace StreamLstm.Benchmarks;

/// <summary>All that the engine's histograms were told, in milliseconds.</summary>
internal sealed class Durations : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly Dictionary<string, List<double>> _values = [];

    public Durations(Meters meters)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument is Histogram<double> && meters.Owns(instrument.Meter))
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<double>((instrument, value, _, _) =>
        {
            lock (_values)
            {
                if (!_values.TryGetValue(instrument.Name, out var list))
                    _values.Add(instrument.Name, list = []);
                list.Add(1000 * value);
            }
        });
        _listener.Start();
    }

    public double[] Of(string instrument)
    {
        lock (_values)
            return _values.TryGetValue(instrument, out var list) ? [.. list.Order()] : [];
    }

    public void Dispose() => _listener.Dispose();
}
