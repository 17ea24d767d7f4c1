using System.Globalization;
using System.Text;
using System.Text.Json;
using StreamLstm.Core.Learning;
using StreamLstm.Core.Recurrent;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Journal;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Tests.Engine;

public sealed class EngineTests : IDisposable
{
    private static readonly DateTimeOffset Start = Fleet.Start;
    private static readonly Profile Plain = new() { Name = "plain", HiddenSize = 4, HorizonSteps = 4, MaxGapFrames = 2, SamplesPerFrame = 1, Learning = false, MaxWait = TimeSpan.FromMinutes(5) };
    private readonly TemporaryFolder _folder = new();
    private readonly ManualTimeProvider _clock = new(Start);
    private readonly SinkFile _file = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Silence_closes_frames_with_imputed_results_and_then_one_stale_result_that_opens_an_episode()
    {
        await using var engine = await StartAsync(Plain);
        for (var i = 0; i < 3; i++)
        {
            _clock.Set(At(i));
            await engine.AppendAsync(("a", At(i), [10 + i]));
        }

        await engine.DrainAsync();
        // The fourth interval ends at 60 min; silence is noticed five minutes later and not a moment before.
        _clock.Set(At(4) + TimeSpan.FromMinutes(5) - TimeSpan.FromMilliseconds(1));
        await Task.Delay(250, Stop);
        Assert.Equal(3, Results("a").Count);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        await engine.UntilAsync(() => Results("a").Count == 4);
        _clock.Advance(TimeSpan.FromHours(12));
        await engine.UntilAsync(() => Results("a").Count == 6);
        await engine.StopAsync();

        var results = Results("a");
        Assert.Equal([false, false, false, true, true, false], results.Select(r => r.GetProperty("imputed").GetBoolean()));
        Assert.Equal(["missing"], Quality(results[3]).Except(["cold"]));
        Assert.Equal(["stale"], Quality(results[5]).Except(["cold"]));
        Assert.Equal("stale", results[5].GetProperty("type").GetString());
        Assert.All(results.Skip(3), r => Assert.Equal(JsonValueKind.Null, r.GetProperty("y").ValueKind));
        Assert.Equal(At(3), results[3].GetProperty("time").GetDateTimeOffset());
        Assert.True(results[3].GetProperty("issued_at").GetDateTimeOffset() >= At(4) + TimeSpan.FromMinutes(5));
        var episode = Assert.Single(Parsed(OutputKind.Episode, "a"));
        Assert.Equal(("stale", "open"), (episode.GetProperty("type").GetString(), episode.GetProperty("state").GetString()));
        Assert.Equal(episode.GetProperty("episode").GetString(), results[5].GetProperty("episode").GetString());
    }

    [Fact]
    public async Task A_stale_stream_that_returns_goes_on_and_its_episode_closes()
    {
        await using var engine = await StartAsync(Plain);
        await engine.AppendAsync(("a", At(0), [10]), ("a", At(1), [11]));
        await engine.AppendAsync([.. Enumerable.Range(50, 6).Select(i => ("a", At(i), new double[] { i }))]);
        await engine.StopAsync();
        Assert.Equal([0, 1, 2, 3, 4, 50, 51, 52, 53, 54, 55], Results("a").Select(r => (r.GetProperty("time").GetDateTimeOffset() - Start) / Fleet.Step));
        var episodes = Parsed(OutputKind.Episode, "a");
        Assert.Equal(["open", "closed"], episodes.Select(e => e.GetProperty("state").GetString()));
        Assert.Equal(At(50), episodes[1].GetProperty("end").GetDateTimeOffset());
    }

