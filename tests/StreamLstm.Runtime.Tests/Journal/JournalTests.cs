using System.Text;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Journal;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;
using Log = StreamLstm.Runtime.Journal.Journal;

namespace StreamLstm.Runtime.Tests.Journal;

public sealed class JournalTests : IDisposable
{
    private static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
    private static readonly long Now = UnixMicros.From(Start);
    private readonly TemporaryFolder _folder = new();
    private readonly ManualTimeProvider _clock = new(Start);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_completed_append_is_found_after_reopening()
    {
        await using (var journal = Open())
        {
            await journal.AppendAsync(Batch("a", Now, 1.5, -2), Stop);
            Assert.Equal(journal.Durable, ReadAll(journal).Next);
        }

        await using var again = Open();
        var read = ReadAll(again);
        Assert.Equal(1, read.Count);
        Assert.Equal("a", Encoding.UTF8.GetString(read.Samples.Key(0)));
        Assert.Equal(Now, read.Samples.EventTime(0));
        Assert.Equal(Now, read.Samples.Arrival(0));
        Assert.Equal([1.5, -2], read.Samples.Values(0).ToArray());
    }

    [Fact]
    [Trait("Category", "Faults")]
    public async Task An_append_whose_flush_fails_is_never_reported_as_durable_and_ends_the_journal()
    {
        var fail = false;
        var journal = new Log(_folder["journal"], _clock, new JournalSettings
        {
            Sync = handle =>
            {
                // No room is a reason to wait when a write says so; a flush that fails has no good reason.
                if (fail)
                    throw new IOException("No space left on device", 28);
                RandomAccess.FlushToDisk(handle);
            },
        });
        await journal.AppendAsync(Batch("a", Now, 1), Stop);
        var durable = journal.Durable;
        fail = true;
        await Assert.ThrowsAsync<FlushFailedException>(() => journal.AppendAsync(Batch("a", Now + 1, 2), Stop).AsTask());
        fail = false;
        await Assert.ThrowsAsync<FlushFailedException>(() => journal.Failed);
        await Assert.ThrowsAsync<FlushFailedException>(() => journal.AppendAsync(Batch("a", Now + 2, 3), Stop).AsTask());
        Assert.Equal(durable, journal.Durable);
        await Assert.ThrowsAsync<FlushFailedException>(() => journal.DisposeAsync().AsTask());
    }

    [Fact]
    [Trait("Category", "Faults")]
    public async Task While_the_disk_is_slow_appends_wait_and_then_share_one_flush()
    {
        using var release = new ManualResetEventSlim(true);
        var flushes = 0;
        await using var journal = new Log(_folder["journal"], _clock, new JournalSettings
        {
            Sync = handle =>
            {
                release.Wait();
                Interlocked.Increment(ref flushes);
                RandomAccess.FlushToDisk(handle);
            },
        });
        await journal.AppendAsync(Batch("a", Now, 1), Stop);
        var durable = journal.Durable;
        release.Reset();
        var before = Volatile.Read(ref flushes);
        var waiting = Enumerable.Range(1, 50).Select(i => journal.AppendAsync(Batch("a", Now + i, i), Stop).AsTask()).ToArray();
        await Task.Delay(50, Stop);
        Assert.DoesNotContain(waiting, w => w.IsCompleted);
        Assert.Equal(durable, journal.Durable);
        release.Set();
        await Task.WhenAll(waiting);
        Assert.InRange(Volatile.Read(ref flushes) - before, 1, 2);
        Assert.Equal(51, ReadAll(journal).Count);
    }

    [Fact]
    public async Task A_completed_append_is_on_disk_even_if_the_journal_is_never_closed()
    {
        await using var journal = Open();
        await journal.AppendAsync(Batch("a", Now, 1), Stop);
        TemporaryFolder.Copy(_folder["journal"], _folder["copy"]);
        await using var copy = Open(folder: "copy");
        Assert.Equal(1, ReadAll(copy).Count);
    }

