using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Learning;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Training;

/// <summary>
/// Trains the shared recurrent weights of one profile on the recent history of its streams: windows with a burn-in, targets that have
/// not arrived are masked, the forecast uses exponentially averaged weights. What a round does is a function of (state, history, seed).
/// Not thread-safe.
/// </summary>
internal sealed class ProfileTrainer
{
    private const int Sequences = 16;
    private const int FirstRoundSteps = 160;
    private const int RoundSteps = 16;
    private const int SecondPhaseRounds = 8;
    private const float TargetLimit = 8;
    private const long MaxHistoryBytes = 64 << 20;

    /// <summary>What a small fleet's history may grow to: a year and its turn.</summary>
    private const int LongestHistoryDays = 400;

    // One day's updates say little; the averaged weights span two months of them.
    private static readonly BpttOptions Options = new() { AverageDecay = 0.998f };

    private readonly ProfileRuntime _profile;
    private readonly ulong _seed;
    private readonly CounterRandom _random;
    private readonly int _burnIn;
    private readonly int _window;
    private readonly int _historyFrames;
    private readonly int _maxSeries;
    private readonly SortedDictionary<(string Stream, int Channel), History> _history = [];
    private readonly TrainingBatch _batch;
    private BpttTrainer? _trainer;
    private long _rows;
    private long _rowsAtRound;

    public ProfileTrainer(ProfileRuntime profile, ulong seed, byte[]? state)
    {
        _profile = profile;
        _seed = seed;
        _random = new CounterRandom(seed, 1);
        var day = profile.Plan.DayFrames > 0 ? profile.Plan.DayFrames : 64;
        _burnIn = Math.Clamp(day / 2, 16, 48);
        _window = 32;
        _historyFrames = HistoryFrames(profile.Plan);
        _maxSeries = MaxSeries(profile.Plan);
        _batch = new TrainingBatch(profile.Shape, _burnIn + _window, Sequences, _burnIn);
        if (state is not null)
        {
            var trainer = BpttTrainer.ImportState(state, Options);
            if (trainer.Shape == profile.Shape)
                _trainer = trainer;
        }
    }

    /// <summary>How many series fit into 64 MB with four weeks of history each.</summary>
    public static int MaxSeries(ForecastPlan plan) => (int)Math.Max(8, MaxHistoryBytes / (HistoryFrames(plan) * RowBytes(plan)));

    /// <summary>Rounds since the process began.</summary>
    public int Rounds { get; private set; }

    public float LastLoss { get; private set; } = float.NaN;

    public ProfileRuntime Profile => _profile;

    public void Add(in TrainingRow row)
    {
        var key = (row.Stream, row.Channel);
        if (!_history.TryGetValue(key, out var history))
        {
            // The sample has changed: the series that has been silent for longest makes room.
            if (_history.Count >= _maxSeries)
                _history.Remove(_history.MinBy(h => h.Value.Rows[^1].Frame).Key);
            _history.Add(key, history = new History());
        }

        if (history.Add(row, HistoryLimit()))
            _rows++;
    }

    /// <summary>An earlier process trained at this place in the history.</summary>
    public void RoundRestored()
    {
        _rowsAtRound = _rows;
        Rounds++;
    }

    /// <summary>About once a day of frames, and once as soon as there is enough to begin with.</summary>
    public bool IsDue
    {
        get
        {
            if (_history.Count == 0)
                return false;
            var day = Math.Max(_profile.Plan.DayFrames, 64);
            var perSeries = (_rows - _rowsAtRound) / _history.Count;
            return perSeries >= day && _rows / _history.Count >= Math.Max(2 * day, _burnIn + _window + _profile.Plan.Horizon);
        }
    }

