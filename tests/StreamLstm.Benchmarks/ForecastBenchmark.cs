using System.Diagnostics;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Learning;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Benchmarks;

/// <summary>
/// What one frame of one stream costs on one core: score, calibrate, learn, network step, forecast of all quantiles; as a shard does it,
/// 64 streams at a time. Hourly frames with daily and weekly seasons, H = 32, K = 48, three quantiles. Every stream has the state of one
/// that has seen ten weeks, so all experts take part. Training has its own figures: an update of the shared weights, and how much longer
/// blocks take while a second thread trains without pause. Passes with and without it alternate in short slices, as a shared machine is
/// slower in one minute than in the next.
/// </summary>
internal static class ForecastBenchmark
{
    private const int Streams = 10_000;
    private const int Block = 64;
    private const int Hidden = 32;
    private const int WarmFrames = 24 * 70;
    private const int Slices = 8;

    public static ForecastReport Run(double seconds)
    {
        var rows = new List<ForecastCost>();
        foreach (var linear in new[] { false, true })
        {
            var fleet = new Fleet(new ForecastPlan(24, 168, 48, Hidden, [0.05, 0.5, 0.95], 1e-3, linear));
            using var training = new Training(fleet.Plan);
            var (quiet, busy) = fleet.Measure(seconds, training);
            rows.Add(new ForecastCost(linear ? "rich" : "lean", Streams, quiet.Microseconds, quiet.BytesPerFrame, quiet.P99, busy.P99, training.MicrosecondsPerUpdate));
        }

        var states = new List<StateSize>();
        foreach (var linear in new[] { false, true })
        {
            foreach (var horizon in new[] { 1, 4, 48 })
            {
                foreach (var (day, week) in new[] { (24, 168), (96, 0) })
                {
                    var plan = new ForecastPlan(day, week, horizon, Hidden, [0.05, 0.5, 0.95], 1e-3, linear);
                    states.Add(new StateSize(linear ? "rich" : "lean", day, week, horizon, plan.RecordWords * 4, plan.Components.ToDictionary(c => c.Component, c => c.Bytes)));
                }
            }
        }

        return new ForecastReport(Machine.Processor, rows, states);
    }

    private static double Value(int stream, long frame, CounterRandom random) =>
        100 + (10 * Math.Sin(2 * Math.PI * (frame % 24) / 24)) + random.Unit((ulong)((frame * 131) + stream)) + random.Unit((ulong)((frame * 131) + stream + 77));

    /// <summary>What blocks of one kind took.</summary>
    private sealed class Timing
    {
        public List<double> Blocks { get; } = new(1_000_000);

        public double Total { get; set; }

        public long Frames { get; set; }

        public long Allocated { get; set; }

        public double Microseconds => Total / Frames;

        public double BytesPerFrame => Allocated / (double)Frames;

        public double P99
        {
            get
            {
                Blocks.Sort();
                return Blocks[(int)(0.99 * Blocks.Count)];
            }
        }
    }

    private sealed class Fleet
    {
        private readonly SeriesModel _model;
        private readonly LstmWorkspace _network;
        private readonly SkillSums _skill;
        private readonly AlignedArray _records;
        private readonly double[] _values = new double[Block];
        private readonly CounterRandom _random = new(7);
        private readonly float[] _inputs;
        private readonly float[] _hidden = new float[Block * Hidden];
        private readonly float[] _cell = new float[Block * Hidden];
        private readonly float[] _outputs;
        private readonly float[] _forecast;
        private long _frame = WarmFrames;

        public Fleet(ForecastPlan plan)
        {
            Plan = plan;
            _model = new SeriesModel(plan);
            _skill = new SkillSums(plan.Knots.Length);
            _network = new LstmWorkspace(LstmForecasterWeights.Create(new LstmForecasterShape(plan.Inputs, Hidden, plan.Horizon), 3));
            _inputs = new float[Block * plan.Inputs];
            _outputs = new float[Block * plan.Horizon];
            _forecast = new float[plan.Horizon * plan.Quantiles.Length];

            // A few histories, each shared by many streams; their values differ from here on.
            var histories = Enumerable.Range(0, 8).Select(History).ToArray();
            _records = new AlignedArray(Streams * plan.RecordWords);
            for (var i = 0; i < Streams; i++)
                histories[i % histories.Length].Span.CopyTo(Record(i));
        }

        public ForecastPlan Plan { get; }

        /// <summary>Times whole passes over all streams, and every block in them, in turns without and with training beside them.</summary>
        public (Timing Quiet, Timing Busy) Measure(double seconds, Training training)
        {
            // Until the compiler has made its last version of everything.
            for (var until = Stopwatch.GetTimestamp() + (2 * Stopwatch.Frequency); Stopwatch.GetTimestamp() < until;)
                Pass(null);
            var (quiet, busy) = (new Timing(), new Timing());
            for (var slice = 0; slice < Slices; slice++)
            {
                Slice(seconds / Slices, quiet);
                training.Start();
                Slice(seconds / Slices, busy);
                training.Stop();
            }

            return (quiet, busy);
        }

        private void Slice(double seconds, Timing timing)
        {
            Pass(null);
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            var end = Stopwatch.GetTimestamp() + (long)(seconds * Stopwatch.Frequency);
            while (Stopwatch.GetTimestamp() < end)
            {
                timing.Total += Pass(timing.Blocks);
                timing.Frames += Streams;
            }

            timing.Allocated += GC.GetAllocatedBytesForCurrentThread() - allocated;
        }