    [Fact]
    public async Task A_stream_beyond_the_partitions_limit_is_a_dead_letter_and_the_others_do_not_notice()
    {
        var keys = Enumerable.Range(0, 1000).Select(i => "k" + i.ToString(CultureInfo.InvariantCulture)).ToList();
        var first = keys[0];
        var beyond = keys.Skip(1).First(k => Partition(k) == Partition(first));
        var elsewhere = keys.First(k => Partition(k) != Partition(first));
        await using (var engine = await StartAsync(Settings("limited", Plain) with { MaxStreamsPerPartition = 1, Shards = 2 }))
        {
            for (var i = 0; i < 5; i++)
                await engine.AppendAsync((first, At(i), [i]), (beyond, At(i), [i]), (elsewhere, At(i), [i]));
            await engine.StopAsync();
        }

        var letters = Parsed(OutputKind.DeadLetter, "engine");
        Assert.Equal(5, letters.Count);
        Assert.All(letters, l => Assert.Equal((DeadLetterReason.StreamLimit, beyond), (l.GetProperty("reason").GetString(), l.GetProperty("stream").GetString())));
        var others = new SinkFile();
        await using (var engine = await RunningEngine.StartAsync(Settings("free", Plain), _clock, new RecordingSink(others)))
        {
            for (var i = 0; i < 5; i++)
                await engine.AppendAsync((first, At(i), [i]), (elsewhere, At(i), [i]));
            await engine.StopAsync();
        }

        Assert.Equal(others.Records.Select(r => r.Json), _file.Records.Where(r => r.Kind == OutputKind.Result).Select(r => r.Json));
    }

    [Fact]
    public async Task What_a_profile_can_not_take_becomes_a_dead_letter_that_says_why()
    {
        await using var engine = await StartAsync(Plain with { Select = "s/*", ValidMin = 0, ValidMax = 100 });
        await engine.AppendAsync(("s/a", At(0), [50]), ("t/a", At(0), [50]), ("s/a", At(1), [1, 2]), ("s/a", At(1), [100.5]), ("s/a", At(1), [-1]), ("s/new", At(1), [1000]), ("s/a", At(1), [60]), ("s/a", At(0).AddMinutes(3), [1]));
        await engine.StopAsync();
        Assert.Equal(
            [(DeadLetterReason.Unmatched, "t/a"), (DeadLetterReason.ChannelCount, "s/a"), (DeadLetterReason.OutOfRange, "s/a"), (DeadLetterReason.OutOfRange, "s/a"), (DeadLetterReason.OutOfRange, "s/new"), (DeadLetterReason.Late, "s/a")],
            Parsed(OutputKind.DeadLetter, "engine").Select(l => (l.GetProperty("reason").GetString(), l.GetProperty("stream").GetString()))!);
        Assert.Equal([50, 60], Results("s/a").Select(r => r.GetProperty("y").GetDouble()));
        Assert.Empty(Results("s/new"));
        Assert.Equal(1, engine.Engine.Statistics.Streams);
    }

    [Fact]
    public async Task Results_of_several_channels_say_what_each_contributes()
    {
        await using var engine = await StartAsync(Plain with { Channels = ["x", "y", "z"] });
        for (var i = 0; i < 150; i++)
            await engine.AppendAsync(("a", At(i), [Math.Sin(i), i % 7 == 3 ? double.NaN : 5 + Math.Cos(i * 1.3), i == 140 ? 50 : Math.Sin(i * 0.7)]));
        await engine.StopAsync();
        var results = Results("a");
        Assert.Equal(150, results.Count);
        foreach (var result in results)
        {
            foreach (var name in new[] { "y", "yhat", "yhat_lower", "yhat_upper" })
                Assert.Equal(JsonValueKind.Null, result.GetProperty(name).ValueKind);
            var channels = result.GetProperty("channels").EnumerateObject().ToList();
            Assert.Equal(["x", "y", "z"], channels.Select(c => c.Name));
            Assert.Equal(1, channels.Sum(c => c.Value.GetProperty("share").GetDouble()), 1e-5);
            Assert.All(channels, c => Assert.Equal(["y", "yhat", "yhat_lower", "yhat_upper", "share"], c.Value.EnumerateObject().Select(p => p.Name)));
            var values = result.GetProperty("forecast").GetProperty("values");
            Assert.Equal((3, 4, 3), (values.GetArrayLength(), values[0].GetArrayLength(), values[0][0].GetArrayLength()));
        }

        var spike = results[140];
        Assert.True(spike.GetProperty("anomaly").GetBoolean());
        Assert.True(spike.GetProperty("channels").GetProperty("z").GetProperty("share").GetDouble() > 0.9);
        Assert.Equal(JsonValueKind.Null, results[3].GetProperty("channels").GetProperty("y").GetProperty("y").ValueKind);
    }

