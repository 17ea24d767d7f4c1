using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Integration.Tests.Files;

public sealed class FileSinkTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamlstm-test-").FullName;

    private string Target => Path.Combine(_folder, "out", "results.ndjson");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Records_become_lines_and_the_mark_is_the_length()
    {
        await using var sink = Sink();
        Assert.NotNull(sink.NotReady);
        await sink.OpenAsync(default, Cancel);
        Assert.Null(sink.NotReady);
        var first = await sink.PublishAsync(1, [Record(OutputKind.Result, "{\"a\":1}"), Record(OutputKind.Result, "{\"a\":2}")], Cancel);
        var second = await sink.PublishAsync(2, [], Cancel);
        Assert.Equal(new SinkMark(1, 16), first);
        Assert.Equal(new SinkMark(2, 16), second);
        Assert.Equal("{\"a\":1}\n{\"a\":2}\n", File.ReadAllText(Target));
    }

    [Fact]
    public async Task What_came_after_the_durable_mark_is_cut_and_written_once_by_the_replay()
    {
        SinkMark durable;
        await using (var sink = Sink())
        {
            await sink.OpenAsync(default, Cancel);
            durable = await sink.PublishAsync(1, [Record(OutputKind.Result, "{\"a\":1}")], Cancel);
            await sink.PublishAsync(2, [Record(OutputKind.Result, "{\"a\":2}")], Cancel);
        }

        File.AppendAllText(Target, "{\"torn");
        await using (var sink = Sink())
        {
            await sink.OpenAsync(durable, Cancel);
            Assert.Equal(new SinkMark(2, 16), await sink.PublishAsync(2, [Record(OutputKind.Result, "{\"a\":2}")], Cancel));
        }

        Assert.Equal("{\"a\":1}\n{\"a\":2}\n", File.ReadAllText(Target));
    }

    [Fact]
    public async Task A_bounded_file_is_moved_aside_and_only_the_latest_of_them_is_kept()
    {
        await using var sink = Bounded();
        await sink.OpenAsync(default, Cancel);
        for (var i = 1; i <= 9; i++)
            await sink.PublishAsync(i, [Record(OutputKind.DeadLetter, $$"""{"a":{{i}}}""")], Cancel);
        Assert.Equal("""{"a":9}""" + "\n", File.ReadAllText(Target));
        Assert.Equal([Target, Target + ".1"], Directory.GetFiles(Path.GetDirectoryName(Target)!).Order());
        Assert.Equal("{\"a\":5}\n{\"a\":6}\n{\"a\":7}\n{\"a\":8}\n", File.ReadAllText(Target + ".1"));
    }

    [Fact]
    public async Task A_bounded_file_cut_back_to_any_mark_has_every_record_after_it_once()
    {
        for (var known = 0; known <= 9; known++)
        {
            SinkMark durable = default;
            await using (var sink = Bounded())
            {
                await sink.OpenAsync(default, Cancel);
                for (var i = 1; i <= 9; i++)
                {
                    var mark = await sink.PublishAsync(i, [Record(OutputKind.DeadLetter, $$"""{"a":{{i}}}""")], Cancel);
                    durable = i == known ? mark : durable;
                }
            }

            await using (var sink = Bounded())
            {
                await sink.OpenAsync(durable, Cancel);
                for (var i = known + 1; i <= 9; i++)
                    await sink.PublishAsync(i, [Record(OutputKind.DeadLetter, $$"""{"a":{{i}}}""")], Cancel);
            }

            var lines = Directory.GetFiles(Path.GetDirectoryName(Target)!).SelectMany(File.ReadAllLines).ToList();
            Assert.Equal(lines.Distinct().Count(), lines.Count);
            Assert.All(Enumerable.Range(Math.Max(known + 1, 5), 9 - Math.Max(known, 4)), i => Assert.Contains($$"""{"a":{{i}}}""", lines));
            Directory.Delete(Path.GetDirectoryName(Target)!, recursive: true);
        }
    }

    [Fact]
    public async Task Only_the_kinds_asked_for_are_written()
    {
        await using var sink = Sink(OutputKind.Episode);
        await sink.OpenAsync(default, Cancel);
        await sink.PublishAsync(1, [Record(OutputKind.Result, "{}"), Record(OutputKind.Episode, "{\"e\":1}"), Record(OutputKind.DeadLetter, "{}")], Cancel);
        Assert.Equal("{\"e\":1}\n", File.ReadAllText(Target));
    }

    [Fact]
    public async Task A_file_that_was_removed_is_begun_anew()
    {
        await using var sink = Sink();
        await sink.OpenAsync(new SinkMark(7, 1000), Cancel);
        Assert.Equal(new SinkMark(8, 3), await sink.PublishAsync(8, [Record(OutputKind.Result, "{}")], Cancel));
    }

    [Fact]
    public async Task Standard_output_gets_lines_too()
    {
        var output = new MemoryStream();
        var sink = new StdoutSink("console", new HashSet<OutputKind> { OutputKind.Result }, output);
        await sink.PublishAsync(1, [Record(OutputKind.Result, "{}"), Record(OutputKind.Episode, "{}")], Cancel);
        Assert.Equal("{}\n"u8, output.ToArray());
    }

    private FileSink Sink(params OutputKind[] kinds) => new(
        new FileSinkSettings { Name = "file", Path = Target, Kinds = (kinds.Length == 0 ? Enum.GetValues<OutputKind>() : kinds).ToHashSet() },
        TimeProvider.System, NullLogger<FileSink>.Instance);

    private FileSink Bounded() => new(new FileSinkSettings { Name = "file", Path = Target, MaxBytes = 30 }, TimeProvider.System, NullLogger<FileSink>.Instance);

    private static OutputRecord Record(OutputKind kind, string json) => new(kind, "s", 0, 0, Encoding.UTF8.GetBytes(json));
}