        private AlignedArray History(int stream)
        {
            var record = new AlignedArray(Plan.RecordWords);
            _model.Initialise(record.Span);
            for (var t = 0; t < WarmFrames; t++)
            {
                _values[0] = Value(stream, t, _random);
                Step(record.Span, 1, t);
            }

            return record;
        }

        private Span<float> Record(int stream) => _records.Span.Slice(stream * Plan.RecordWords, Plan.RecordWords);

        /// <summary>One frame of every stream. What a clock sees of a block has nothing in it but the model's own work: values come from before.</summary>
        private double Pass(List<double>? blocks)
        {
            var total = 0.0;
            for (var from = 0; from < Streams; from += Block)
            {
                var n = Math.Min(Block, Streams - from);
                for (var i = 0; i < n; i++)
                    _values[i] = Value(from + i, _frame, _random);
                var started = Stopwatch.GetTimestamp();
                Step(_records.Span.Slice(from * Plan.RecordWords, n * Plan.RecordWords), n, _frame);
                var microseconds = Stopwatch.GetElapsedTime(started).TotalMicroseconds;
                total += microseconds;
                if (n == Block)
                    blocks?.Add(microseconds);
            }

            _frame++;
            return total;
        }

        private void Step(Span<float> records, int n, long frame)
        {
            var phase = new FramePhase((int)(frame % 24), (int)(frame % 168));
            var words = Plan.RecordWords;
            for (var i = 0; i < n; i++)
            {
                var record = records.Slice(i * words, words);
                _model.Prefetch(i + 1 < n ? records.Slice((i + 1) * words, words) : default, i + 2 < n ? records.Slice((i + 2) * words, words) : default);
                _model.Observe(record, _values[i], phase, _skill);
                _model.WriteInputs(record, phase, false, [], _inputs.AsSpan(i * Plan.Inputs, Plan.Inputs));
                _model.HiddenState(record).CopyTo(_hidden.AsSpan(i * Hidden));
                _model.CellState(record).CopyTo(_cell.AsSpan(i * Hidden));
            }

            VectorKernel.Step(_network, _inputs.AsSpan(0, n * Plan.Inputs), _hidden.AsSpan(0, n * Hidden), _cell.AsSpan(0, n * Hidden), _outputs.AsSpan(0, n * Plan.Horizon), n);
            for (var i = 0; i < n; i++)
            {
                var record = records.Slice(i * words, words);
                _hidden.AsSpan(i * Hidden, Hidden).CopyTo(_model.HiddenState(record));
                _cell.AsSpan(i * Hidden, Hidden).CopyTo(_model.CellState(record));
                _model.Issue(record, phase, _outputs.AsSpan(i * Plan.Horizon, Plan.Horizon), _forecast);
            }
        }
    }

    /// <summary>Updates of the shared weights, one after the other, on a thread of its own: 16 windows of 24 + 32 frames.</summary>
    private sealed class Training : IDisposable
    {
        private readonly BpttTrainer _trainer;
        private readonly TrainingBatch _batch;
        private readonly Stopwatch _trained = new();
        private Task _running = Task.CompletedTask;
        private volatile bool _stopping;
        private int _updates;

        public Training(ForecastPlan plan)
        {
            var shape = new LstmForecasterShape(plan.Inputs, Hidden, plan.Horizon);
            _trainer = new BpttTrainer(LstmForecasterWeights.Create(shape, 3));
            _batch = new TrainingBatch(shape, 56, 16, 24);
            var random = new CounterRandom(9);
            for (var t = 0; t < 56; t++)
            {
                for (var s = 0; s < 16; s++)
                {
                    foreach (ref var v in _batch.InputsAt(t, s))
                        v = (float)random.Unit((ulong)((t * 16) + s)) - 0.5f;
                    if (t < 24)
                        continue;
                    _batch.TargetsAt(t, s).Fill(0.1f);
                    _batch.MaskAt(t, s).Fill(1);
                }
            }
        }

        public double MicrosecondsPerUpdate => _trained.Elapsed.TotalMicroseconds / Math.Max(1, _updates);

        public void Start()
        {
            _stopping = false;
            _running = Task.Factory.StartNew(
                () =>
                {
                    _trainer.Step(_batch, 1e-4f);
                    _trained.Start();
                    for (; !_stopping; _updates++)
                        _trainer.Step(_batch, 1e-4f);
                    _trained.Stop();
                },
                CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        public void Stop()
        {
            _stopping = true;
            _running.Wait();
        }

        public void Dispose() => Stop();
    }
}

/// <param name="Microseconds">Per frame and stream.</param>
/// <param name="BlockP99">99th percentile of the time a block of 64 streams takes, microseconds.</param>
/// <param name="BlockP99Training">The same beside a thread that trains without pause.</param>
/// <param name="TrainingMicroseconds">One update of the shared weights, on that thread.</param>
internal sealed record ForecastCost(string Tier, int Streams, double Microseconds, double BytesPerFrame, double BlockP99, double BlockP99Training, double TrainingMicroseconds);

/// <summary>Bytes of one stream's state by what they are for.</summary>
internal sealed record StateSize(string Tier, int DayFrames, int WeekFrames, int Horizon, int Bytes, IReadOnlyDictionary<string, int> Components);

internal sealed record ForecastReport(string Cpu, IReadOnlyList<ForecastCost> Rows, IReadOnlyList<StateSize> States);