    [Fact]
    public async Task An_explained_result_says_what_its_score_is_the_largest_of()
    {
        await using var engine = await StartAsync(Plain with { Explain = true });
        await engine.AppendAsync([.. Enumerable.Range(0, 700).Select(i => ("a", At(i), new[] { i >= 650 ? 5 : i >= 600 ? 11 + Math.Sin(i) : 10 + Math.Sin(i) }))]);
        await engine.StopAsync();
        foreach (var result in Results("a"))
        {
            var parts = result.GetProperty("parts").EnumerateObject().ToList();
            Assert.Equal(["position", "shift", "spread", "stuck"], parts.Select(p => p.Name));
            // A run of equal values counts from the threshold on.
            var counted = parts.Select(p => p.Value.GetDouble()).Select((v, i) => i == 3 && v <= 1 ? 0 : v);
            Assert.Equal(result.GetProperty("anomaly_score").GetDouble(), counted.Max(), 1e-6);
        }

        Assert.Contains(Results("a"), r => r.GetProperty("parts").GetProperty("stuck").GetDouble() > 1);
        Assert.Contains(Results("a"), r => r.GetProperty("parts").GetProperty("shift").GetDouble() > 0.5);
    }

    [Fact]
    public async Task A_result_has_the_keys_of_the_contract_in_their_order()
    {
        await using var engine = await StartAsync(Plain);
        await engine.AppendAsync([.. Enumerable.Range(0, 100).Select(i => ("a", At(i), new[] { i == 99 ? 500 : 10 + Math.Sin(i) }))]);
        await engine.StopAsync();
        string[] keys =
        [
            "schema", "stream", "profile", "time", "revision", "y", "yhat", "yhat_lower", "yhat_upper", "anomaly_score", "anomaly", "severity", "direction",
            "type", "episode", "imputed", "quality", "model_version", "issued_at", "forecast",
        ];
        var results = Results("a");
        Assert.All(results, r => Assert.Equal(keys, r.EnumerateObject().Select(p => p.Name)));
        Assert.All(results, r => Assert.Equal(["start", "step_s", "quantiles", "values"], r.GetProperty("forecast").EnumerateObject().Select(p => p.Name)));
        var last = results[^1];
        Assert.Equal("2026-01-06T00:45:00Z", last.GetProperty("time").GetString());
        Assert.Equal("2026-01-06T01:00:00Z", last.GetProperty("forecast").GetProperty("start").GetString());
        Assert.Equal(900, last.GetProperty("forecast").GetProperty("step_s").GetDouble());
        Assert.Equal([0.05, 0.5, 0.95], last.GetProperty("forecast").GetProperty("quantiles").EnumerateArray().Select(q => q.GetDouble()));
        Assert.Equal(("spike", "above", "high", true), (last.GetProperty("type").GetString(), last.GetProperty("direction").GetString(), last.GetProperty("severity").GetString(), last.GetProperty("anomaly").GetBoolean()));
        Assert.Equal(["schema", "stream", "episode", "profile", "type", "state", "start", "end", "peak_score", "severity", "direction", "revision"], Parsed(OutputKind.Episode, "a")[0].EnumerateObject().Select(p => p.Name));
    }

