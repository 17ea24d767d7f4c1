using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Files;

public sealed class FileSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamlstm-test-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_row_arrives_when_it_is_read_whatever_its_own_time_and_a_read_file_is_completed()
    {
        var path = Write("a.csv", "time,value\n2024-01-01T00:00:00Z,1\n2024-01-01T00:30:00Z,2\n2024-01-01T00:15:00Z,3\n2024-01-01T00:45:00Z,x\n");
        var ingress = new RecordingIngress(TimeProvider.System);
        var source = Source(path);
        var read = UnixMicros.Now(TimeProvider.System);
        await source.RunAsync(ingress, Cancel);

        var start = UnixMicros.From(new DateTimeOffset(2024, 1, 1, 0, 0, 0, TimeSpan.Zero));
        Assert.Equal([0, 30, 15], ingress.Samples.Select(s => (s.Time - start) / 60_000_000));
        Assert.All(ingress.Samples, s => Assert.InRange(s.Arrival, read, UnixMicros.Now(TimeProvider.System)));
        var letter = Assert.Single(ingress.DeadLetters);
        Assert.Equal((DeadLetterReason.NotFinite, "files", $"{path}:5"), (letter.Reason, letter.Source, letter.Position));
        Assert.Equal("2024-01-01T00:45:00Z,x", Encoding.UTF8.GetString(letter.Payload.Span));
        Assert.Equal(SourceState.Completed, source.Status.State);
    }

    [Fact]
    public async Task A_record_of_signals_comes_in_blocks_of_a_tenth_of_a_second_and_goes_on_after_a_restart()
    {
        const int samples = 40_000;
        var bytes = new byte[samples * 4];
        for (var k = 0; k < samples; k++)
        {
            System.Buffers.Binary.BinaryPrimitives.WriteInt16LittleEndian(bytes.AsSpan(4 * k), (short)(k % 1000));
            System.Buffers.Binary.BinaryPrimitives.WriteInt16LittleEndian(bytes.AsSpan((4 * k) + 2), (short)(-k % 1000));
        }

        await File.WriteAllBytesAsync(Path.Combine(_folder, "r.dat"), bytes, Cancel);
        var path = Write("r.hea", $"r 2 250 {samples} 10:00:00 1/2/2024\nr.dat 16 100 16 0 0 0 0 II\nr.dat 16 100 16 0 0 0 0 V1\n");
        var ingress = new RecordingIngress(TimeProvider.System, failAtAppend: 2);
        await Assert.ThrowsAsync<OperationCanceledException>(() => Source(path).RunAsync(ingress, Cancel));
        var first = ingress.Samples.Count;
        Assert.InRange(first, 1, (samples / 25) - 1);
        var rest = new RecordingIngress(TimeProvider.System) { Durable = ingress.Durable };
        await Source(path).RunAsync(rest, Cancel);

        List<RecordedSample> all = [.. ingress.Samples, .. rest.Samples];
        Assert.Equal(samples / 25, all.Count);
        Assert.All(all, s => Assert.Equal(("r", 50), (s.Stream, s.Values.Length)));
        var start = UnixMicros.From(new DateTimeOffset(2024, 2, 1, 10, 0, 0, TimeSpan.Zero));
        Assert.Equal(Enumerable.Range(0, all.Count).Select(i => start + (i * 100_000L)), all.Select(s => s.Time));
        Assert.Equal(Enumerable.Range(0, samples).Select(k => k % 1000 / 100.0), all.SelectMany(s => s.Values.Where((_, i) => i % 2 == 0)));
        Assert.Equal($"{path}:end", rest.Durable);
    }

    [Fact]
    public async Task A_damaged_record_of_signals_is_one_dead_letter_after_what_came_before_it()
    {
        await File.WriteAllBytesAsync(Path.Combine(_folder, "s.dat"), new byte[2 * 60], Cancel);
        var path = Write("s.hea", "s 1 250 1000\ns.dat 16 100 16 0 0 0 0 II\n");
        var ingress = new RecordingIngress(TimeProvider.System);
        await Source(path).RunAsync(ingress, Cancel);
        Assert.Equal(DeadLetterReason.Malformed, Assert.Single(ingress.DeadLetters).Reason);
        Assert.Equal(2, ingress.Samples.Count);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public async Task A_restart_continues_where_the_log_ended_and_gives_the_same_samples(int dieAtAppend)
    {
        Write("m1.csv", Series(9000));
        Write("m2.csv", Series(5000));
        var path = Path.Combine(_folder, "m*.csv");

        // Rows arrive when they are read: the clock stands still so that arrival times can be compared too.
        var clock = new SimulatedClock(UnixMicros.From(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero)));
        var whole = new RecordingIngress(clock);
        await Source(path).RunAsync(whole, Cancel);

        var first = new RecordingIngress(clock, dieAtAppend);
        await Assert.ThrowsAsync<OperationCanceledException>(() => Source(path).RunAsync(first, Cancel));
        var second = new RecordingIngress(clock) { Durable = first.Durable };
        await Source(path).RunAsync(second, Cancel);

        Assert.Equal(14_000 * 2, whole.Samples.Count);
        Assert.Equal(whole.Samples.Select(s => s.ToString()), first.Samples.Concat(second.Samples).Select(s => s.ToString()));
        Assert.Equal(whole.Positions, first.Positions.Concat(second.Positions));

        var third = new RecordingIngress(clock) { Durable = second.Durable };
        await Source(path).RunAsync(third, Cancel);
        Assert.Empty(third.Samples);
    }

    [Fact]
    public async Task Speed_spreads_the_rows_over_time()
    {
        var clock = new JumpingTimeProvider();
        var ingress = new RecordingIngress(clock);
        await Source(Write("a.csv", Series(61)), speed: 60).RunAsync(ingress, Cancel);
        Assert.Equal(122, ingress.Samples.Count);
        Assert.InRange(clock.Elapsed, TimeSpan.FromMinutes(14.99), TimeSpan.FromMinutes(15.01));
        Assert.Equal(61, ingress.Positions.Count);
    }

    [Fact]
    public async Task A_followed_file_gives_the_rows_that_are_appended_once_they_are_complete()
    {
        var path = Write("a.csv", "time,value\n2024-01-01T00:00:00Z,1\n2024-01-01T00:15:00Z,2");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        var ingress = new RecordingIngress(new JumpingTimeProvider());
        ingress.Appended = () =>
        {
            if (ingress.Samples.Count == 1)
                File.AppendAllText(path, "0\n2024-01-01T00:30:00Z,3\n");
            else if (ingress.Samples.Count == 3)
                stop.Cancel();
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Source(path, follow: true).RunAsync(ingress, stop.Token));
        Assert.Equal([1.0, 20, 3], ingress.Samples.Select(s => s.Values[0]));
    }

    [Fact]
    public async Task A_file_that_is_no_table_becomes_a_dead_letter_and_the_next_one_is_read()
    {
        Write("a.csv", "no table here\n");
        Write("b.csv", Series(3));
        var ingress = new RecordingIngress(TimeProvider.System);
        await Source(Path.Combine(_folder, "*.csv")).RunAsync(ingress, Cancel);
        Assert.Equal(6, ingress.Samples.Count);
        Assert.Contains("no column can be read as a time", Assert.Single(ingress.DeadLetters).Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_truncated_gzip_file_gives_its_readable_rows()
    {
        var path = Path.Combine(_folder, "a.csv.gz");
        var whole = new MemoryStream();
        using (var gz = new System.IO.Compression.GZipStream(whole, System.IO.Compression.CompressionLevel.Fastest, leaveOpen: true))
            gz.Write(Encoding.UTF8.GetBytes(Series(40_000)));
        File.WriteAllBytes(path, whole.ToArray()[..(int)(whole.Length / 2)]);
        var ingress = new RecordingIngress(TimeProvider.System);
        await Source(path).RunAsync(ingress, Cancel);
        Assert.InRange(ingress.Samples.Count, 1000, 79_000);
    }

    private static FileSource Source(string path, double speed = 0, bool follow = false) =>
        new(new FileSourceSettings { Name = "files", Path = path, Speed = speed, Follow = follow }, NullLogger<FileSource>.Instance);

    private static string Series(int rows)
    {
        var start = new DateTime(2024, 1, 1);
        return "time,a,b\n" + string.Concat(Enumerable.Range(0, rows).Select(i =>
            string.Create(CultureInfo.InvariantCulture, $"{start.AddMinutes(15 * i):yyyy-MM-dd HH:mm:ss},{i},{i * 0.5}\n")));
    }

    private string Write(string name, string text)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}