    /// <summary>One round; returns new weights and the trainer's state, or null if there was nothing to learn from or training diverged.</summary>
    public (LstmForecasterWeights Weights, byte[] State)? Round(CancellationToken cancellationToken)
    {
        _rowsAtRound = _rows;
        _trainer ??= new BpttTrainer(LstmForecasterWeights.Create(_profile.Shape, _seed), Options);
        var ready = _history.Values.Where(h => h.Rows.Count > _burnIn + _window + 1).ToArray();
        if (ready.Length == 0)
            return null;
        var steps = _trainer.StepCount == 0 ? FirstRoundSteps : Rounds < SecondPhaseRounds ? 3 * RoundSteps : RoundSteps;
        for (var i = 0; i < steps; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Fill(ready, (ulong)_trainer.StepCount);
            // Warm rounds start high and settle at the online rate.
            var rate = _trainer.StepCount < FirstRoundSteps ? 2e-3f : Rounds < SecondPhaseRounds ? 1e-3f : 3e-4f;
            LastLoss = _trainer.Step(_batch, rate);
            if (_trainer.Outcome == TrainingOutcome.Diverged)
                return null;
        }

        Rounds++;
        return (_trainer.AveragedWeights, _trainer.ExportState());
    }

    /// <summary>What every series of the sample is sure to have: four weeks.</summary>
    private static int HistoryFrames(ForecastPlan plan) => Math.Clamp(28 * (plan.DayFrames > 0 ? plan.DayFrames : 64), 512, 8192);

    private static long RowBytes(ForecastPlan plan) => (plan.Inputs * 4) + (plan.Horizon * 2) + 48;

    private int HistoryLimit()
    {
        var plan = _profile.Plan;
        var longest = Math.Max(_historyFrames, LongestHistoryDays * plan.DayFrames);
        return (int)Math.Clamp(MaxHistoryBytes / (RowBytes(plan) * _history.Count), _historyFrames, longest);
    }

    private void Fill(History[] histories, ulong step)
    {
        _batch.Clear();
        var k = _profile.Plan.Horizon;
        var recentSpan = 14 * Math.Max(_profile.Plan.DayFrames, 64);
        for (var s = 0; s < Sequences; s++)
        {
            // Three draws per window, addressed by their place, so that a round can be repeated.
            var draw = ((step * Sequences) + (ulong)s) * 3;
            var rows = histories[_random.Below(histories.Length, draw)].Rows;
            var lowest = _burnIn + _window - 1;
            var span = rows.Count - lowest;
            // 30 % of the windows end in the last two weeks.
            if (_random.Below(10, draw + 1) < 3)
                span = Math.Min(span, recentSpan);
            var end = rows.Count - 1 - _random.Below(span, draw + 2);
            for (var t = 0; t < _burnIn + _window; t++)
            {
                var at = end - (_burnIn + _window) + 1 + t;
                var row = rows[at];
                row.Inputs.CopyTo(_batch.InputsAt(t, s));
                if (t < _burnIn || double.IsNaN(row.Value))
                    continue;
                var targets = _batch.TargetsAt(t, s);
                var mask = _batch.MaskAt(t, s);
                for (var h = 1; h <= k && at + h < rows.Count; h++)
                {
                    var target = rows[at + h];
                    // A gap in the history shifts the rows; only true distances count.
                    if (double.IsNaN(target.Value) || target.Frame != row.Frame + h)
                        continue;
                    targets[h - 1] = Math.Clamp((float)((target.Value - row.Value) / row.Scale) - (float)row.Base[h - 1], -TargetLimit, TargetLimit);
                    mask[h - 1] = 1;
                }
            }
        }
    }

    private sealed class History
    {
        public List<TrainingRow> Rows { get; } = [];

        /// <summary>False if late data has only changed a frame that was there.</summary>
        public bool Add(in TrainingRow row, int limit)
        {
            var i = Rows.Count;
            while (i > 0 && Rows[i - 1].Frame > row.Frame)
                i--;
            if (i > 0 && Rows[i - 1].Frame == row.Frame)
            {
                Rows[i - 1] = row;
                return false;
            }

            Rows.Insert(i, row);
            if (Rows.Count > limit + (limit / 8))
                Rows.RemoveRange(0, Rows.Count - limit);
            return true;
        }
    }
}