    [Fact]
    public async Task Forecasts_are_thinned_to_every_nth_result()
    {
        await using var engine = await StartAsync(Plain with { ForecastEvery = 3 });
        await engine.AppendAsync([.. Enumerable.Range(0, 9).Select(i => ("a", At(i), new double[] { i }))]);
        await engine.StopAsync();
        Assert.Equal([false, false, true, false, false, true, false, false, true], Results("a").Select(r => r.GetProperty("forecast").ValueKind == JsonValueKind.Object));
    }

    [Fact]
    public async Task Wild_values_never_stop_the_engine_nor_give_anything_but_numbers()
    {
        double[] wild = [0, 1e30, -1e30, 5e-324, 1e-300, 1e15, 1e30, -1e30, 1e30, 0, 0, 3, 1e29, 1e-30, -0.0];
        await using var engine = await StartAsync(Plain with { Channels = ["a", "b"], HorizonSteps = 40 });
        for (var i = 0; i < 400; i++)
            await engine.AppendAsync(("s", At(i), [wild[i % wild.Length], wild[i * i % wild.Length]]), ("t", At(i), [i < 200 ? 1e-30 * (i % 5) : 1e30 * (i % 3), i % 97 == 0 ? 1e30 : 1]));
        await engine.StopAsync();
        Assert.Equal(800, _file.Records.Count(r => r.Kind == OutputKind.Result));
        foreach (var record in _file.Records)
        {
            using var document = JsonDocument.Parse(record.Json);
        }
    }

    [Fact]
    public async Task While_a_sink_is_away_sources_wait_and_nothing_is_lost()
    {
        var back = new TaskCompletionSource();
        var sink = new RecordingSink(_file) { Gate = stop => back.Task.WaitAsync(stop) };
        await using var engine = await RunningEngine.StartAsync(Settings("state", Plain) with { MaxBatchEntries = 1, OutboxBytes = 1, Journal = new JournalSettings { MaxBacklogBytes = 500 } }, _clock, sink);
        var appended = 0;
        var feeding = Task.Run(async () =>
        {
            for (; appended < 200; appended++)
                await engine.AppendAsync(("a", At(appended), [appended]));
        }, Stop);
        // One commit each: the one that the sink has, a few that wait for room on their way to it, and a backlog of 500 bytes.
        await engine.UntilAsync(() => Volatile.Read(ref appended) > 6);
        await Task.Delay(100, Stop);
        Assert.False(feeding.IsCompleted);
        Assert.InRange(Volatile.Read(ref appended), 7, 25);
        Assert.Empty(_file.Records);
        back.SetResult();
        await feeding;
        await engine.StopAsync();
        Assert.Equal(Enumerable.Range(0, 200).Select(i => (double)i), Results("a").Select(r => r.GetProperty("y").GetDouble()));
    }

