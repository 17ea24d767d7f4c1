using System.Diagnostics.Metrics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;
using StreamLstm.Runtime.Evaluation;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Tests.Engine;

namespace StreamLstm.Runtime.Tests.Evaluation;

public sealed class ReplayTests : IDisposable
{
    private const int Days = 12;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 4)]
    public async Task A_backtest_that_is_killed_in_the_middle_goes_on_bit_for_bit(int shards, int shardsAfter)
    {
        var rows = Rows();
        var whole = new Recorder();
        await RunAsync(_folder["whole"], shards, rows, whole, null);
        Assert.True(whole.Version >= 2, $"Version {whole.Version}: the network hasn't learnt.");

        // Killed: the folder as it is at that moment is all that is left.
        var before = new Recorder();
        await RunAsync(_folder["killed"], shards, rows, before, done =>
        {
            if (done < 0.6 || Directory.Exists(_folder["left"]))
                return;
            foreach (var part in new[] { "state", "journal", "training", "models" })
                TemporaryFolder.Copy(Path.Combine(_folder["killed"], part), Path.Combine(_folder["left"], part));
        });
        var after = new Recorder();
        await RunAsync(_folder["left"], shardsAfter, rows, after, null);

        Assert.InRange(after.Frames.Count, whole.Frames.Count / 4, whole.Frames.Count * 3 / 4);
        Assert.Equal(whole.Frames.Keys.Max(k => k.Frame), after.Frames.Keys.Max(k => k.Frame));
        Assert.All(after.Frames, f => Assert.True(whole.Frames[f.Key].AsSpan().SequenceEqual(f.Value), $"{f.Key} differs."));
        Assert.Equal(whole.Version, after.Version);
    }

    private static async Task RunAsync(string state, int shards, IReadOnlyList<BacktestRow> rows, Recorder recorder, Action<double>? progress)
    {
        var profile = new Profile { Name = "load", Select = "*", Interval = TimeSpan.FromMinutes(15), HiddenSize = 8, HorizonSteps = 8, MaxGapFrames = 2 };
        var settings = new EngineSettings { StateDirectory = state, Profiles = [profile], Seed = 5, Observer = recorder, Shards = shards, KeepJournal = true };
        using var meters = new Meters();
        await Replay.RunAsync(settings, rows, [recorder], double.MaxValue, progress, NullLoggerFactory.Instance, meters, TestContext.Current.CancellationToken);
    }

    private static List<BacktestRow> Rows()
    {
        var random = new CounterRandom(11);
        var start = UnixMicros.From(Fleet.Start);
        var rows = new List<BacktestRow>();
        for (var t = 0; t < Days * 96; t++)
        {
            for (var s = 0; s < 3; s++)
            {
                if (random.Below(97, (ulong)((t * 3) + s)) != 0)
                    rows.Add(new BacktestRow($"s/{s}", start + (t * 900_000_000L), 20 + s + (5 * Math.Sin(2 * Math.PI * (t % 96) / 96)) + random.Unit((ulong)((t * 7) + s))));
            }
        }

        return rows;
    }

    /// <summary>Keeps the bits of every frame's score and forecast, and the newest network in any result.</summary>
    private sealed class Recorder : IFrameObserver, IResultSink
    {
        private readonly Lock _gate = new();

        public SortedDictionary<(string Stream, long Frame), byte[]> Frames { get; } = [];

        public int Version { get; private set; }

        public string Name => "recorder";

        public string? NotReady => null;

        public void OnFrame(string stream, int channel, long frame, double value, in FrameScore score, ReadOnlySpan<float> forecast, ReadOnlySpan<float> experts)
        {
            byte[] bits = [.. BitConverter.GetBytes(score.Score), .. BitConverter.GetBytes(score.Lower), .. MemoryMarshal.AsBytes(forecast), .. MemoryMarshal.AsBytes(experts)];
            lock (_gate)
                Frames[(stream, frame)] = bits;
        }

        public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

        public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
        {
            foreach (var record in records.Where(r => r.Kind == OutputKind.Result))
            {
                using var result = JsonDocument.Parse(record.Json);
                Version = Math.Max(Version, result.RootElement.GetProperty("model_version").GetInt32());
            }

            return ValueTask.FromResult(new SinkMark(commit, 0));
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class Meters : IMeterFactory
    {
        private readonly List<Meter> _meters = [];

        public Meter Create(MeterOptions options)
        {
            var meter = new Meter(options);
            _meters.Add(meter);
            return meter;
        }

        public void Dispose() => _meters.ForEach(m => m.Dispose());
    }
}
