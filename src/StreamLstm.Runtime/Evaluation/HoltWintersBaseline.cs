using System.Runtime.InteropServices;
using StreamLstm.Core.Forecasting;

namespace StreamLstm.Runtime.Evaluation;

/// <summary>
/// Additive double-seasonal exponential smoothing with first-order error correction (Taylor 2003, 2010), day inside week:
/// e = y − l − D − W; l += αe; D += γe; W += ωe; ŷ(t+h) = l + D + W + φ^h e. The four parameters are fitted on the warm-up by
/// Nelder–Mead, minimising the mean log squared error at one step, a quarter, half and a whole day; levels start from its first two weeks.
/// </summary>
internal sealed class HoltWintersBaseline(int dayFrames, int horizon) : IBaseline
{
    /// <summary>Longest piece of the warm-up that is fitted on, so that a long file doesn't take minutes.</summary>
    private const int MostFrames = 20_000;

    private readonly List<Observation> _warmUp = [];
    private readonly int[] _fitSteps = [.. new[] { 1, dayFrames / 4, dayFrames / 2, dayFrames }.Select(h => Math.Clamp(h, 1, horizon)).Distinct()];
    private State? _state;
    private Parameters _parameters;
    private FramePhase _phase;
    private long _frame;

    public string Name => SeriesEvaluation.HoltWinters;

    /// <summary>What the fit found: α, γ, ω, φ.</summary>
    public (double Level, double Day, double Week, double Error) Fitted => (_parameters.Alpha, _parameters.Gamma, _parameters.Omega, _parameters.Phi);

    public void Observe(long frame, FramePhase phase, double value)
    {
        if (_state is null)
        {
            _warmUp.Add(new Observation(frame, phase, value));
            return;
        }

        _state.Step(_parameters, frame - _frame, phase, value);
        _frame = frame;
        _phase = phase;
    }

    public void EndWarmUp()
    {
        var all = CollectionsMarshal.AsSpan(_warmUp);
        var piece = (all.Length > MostFrames ? all[^MostFrames..] : all).ToArray();
        var logit = NelderMead.Minimise(p => Loss(piece, Parameters.Of(p)), [Logit(0.02), Logit(0.2), Logit(0.2), Logit(0.9)], 0.7, 240, 1e-4);
        _parameters = Parameters.Of(logit);
        _state = Start(piece, out _);
        for (var i = 0; i < piece.Length; i++)
            _state.Step(_parameters, i == 0 ? 1 : piece[i].Frame - piece[i - 1].Frame, piece[i].Phase, piece[i].Value);
        if (piece.Length > 0)
            (_frame, _phase) = (piece[^1].Frame, piece[^1].Phase);
        _warmUp.Clear();
        _warmUp.TrimExcess();
    }

    public void Forecast(Span<float> path)
    {
        var correction = _state!.Error;
        for (var h = 1; h <= path.Length; h++)
        {
            correction *= _parameters.Phi;
            path[h - 1] = (float)(_state.Usual(Later(_phase, h)) + correction);
        }
    }

    private double Loss(Observation[] piece, Parameters parameters)
    {
        var state = Start(piece, out var from);
        var squares = new double[_fitSteps.Length];
        var counts = new int[_fitSteps.Length];
        Span<double> powers = stackalloc double[_fitSteps.Length];
        for (var j = 0; j < powers.Length; j++)
            powers[j] = Math.Pow(parameters.Phi, _fitSteps[j]);
        for (var i = 0; i < piece.Length; i++)
        {
            state.Step(parameters, i == 0 ? 1 : piece[i].Frame - piece[i - 1].Frame, piece[i].Phase, piece[i].Value);
            if (i < from)
                continue;
            for (var j = 0; j < _fitSteps.Length; j++)
            {
                var h = _fitSteps[j];
                if (i + h >= piece.Length || piece[i + h].Frame != piece[i].Frame + h || double.IsNaN(piece[i + h].Value))
                    continue;
                var e = piece[i + h].Value - state.Usual(piece[i + h].Phase) - (powers[j] * state.Error);
                squares[j] += e * e;
                counts[j]++;
            }
        }

        var loss = 0.0;
        for (var j = 0; j < squares.Length; j++)
            loss += counts[j] > 0 ? Math.Log((squares[j] / counts[j]) + 1e-12) : 0;
        return loss / squares.Length;
    }

    /// <param name="from">First frame that is fair to judge: after those the start rests on, if that leaves as many.</param>
    private State Start(Observation[] piece, out int from)
    {
        var n = Math.Min(piece.Length, 14 * dayFrames);
        from = piece.Length >= 2 * n ? n : 0;
        var state = new State(dayFrames);
        var count = 0;
        for (var i = 0; i < n; i++)
        {
            if (double.IsNaN(piece[i].Value))
                continue;
            state.Level += piece[i].Value;
            count++;
        }

        state.Level = count > 0 ? state.Level / count : 0;
        Means(piece.AsSpan(0, n), state.Day, o => o.Phase.DayPhase, o => o.Value - state.Level);
        if (n >= 7 * dayFrames)
            Means(piece.AsSpan(0, n), state.Week, o => o.Phase.WeekPhase, o => o.Value - state.Level - state.Day[o.Phase.DayPhase]);
        return state;
    }

    private static void Means(ReadOnlySpan<Observation> piece, double[] table, Func<Observation, int> phase, Func<Observation, double> value)
    {
        var counts = new int[table.Length];
        foreach (var observation in piece)
        {
            if (double.IsNaN(observation.Value))
                continue;
            table[phase(observation)] += value(observation);
            counts[phase(observation)]++;
        }

        for (var i = 0; i < table.Length; i++)
            table[i] = counts[i] > 0 ? table[i] / counts[i] : 0;
    }

    private FramePhase Later(FramePhase phase, int h) => new((phase.DayPhase + h) % dayFrames, (phase.WeekPhase + h) % (7 * dayFrames));

    private static double Logit(double p) => Math.Log(p / (1 - p));

    private readonly record struct Observation(long Frame, FramePhase Phase, double Value);

    private readonly record struct Parameters(double Alpha, double Gamma, double Omega, double Phi)
    {
        public static Parameters Of(double[] logit) => new(Logistic(logit[0]), Logistic(logit[1]), Logistic(logit[2]), 0.999 * Logistic(logit[3]));

        private static double Logistic(double x) => 1 / (1 + Math.Exp(-x));
    }

    private sealed class State(int dayFrames)
    {
        public double Level { get; set; }

        public double Error { get; private set; }

        /// <summary>[m1].</summary>
        public double[] Day { get; } = new double[dayFrames];

        /// <summary>[7·m1].</summary>
        public double[] Week { get; } = new double[7 * dayFrames];

        public double Usual(FramePhase phase) => Level + Day[phase.DayPhase] + Week[phase.WeekPhase];

        public void Step(in Parameters p, long frames, FramePhase phase, double value)
        {
            if (double.IsNaN(value))
            {
                Error *= Math.Pow(p.Phi, frames);
                return;
            }

            var e = value - Usual(phase);
            Level += p.Alpha * e;
            Day[phase.DayPhase] += p.Gamma * e;
            Week[phase.WeekPhase] += p.Omega * e;
            Error = e;
        }
    }
}
