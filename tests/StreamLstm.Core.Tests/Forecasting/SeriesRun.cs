using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Forecasting;

/// <summary>One series through <see cref="SeriesModel"/> frame by frame, as a shard does it, with every score and forecast kept.</summary>
internal sealed class SeriesRun
{
    private readonly SeriesModel _model;
    private readonly LstmWorkspace? _network;
    private readonly float[] _inputs;
    private readonly float[] _outputs;
    private readonly List<double> _values = [];
    private long _frame;

    public SeriesRun(SeriesModel model, bool network = false)
    {
        _model = model;
        var plan = model.Plan;
        _inputs = new float[plan.Inputs];
        _outputs = new float[plan.Horizon];
        if (network)
            _network = new LstmWorkspace(LstmForecasterWeights.Create(new LstmForecasterShape(plan.Inputs, plan.Hidden, plan.Horizon), 5));
        Record = new float[plan.RecordWords];
        model.Initialise(Record);
    }

    public float[] Record { get; }

    public ForecastPlan Plan => _model.Plan;

    public SkillSums? Skill { get; set; }

    /// <summary>What covariates contribute to the next frame.</summary>
    public float[] Covariates { get; set; } = [];

    public List<FrameScore> Scores { get; } = [];

    /// <summary>[K, Q] each.</summary>
    public List<float[]> Forecasts { get; } = [];

    /// <summary>The frame to come next.</summary>
    public long Frame => _frame;

    public FramePhase Phase(long frame) => new(Plan.DayFrames > 0 ? (int)(frame % Plan.DayFrames) : 0, Plan.WeekFrames > 0 ? (int)(frame % Plan.WeekFrames) : 0);

    public SeriesRun Add(params IEnumerable<double> values)
    {
        foreach (var value in values)
            Step(value);
        return this;
    }

    public FrameScore Step(double value)
    {
        _values.Add(value);
        var phase = Phase(_frame++);
        var score = _model.Observe(Record, value, phase, Skill);
        _model.WriteInputs(Record, phase, double.IsNaN(value), Covariates, _inputs);
        if (_network is not null)
            VectorKernel.Step(_network, _inputs, _model.HiddenState(Record), _model.CellState(Record), _outputs, 1);
        var forecast = new float[Plan.Horizon * Plan.Quantiles.Length];
        _model.Issue(Record, phase, _network is null ? default : _outputs, forecast);
        Scores.Add(score);
        Forecasts.Add(forecast);
        return score;
    }

    public void Bridge(long frames)
    {
        _model.Bridge(Record, frames, _frame, Phase);
        _frame += frames;
    }

    public float Median(int issued, int h) => Forecasts[issued][((h - 1) * Plan.Quantiles.Length) + Plan.MedianIndex];

    public void AssertSane()
    {
        var q = Plan.Quantiles.Length;
        var (least, most) = (double.MaxValue, double.MinValue);
        for (var t = 0; t < Forecasts.Count; t++)
        {
            var forecast = Forecasts[t];
            if (!double.IsNaN(_values[t]))
                (least, most) = (Math.Min(least, _values[t]), Math.Max(most, _values[t]));
            for (var i = 0; i < forecast.Length; i++)
            {
                Assert.True(float.IsFinite(forecast[i]), $"A forecast is {forecast[i]}.");
                Assert.True(i % q == 0 || forecast[i] >= forecast[i - 1], "Quantiles cross.");
            }

            // Bands have a width, and one that has to do with what the series has shown.
            for (var i = 0; i < forecast.Length && least <= most; i += q)
            {
                var width = (double)forecast[i + q - 1] - forecast[i];
                var magnitude = Math.Max(Math.Abs(least), Math.Abs(most));
                Assert.True(width > 0, $"The band of {forecast[i]} has no width at frame {t}.");
                Assert.True(width < (100 * (most - least)) + (2 * magnitude) + 1e-6, $"The band {forecast[i]} … {forecast[i + q - 1]} at frame {t} is wider than anything the series has shown ({least} … {most}).");
            }
        }

        foreach (var score in Scores)
        {
            Assert.True(float.IsFinite(score.Score) && score.Score >= 0, $"A score is {score.Score}.");
            Assert.True(double.IsFinite(score.Expected) && score.Lower <= score.Expected && score.Expected <= score.Upper, $"Bounds are {score.Lower}, {score.Expected}, {score.Upper}.");
        }
    }

    public static ForecastPlan Plan96(int horizon = 16, bool linear = false) => new(96, 672, horizon, 4, [0.05, 0.5, 0.95], 1e-3, linear);

    /// <summary>A daily cycle with a weekly one and noise of standard deviation 1 around 100.</summary>
    public static double[] Seasonal(int frames, int day, ulong seed, double noise = 1)
    {
        var random = new CounterRandom(seed);
        return [.. Enumerable.Range(0, frames).Select(t =>
        {
            var gaussian = Enumerable.Range(0, 12).Sum(i => random.Unit((ulong)((t * 12) + i))) - 6;
            var weekend = t % (7 * day) >= 5 * day ? 0.7 : 1;
            return 100 + (weekend * 10 * Math.Sin(2 * Math.PI * t / day)) + (3 * Math.Cos(4 * Math.PI * t / day)) + (noise * gaussian);
        })];
    }

    public static double[] Noise(int frames, ulong seed) => [.. Seasonal(frames, 96, seed).Zip(Seasonal(frames, 96, seed, 0), (a, b) => a - b)];
}
