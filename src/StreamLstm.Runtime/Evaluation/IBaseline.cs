using StreamLstm.Core.Forecasting;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>
/// A forecaster to compare with. It is told each frame once, in order, and asked for its forecast in between: whatever it answers can
/// only rest on frames up to the origin.
/// </summary>
internal interface IBaseline
{
    string Name { get; }

    /// <param name="frame">Ascending; frames may be left out.</param>
    /// <param name="phase">Where the frame lies in the local day and week.</param>
    /// <param name="value">NaN if it is missing.</param>
    void Observe(long frame, FramePhase phase, double value);

    /// <summary>Called once, before the first forecast is asked for: the time to fit parameters.</summary>
    void EndWarmUp()
    {
    }

    /// <param name="path">Receives the forecast [K] issued after the last observed frame; NaN where there is none.</param>
    void Forecast(Span<float> path);
}

internal static class Baselines
{
    /// <summary>
    /// All that suit the profile. Without a daily season that is the last value and the linear one.
    /// </summary>
    /// <param name="dayFrames">m1, or 0.</param>
    /// <param name="horizon">K.</param>
    public static IBaseline[] For(int dayFrames, int horizon) => dayFrames > 0
        ? [
            new NaiveBaseline(SeriesEvaluation.Last, 0, horizon),
            new NaiveBaseline(SeriesEvaluation.Day, dayFrames, horizon),
            new NaiveBaseline(SeriesEvaluation.Week, 7 * dayFrames, horizon),
            new HoltWintersBaseline(dayFrames, horizon),
            new LinearBaseline(dayFrames, horizon),
        ]
        : [new NaiveBaseline(SeriesEvaluation.Last, 0, horizon), new LinearBaseline(0, horizon)];
}

/// <summary>The newest values by frame, in a ring.</summary>
internal sealed class FrameRing
{
    private readonly double[] _values;
    private readonly long[] _frames;

    public FrameRing(int capacity)
    {
        _values = new double[capacity];
        _frames = new long[capacity];
        Array.Fill(_frames, long.MinValue);
    }

    public void Put(long frame, double value)
    {
        var slot = Slot(frame);
        _frames[slot] = frame;
        _values[slot] = value;
    }

    /// <summary>NaN if the frame isn't known or has been overwritten.</summary>
    public double Get(long frame)
    {
        var slot = Slot(frame);
        return _frames[slot] == frame ? _values[slot] : double.NaN;
    }

    private int Slot(long frame) => (int)(((frame % _values.Length) + _values.Length) % _values.Length);
}

/// <summary>
/// The value a whole number of seasons before the target, as late as is known at the origin. Where that frame is missing, up to three
/// seasons further back; then the same a day before (for longer seasons); then the last known value. Season 0: the last known value.
/// </summary>
internal sealed class NaiveBaseline(string name, int season, int horizon) : IBaseline
{
    private readonly FrameRing _history = new(season == 0 ? 1 : (((horizon / season) + 5) * season) + 1);
    private long _frame;
    private double _last = double.NaN;

    public string Name => name;

    public void Observe(long frame, FramePhase phase, double value)
    {
        _frame = frame;
        if (double.IsNaN(value))
            return;
        _last = value;
        _history.Put(frame, value);
    }

    public void Forecast(Span<float> path)
    {
        for (var h = 1; h <= path.Length; h++)
        {
            var value = Seasonal(h, season);
            if (double.IsNaN(value) && season > 0 && season % 7 == 0)
                value = Seasonal(h, season / 7);
            path[h - 1] = (float)(double.IsNaN(value) ? _last : value);
        }
    }

    private double Seasonal(int h, int period)
    {
        if (period == 0)
            return _last;
        var target = _frame + h - ((long)((h + period - 1) / period) * period);
        for (var i = 0; i < 4; i++, target -= period)
        {
            if (_history.Get(target) is var value && !double.IsNaN(value))
                return value;
        }

        return double.NaN;
    }
}