    [Fact]
    public async Task Concurrent_appends_lose_nothing_and_keep_each_callers_order()
    {
        const int callers = 16;
        const int appends = 40;
        await using (var journal = Open())
        {
            await Task.WhenAll(Enumerable.Range(0, callers).Select(caller => Task.Run(async () =>
            {
                for (var i = 0; i < appends; i++)
                    await journal.AppendAsync(Batch($"stream {caller}", Now + i, i), Stop);
            }, Stop)));
        }

        await using var again = Open();
        var read = ReadAll(again);
        Assert.Equal(callers * appends, read.Count);
        Assert.Equal(read.Lsn.Order(), read.Lsn);
        Assert.Equal(read.Lsn.Count, read.Lsn.Distinct().Count());
        foreach (var stream in Enumerable.Range(0, read.Count).GroupBy(i => Encoding.UTF8.GetString(read.Samples.Key(i))))
            Assert.Equal(Enumerable.Range(0, appends).Select(i => (double)i), stream.Select(i => read.Samples.Values(i)[0]));
    }

    [Theory]
    [InlineData("key", 301_000_000L, 1.0, DeadLetterReason.Future)]
    [InlineData("key", 0L, double.NaN, DeadLetterReason.NotFinite)]
    [InlineData("key", 0L, double.PositiveInfinity, DeadLetterReason.NotFinite)]
    [InlineData("key", 0L, double.NegativeInfinity, DeadLetterReason.NotFinite)]
    [InlineData("key", 0L, 1e300, DeadLetterReason.NotFinite)]
    [InlineData("", 0L, 1.0, DeadLetterReason.BadKey)]
    public async Task What_can_not_be_used_becomes_a_dead_letter_and_the_rest_of_the_batch_passes(string key, long ahead, double value, string reason)
    {
        await using var journal = Open();
        var batch = Batch("good", Now, 1);
        batch.Add(key, Now + ahead, Now, [value]);
        batch.Add("also good", Now, Now, [2]);
        await journal.AppendAsync(batch, Stop);
        var read = ReadAll(journal);
        Assert.Equal(2, read.Samples.Count);
        var (_, letter) = Assert.Single(read.DeadLetters);
        Assert.Equal(reason, letter.Reason);
        Assert.NotEmpty(letter.Detail);
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MinValue)]
    [InlineData(-62_135_596_800_000_000L)]
    [InlineData(253_402_300_799_000_000L)]
    public async Task A_time_outside_the_calendar_is_a_dead_letter_not_a_failure(long time)
    {
        await using var journal = Open(new JournalSettings { MaxFuture = TimeSpan.FromDays(365_000 * 9) });
        var batch = Batch("a", time, 1);
        batch.Add("b", Now, time, [1]);
        await journal.AppendAsync(batch, Stop);
        var letters = ReadAll(journal).DeadLetters.Select(l => l.Letter).ToList();
        Assert.Equal([DeadLetterReason.BadTime, DeadLetterReason.BadTime], letters.Select(l => l.Reason));
        // Whoever writes the letter out must be able to name its arrival.
        Assert.All(letters, l => UnixMicros.ToDateTimeOffset(l.ArrivalMicros));
    }

    [Fact]
    public async Task A_key_of_512_bytes_passes_and_one_of_513_does_not()
    {
        await using var journal = Open();
        var batch = Batch(new string('k', 512), Now, 1);
        batch.Add(new string('k', 513), Now, Now, [1]);
        await journal.AppendAsync(batch, Stop);
        var read = ReadAll(journal);
        Assert.Equal(512, read.Samples.Key(0).Length);
        Assert.Equal(DeadLetterReason.BadKey, Assert.Single(read.DeadLetters).Letter.Reason);
    }

    [Fact]
    public async Task A_sample_with_one_missing_channel_passes()
    {
        await using var journal = Open();
        await journal.AppendAsync(Batch("a", Now, double.NaN, 3), Stop);
        Assert.Equal([double.NaN, 3], ReadAll(journal).Samples.Values(0).ToArray());
    }

    [Fact]
    public async Task Dead_letters_of_a_source_survive_whole()
    {
        var letter = DeadLetter.Create(DeadLetterReason.Malformed, "mqtt", "topic/a", "Not JSON.", Now, new byte[5000], "a") with { Headers = [new("content-type", "text/plain"), new("site", "Süd")] };
        await using (var journal = Open())
        {
            var batch = new SampleBatch();
            batch.AddDeadLetter(letter);
            await journal.AppendAsync(batch, Stop);
        }

        await using var again = Open();
        var (_, read) = Assert.Single(ReadAll(again).DeadLetters);
        Assert.Equal(letter with { Payload = default, Headers = null }, read with { Payload = default, Headers = null });
        Assert.Equal(letter.Headers, read.Headers);
        Assert.Equal(letter.Payload.ToArray(), read.Payload.ToArray());
        Assert.Equal(DeadLetter.MaxPayloadBytes, read.Payload.Length);
        Assert.Equal(5000, read.PayloadBytes);
    }

    [Fact]
    public async Task A_sources_position_is_durable_with_its_batch_and_found_after_reopening()
    {
        await using (var journal = Open())
        {
            for (var i = 1; i <= 3; i++)
            {
                var batch = Batch("a", Now + i, i);
                batch.SetSourcePosition("file", $"row {i}");
                await journal.AppendAsync(batch, Stop);
                Assert.Equal($"row {i}", journal.Position("file"));
            }
        }

        // Whatever part of the last record is missing: the position never runs ahead of the samples it stands for.
        var segment = Directory.GetFiles(_folder["journal"], "*.log").Single();
        var whole = File.ReadAllBytes(segment);
        var record = (whole.Length - 16) / 3;
        for (var cut = 0; cut <= record; cut++)
        {
            File.WriteAllBytes(segment, whole[..^cut]);
            await using var again = Open();
            again.ReplayPositions(0);
            var samples = ReadAll(again).Samples.Count;
            Assert.Equal(cut == 0 ? 3 : 2, samples);
            Assert.Equal($"row {samples}", again.Position("file"));
        }
    }

    [Fact]
    public async Task A_position_without_samples_is_kept_too()
    {
        await using var journal = Open();
        var batch = new SampleBatch();
        batch.SetSourcePosition("file", "end");
        await journal.AppendAsync(batch, Stop);
        Assert.Equal("end", ReadAll(journal).SourcePositions["file"]);
        Assert.Null(journal.Position("another"));
    }

    [Fact]
    public async Task Ticks_activations_and_resets_keep_their_place_among_the_samples()
    {
        await using var journal = Open();
        await journal.AppendAsync(Batch("a", Now, 1), Stop);
        await journal.AppendTicksAsync([(3, 100), (63, 200)], Stop);
        await journal.AppendActivationAsync("profile", 7, Stop);
        await journal.AppendResetAsync("a"u8.ToArray(), Stop);
        await journal.AppendAsync(Batch("a", Now, 2), Stop);
        var read = ReadAll(journal);
        Assert.Equal([EntryKind.Sample, EntryKind.Tick, EntryKind.Tick, EntryKind.Activate, EntryKind.Reset, EntryKind.Sample], read.Kind);
        Assert.Equal([("profile", 7)], read.Activations);
        Assert.Equal(200, read.Clock[2]);
        Assert.Equal(2, read.Entries(63).Count(e => read.Kind[e] is EntryKind.Tick or EntryKind.Activate));
    }

    [Fact]
    public async Task A_journal_far_ahead_of_the_engine_makes_appends_wait()
    {
        await using var journal = Open(new JournalSettings { MaxBacklogBytes = 200 });
        var producer = Task.Run(async () =>
        {
            for (var i = 0; i < 20; i++)
                await journal.AppendAsync(Batch("a stream with a rather long name", Now + i, i), Stop);
        }, Stop);
        while (journal.Durable <= 200)
            await Task.Delay(1, Stop);
        // Whatever time passes: no more than the append that crossed the bound gets through.
        await Task.Delay(50, Stop);
        Assert.False(producer.IsCompleted);
        Assert.InRange(journal.Durable, 201, 400);

        while (!producer.IsCompleted)
        {
            journal.Release(journal.Durable, keep: true);
            await Task.Delay(1, Stop);
        }

        await producer;
        Assert.Equal(20, ReadAll(journal).Samples.Count);
    }

    [Fact]
    public async Task Released_segments_are_deleted_unless_the_journal_is_kept()
    {
        await using var journal = Open(new JournalSettings { SegmentBytes = 256 });
        for (var i = 0; i < 30; i++)
            await journal.AppendAsync(Batch("a", Now + i, i), Stop);
        var all = journal.Bytes;
        journal.Release(journal.Durable, keep: true);
        Assert.Equal(all, journal.Bytes);
        journal.Release(journal.Durable, keep: false);
        Assert.InRange(journal.Bytes, 1, 512);
    }

    [Fact]
    public async Task Reading_stops_after_the_record_that_reaches_the_limit()
    {
        await using var journal = Open();
        for (var i = 0; i < 10; i++)
        {
            var batch = Batch("a", Now + i, i);
            batch.Add("b", Now + i, Now, [i]);
            await journal.AppendAsync(batch, Stop);
        }

        var read = new LogBatch();
        Assert.True(journal.ReadInto(read, 0, 3));
        Assert.Equal(4, read.Count);
        var next = read.Next;
        read.Clear();
        Assert.True(journal.ReadInto(read, next, 1000));
        Assert.Equal(16, read.Count);
        read.Clear();
        Assert.False(journal.ReadInto(read, journal.Durable, 1000));
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.1)]
    public async Task A_block_has_its_key_once_and_comes_back_to_the_bit(double unit)
    {
        await using var journal = Open();
        var batch = new SampleBatch();
        double[] values = [1 * unit, double.NaN, 3 * unit, 4 * unit, -5 * unit, 6 * unit];
        batch.AddBlock("ecg"u8, Now, 2777.5, Now + 10_000, 3, values);
        batch.AddBlock("off"u8, Now, 4000, Now + 10_000, 2, [double.NaN, double.NaN]);
        batch.AddBlock("bad"u8, Now, 4000, Now + 10_000, 2, [1, double.PositiveInfinity]);
        batch.AddBlock("far"u8, Now, 1e9, Now + 10_000, 2, [1, 2]);
        batch.Add("meter", Now, Now, [7]);
        await journal.AppendAsync(batch, Stop);
        var read = ReadAll(journal);
        Assert.Equal(3, read.Samples.Count);
        Assert.Equal(values, read.Samples.Values(0).ToArray());
        Assert.Equal((3, 2777.5, Now, Now + 5555), (read.Samples.Rows(0), read.Samples.StepMicros(0), read.Samples.EventTime(0), read.Samples.LastEventTime(0)));
        Assert.Equal([3 * unit, 4 * unit], read.Samples.Values(0, 1).ToArray());
        Assert.Equal((1, 7.0), (read.Samples.Rows(2), read.Samples.Values(2)[0]));
        Assert.Equal([DeadLetterReason.NotFinite, DeadLetterReason.Future], read.DeadLetters.Select(d => d.Letter.Reason));
    }

    private static SampleBatch Batch(string key, long time, params double[] values)
    {
        var batch = new SampleBatch();
        batch.Add(key, time, Now, values);
        return batch;
    }

    private static LogBatch ReadAll(Log journal)
    {
        var batch = new LogBatch();
        journal.ReadInto(batch, journal.Start, int.MaxValue);
        return batch;
    }

    private Log Open(JournalSettings? settings = null, string folder = "journal") => new(_folder[folder], _clock, settings ?? new JournalSettings());
}