    [Fact]
    public async Task A_graceful_stop_does_not_wait_for_a_sink_that_is_away_and_the_next_start_delivers()
    {
        var settings = Settings("state", Plain) with { MaxBatchEntries = 1, StopTimeout = TimeSpan.FromMilliseconds(100), StateSegmentBytes = 4000 };
        await using (var engine = await RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file) { Gate = Never }))
        {
            for (var i = 0; i < 150; i++)
                await engine.AppendAsync(("a", At(i), [i]));
            await engine.StopAsync().WaitAsync(TimeSpan.FromSeconds(10), Stop);
        }

        // Again away, while enough happens for the first process' commits to be compacted.
        await using (var engine = await RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file) { Gate = Never }))
        {
            await engine.UntilAsync(() => engine.Engine.Statistics.Streams == 1);
            for (var i = 150; i < 200; i++)
                await engine.AppendAsync(("a", At(i), [i]));
            await engine.StopAsync().WaitAsync(TimeSpan.FromSeconds(10), Stop);
        }

        Assert.Empty(_file.Records);
        await using (var engine = await RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file)))
        {
            await engine.DrainAsync();
            await engine.StopAsync();
        }

        Assert.Equal(Enumerable.Range(0, 200).Select(i => (double)i), Results("a").Select(r => r.GetProperty("y").GetDouble()));

        static Task Never(CancellationToken stop) => Task.Delay(Timeout.Infinite, stop);
    }

    [Fact]
    public async Task Stopping_gracefully_and_starting_again_doubles_and_loses_nothing()
    {
        for (var run = 0; run < 5; run++)
        {
            await using var engine = await RunningEngine.StartAsync(Settings("state", Plain) with { Shards = run + 1 }, _clock, new RecordingSink(_file));
            for (var i = run * 20; i < (run + 1) * 20; i++)
                await engine.AppendAsync(("a", At(i), [i]), ("b", At(i), [-i]));
            await engine.StopAsync();
        }

        Assert.Empty(_file.Cut);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (double)i), Results("a").Select(r => r.GetProperty("y").GetDouble()));
        Assert.Equal(100, Results("b").Count);
    }

    [Fact]
    public async Task Two_sinks_get_the_same_and_each_resumes_at_its_own_mark()
    {
        var slow = new SinkFile();
        await using (var engine = await RunningEngine.StartAsync(Settings("state", Plain) with { StopTimeout = TimeSpan.FromMilliseconds(100) }, _clock, new RecordingSink(_file, "fast"), new RecordingSink(slow, "slow") { Gate = stop => Task.Delay(Timeout.Infinite, stop) }))
        {
            for (var i = 0; i < 10; i++)
                await engine.AppendAsync(("a", At(i), [i]));
            await engine.StopAsync();
        }

        Assert.Equal((10, 0), (_file.Records.Count, slow.Records.Count));
        await using (var engine = await RunningEngine.StartAsync(Settings("state", Plain), _clock, new RecordingSink(_file, "fast"), new RecordingSink(slow, "slow")))
            await engine.StopAsync();
        Assert.Equal(_file.Records, slow.Records);
    }

    [Fact]
    public async Task A_failing_sink_ends_the_engine_with_its_error_and_the_next_start_delivers_once()
    {
        var taken = 0;
        await using (var engine = await RunningEngine.StartAsync(Settings("state", Plain), _clock, new RecordingSink(_file) { Gate = _ => ++taken == 3 ? throw new InvalidDataException("broken") : Task.CompletedTask }))
        {
            for (var i = 0; i < 3; i++)
            {
                await engine.AppendAsync(("a", At(i), [i]));
                // One commit each; the third is the one that breaks.
                if (i < 2)
                    await engine.DrainAsync();
            }

            await Assert.ThrowsAsync<InvalidDataException>(() => engine.Completion.WaitAsync(TimeSpan.FromSeconds(10), Stop));
        }

        await using (var engine = await RunningEngine.StartAsync(Settings("state", Plain), _clock, new RecordingSink(_file)))
        {
            await engine.DrainAsync();
            await engine.StopAsync();
        }

        Assert.Equal([0, 1, 2], Results("a").Select(r => r.GetProperty("y").GetDouble()));
    }

    [Fact]
    public async Task A_state_folder_is_locked_against_a_second_engine_until_the_first_has_gone()
    {
        await using (await StartAsync(Plain))
        {
            var error = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(Plain));
            Assert.Contains("in use", error.Message, StringComparison.Ordinal);
        }

        await using var next = await StartAsync(Plain);
        await next.StopAsync();
    }

    [Fact]
    public async Task Many_model_versions_can_meet_in_one_batch()
    {
        const int versions = 12;
        var runtime = new ProfileRuntime(0, Plain);
        var models = new ModelStore(Path.Combine(_folder["state"], "models"));
        var journal = new Runtime.Journal.Journal(Path.Combine(_folder["state"], "journal"), _clock, new JournalSettings());
        await using (journal)
        {
            for (var v = 1; v <= versions; v++)
            {
                var weights = LstmForecasterWeights.Create(runtime.Shape, (ulong)v);
                models.Save("plain", v, weights, new BpttTrainer(weights).ExportState());
                await journal.AppendActivationAsync("plain", v, Stop);
                // A stream's first frame lies in the batch's first wave, whatever version is in service when it is born.
                var batch = new SampleBatch();
                for (var s = 1; s <= v; s++)
                    batch.Add($"stream {s}", UnixMicros.From(At(v)), UnixMicros.From(At(v)), [s]);
                await journal.AppendAsync(batch, Stop);
            }
        }

        foreach (var (batch, state) in new[] { (1, "small"), (20_000, "large") })
        {
            TemporaryFolder.Copy(_folder["state"], _folder[state]);
            var file = new SinkFile();
            await using var engine = await RunningEngine.StartAsync(Settings(state, Plain) with { MaxBatchEntries = batch }, _clock, new RecordingSink(file));
            await engine.DrainAsync();
            await engine.StopAsync();
            if (batch == 1)
                _file.Add(file.Records);
            else
                Assert.Equal(_file.Records.Select(r => r.Json), file.Records.Select(r => r.Json));
        }

        Assert.Equal(versions, Results("stream 1").Select(r => r.GetProperty("model_version").GetInt32()).Distinct().Count());
    }

    [Fact]
    public async Task Old_state_segments_are_deleted_and_a_restart_still_knows_every_stream()
    {
        var settings = Settings("state", Plain) with { StateSegmentBytes = 200_000, Shards = 2, MaxBatchEntries = 2 };
        await using (var engine = await RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file)))
        {
            // One stream is heard once and never again: its snapshot must be carried along.
            await engine.AppendAsync(("quiet", At(0), [1]));
            for (var i = 0; i < 300; i++)
                await engine.AppendAsync(("a", At(i), [i % 10]), ("b", At(i), [i % 7]));
            await engine.StopAsync();
        }

        var segments = Directory.GetFiles(Path.Combine(_folder["state"], "state"));
        Assert.False(segments.Any(s => Path.GetFileName(s).StartsWith("00000000000000000000", StringComparison.Ordinal)), "Nothing was deleted.");
        Assert.InRange(segments.Length, 1, 4);
        await using (var engine = await RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file)))
        {
            foreach (var (stream, frames) in new[] { ("quiet", 1L), ("a", 300L), ("b", 300L) })
                Assert.Equal(frames, (long?)(await engine.Engine.DescribeStreamAsync(stream))?["frames"]);
            await engine.StopAsync();
        }
    }

    [Fact]
    public async Task A_reset_clears_one_streams_model_and_is_remembered()
    {
        await using (var engine = await StartAsync(Plain))
        {
            await engine.AppendAsync([.. Enumerable.Range(0, 20).SelectMany(i => new[] { ("a", At(i), new double[] { i }), ("b", At(i), new double[] { i }) })]);
            await engine.DrainAsync();
            Assert.False(await engine.Engine.ResetStreamAsync("nobody", Stop));
            Assert.True(await engine.Engine.ResetStreamAsync("a", Stop));
            await engine.DrainAsync();
            Assert.Equal((0, 20), (await ObservedAsync(engine, "a"), await ObservedAsync(engine, "b")));
            await engine.AppendAsync(("a", At(20), [5]));
            await engine.StopAsync();
        }

        await using (var engine = await StartAsync(Plain))
        {
            Assert.Equal((1, 20), (await ObservedAsync(engine, "a"), await ObservedAsync(engine, "b")));
            await engine.StopAsync();
        }
    }

    [Fact]
    public async Task Muted_history_warms_the_state_without_results()
    {
        var settings = Settings("state", Plain) with { MuteBeforeMicros = UnixMicros.From(At(50)) };
        await using var engine = await RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file));
        await engine.AppendAsync([.. Enumerable.Range(0, 60).Select(i => ("a", At(i), new[] { i == 40 ? 1000 : Math.Sin(i) }))]);
        await engine.StopAsync();
        Assert.Equal(10, Results("a").Count);
        Assert.Equal(10, _file.Records.Count);
        Assert.NotEqual(JsonValueKind.Null, Results("a")[0].GetProperty("yhat").ValueKind);
    }

    [Fact]
    public async Task A_journal_that_ends_before_the_committed_position_is_refused()
    {
        await using (var engine = await StartAsync(Plain))
        {
            await engine.AppendAsync(("a", At(0), [1]));
            await engine.StopAsync();
        }

        Directory.Delete(Path.Combine(_folder["state"], "journal"), recursive: true);
        var error = await Assert.ThrowsAsync<Runtime.Storage.CorruptLogException>(() => StartAsync(Plain));
        Assert.Contains("committed position", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task State_that_does_not_fit_the_profile_any_more_is_refused_with_advice()
    {
        await using (var engine = await StartAsync(Plain))
        {
            await engine.AppendAsync(("a", At(0), [1]));
            await engine.StopAsync();
        }

        var error = await Assert.ThrowsAsync<Runtime.Storage.CorruptLogException>(() => StartAsync(Plain with { HorizonSteps = 7 }));
        Assert.Contains("Restore the profile", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_profile_that_explains_its_forecasts_says_of_every_channel_which_experts_made_the_median()
    {
        await using var engine = await StartAsync(Plain with { Name = "weather", Channels = ["load", "temperature"], Covariates = ["temperature"], Explain = true });
        for (var i = 0; i < 120; i++)
            await engine.AppendAsync(("w", At(i), [10 + Math.Sin(i * 0.3), 20 + Math.Cos(i * 0.1)]));
        await engine.DrainAsync();
        var description = await engine.Engine.DescribeStreamAsync("w");
        await engine.StopAsync();

        var forecast = Results("w")[^1].GetProperty("forecast");
        for (var c = 0; c < 2; c++)
        {
            var explanation = forecast.GetProperty("explanation")[c];
            var steps = explanation.GetProperty("steps");
            Assert.Equal([1, 2, 4], steps.EnumerateArray().Select(h => h.GetInt32()));
            for (var j = 0; j < 3; j++)
            {
                var parts = explanation.GetProperty("experts").EnumerateObject().Select(e => (Weight: e.Value.GetProperty("weight")[j].GetDouble(), Value: e.Value.GetProperty("value")[j])).ToList();
                Assert.Equal(1, parts.Sum(p => p.Weight), 5);
                var mean = parts.Where(p => p.Weight > 0).Sum(p => p.Weight * p.Value.GetDouble());
                Assert.Equal(forecast.GetProperty("values")[c][steps[j].GetInt32() - 1][1].GetDouble(), mean + explanation.GetProperty("median_offset")[j].GetDouble(), 1e-4);
            }
        }

        Assert.Equal(forecast.GetProperty("explanation")[0].GetRawText(), description!["channels"]!["load"]!["forecast"]!.ToJsonString());
    }

    private static DateTimeOffset At(int step) => Start + (step * Fleet.Step);

    private static int Partition(string key) => VirtualPartition.Of(Encoding.UTF8.GetBytes(key));

    private static async Task<int> ObservedAsync(RunningEngine engine, string stream) =>
        (int)(await engine.Engine.DescribeStreamAsync(stream))!["channels"]!["value"]!["observed_frames"]!;

    private static IEnumerable<string> Quality(JsonElement result) => result.GetProperty("quality").EnumerateArray().Select(q => q.GetString()!);

    private EngineSettings Settings(string state, Profile profile) => new() { StateDirectory = _folder[state], Profiles = [profile] };

    private Task<RunningEngine> StartAsync(Profile profile) => StartAsync(Settings("state", profile));

    private Task<RunningEngine> StartAsync(EngineSettings settings) => RunningEngine.StartAsync(settings, _clock, new RecordingSink(_file));

    private List<JsonElement> Results(string stream) => Parsed(OutputKind.Result, stream);

    private List<JsonElement> Parsed(OutputKind kind, string stream) =>
        [.. _file.Records.Where(r => r.Kind == kind && r.Stream == stream).Select(r => JsonDocument.Parse(r.Json).RootElement)];
}
