using System.Text;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.StateLog;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.StateLog;

public sealed class StateLogTests : IDisposable
{
    private const int SegmentHeader = 16;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_commit_gives_back_header_states_and_outputs()
    {
        using (var log = Open())
        {
            var header = new CommitHeader { Sequence = 7, JournalNext = 4711 };
            header.Clocks[3] = 99;
            header.ActiveVersions["load"] = 2;
            header.SourcePositions["file"] = "a.csv:12";
            header.SinkMarks["archive"] = new SinkMark(6, 1234);
            log.Commit(header, [States("x"), States("y")], [Output("one"), Output("two") with { Newest = false, Revision = 3 }]);
        }

        using var again = Open();
        var commit = Assert.Single(again.Read().Select(c => (c.Header, Texts: c.States.Select(s => Encoding.UTF8.GetString(s.Bytes.Span)).ToArray())).ToList());
        Assert.Equal((7, 4711, 99), (commit.Header.Sequence, commit.Header.JournalNext, commit.Header.Clocks[3]));
        Assert.Equal((2, "a.csv:12", new SinkMark(6, 1234)), (commit.Header.ActiveVersions["load"], commit.Header.SourcePositions["file"], commit.Header.SinkMarks["archive"]));
        Assert.Equal(["x", "y"], commit.Texts);
        var (number, outputs) = Assert.Single(again.OutputsAfter(0, 100));
        Assert.Equal(7, number);
        Assert.Equal(["one", "two"], outputs.Select(o => Encoding.UTF8.GetString(o.Json.Span)));
        Assert.Equal([(0, true), (3, false)], outputs.Select(o => (o.Revision, o.Newest)));
    }

    [Fact]
    public void Torn_at_any_byte_of_its_last_commit_the_log_gives_the_commit_before()
    {
        long before;
        using (var log = Open())
        {
            Commit(log, 1);
            before = log.End;
            Commit(log, 2);
        }

        var file = Segment();
        var whole = File.ReadAllBytes(file);
        for (var length = (int)before + SegmentHeader; length < whole.Length; length++)
        {
            File.WriteAllBytes(file, whole[..length]);
            using var log = Open();
            Assert.Equal([1L], log.Read().Select(c => c.Header.Sequence));
            Assert.Equal([1L], log.OutputsAfter(0, 100).Select(o => o.Commit));
            // What is committed from there on is found, whatever the other attempt has left.
            Commit(log, 2, outputs: 0);
            Assert.Equal([1L, 2], log.Read().Select(c => c.Header.Sequence));
            Assert.Equal([2, 0], log.OutputsAfter(0, 100).Select(o => o.Outputs.Count));
        }
    }

    [Fact]
    public void A_bit_flipped_anywhere_in_an_older_segment_is_an_error_or_touches_only_outputs_that_nobody_asks_for()
    {
        using (var log = Open(segmentBytes: 900))
        {
            for (var i = 1; i <= 6; i++)
                Commit(log, i);
        }

        var file = Segment();
        var whole = File.ReadAllBytes(file);
        Assert.True(Directory.GetFiles(_folder["state"]).Length > 2, "Nothing to be damaged but the tail.");
        var refused = 0;
        for (var at = 0; at < whole.Length; at++)
        {
            var damaged = (byte[])whole.Clone();
            damaged[at] ^= 0x10;
            File.WriteAllBytes(file, damaged);
            try
            {
                using var log = Open(segmentBytes: 900);
                var commits = log.Read().Select(c => c.Header.Sequence).ToList();
                Assert.Equal([1L, 2, 3, 4, 5, 6], commits);
                Assert.Throws<CorruptLogException>(() => log.OutputsAfter(0, 100).Count());
            }
            catch (CorruptLogException e)
            {
                Assert.NotEmpty(e.Message);
                refused++;
            }
        }

        Assert.True(refused > whole.Length / 4);
        File.WriteAllBytes(file, whole);
        using var mended = Open(segmentBytes: 900);
        Assert.Equal(6, mended.Read().Count());
    }

    [Fact]
    public void A_record_of_an_unknown_kind_or_version_is_refused_with_its_numbers()
    {
        foreach (var (kind, version, said) in new[] { (9, 2, "Unknown state record kind 9"), (1, 42, "format version 42; this build reads version 2") })
        {
            using (var log = new RecordLog(_folder["state"], 1 << 20))
            {
                log.Append([(byte)kind, (byte)version, 0, 0, 0, 0]);
                log.Flush();
            }

            using (var log = Open())
                Assert.Contains(said, Assert.Throws<CorruptLogException>(() => log.Read().Count()).Message, StringComparison.Ordinal);
            Directory.Delete(_folder["state"], recursive: true);
        }
    }

    [Fact]
    public void A_commit_that_is_missing_among_others_is_an_error()
    {
        using var log = Open();
        Commit(log, 1);
        Commit(log, 3);
        Assert.Contains("Commit 3", Assert.Throws<CorruptLogException>(() => log.Read().Count()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_commit_without_room_leaves_nothing_and_succeeds_once_there_is_some()
    {
        var full = false;
        using (var log = new Runtime.StateLog.StateLog(_folder["state"], 1 << 20, write: (file, bytes, offset) =>
        {
            // What room there was is used.
            RandomAccess.Write(file, full ? bytes[..(bytes.Length / 2)] : bytes, offset);
            if (full)
                throw new IOException("No space left on device", 28);
        }))
        {
            Commit(log, 1);
            full = true;
            var e = Assert.Throws<IOException>(() => Commit(log, 2));
            Assert.True(DiskSpace.IsShort(e));
            log.Undo();
            full = false;
            Commit(log, 2);
        }

        using var again = Open();
        Assert.Equal([1L, 2], again.Read().Select(c => c.Header.Sequence));
        Assert.Equal([2, 2], again.OutputsAfter(0, 100).Select(o => o.Outputs.Count));
    }

    [Fact]
    public void Segments_go_once_neither_a_snapshot_nor_an_undelivered_result_lies_in_them()
    {
        using var log = Open(segmentBytes: 2000);
        for (var i = 1; i <= 30; i++)
            Commit(log, i);
        var before = log.CompactBefore!.Value;
        log.Compact(oldestSnapshot: before - 1, undelivered: 30);
        Assert.Equal(1, log.OldestCommit);
        log.Compact(oldestSnapshot: 30, undelivered: before - 1);
        Assert.Equal(1, log.OldestCommit);
        log.Compact(oldestSnapshot: 20, undelivered: 25);
        Assert.InRange(log.OldestCommit!.Value, 2, 20);
        Assert.Equal(Enumerable.Range(25, 6).Select(i => (long)i), log.OutputsAfter(24, 30).Select(o => o.Commit));
    }

    private Runtime.StateLog.StateLog Open(long segmentBytes = 1 << 20) => new(_folder["state"], segmentBytes);

    private string Segment() => Directory.GetFiles(_folder["state"]).Order(StringComparer.Ordinal).First();

    private static void Commit(Runtime.StateLog.StateLog log, long number, int outputs = 2) =>
        log.Commit(new CommitHeader { Sequence = number }, [States($"state {number}")], [.. Enumerable.Range(0, outputs).Select(i => Output($"{number}.{i}"))]);

    private static ShardOutput States(string text)
    {
        var states = new ShardOutput { StateCount = 1 };
        states.State.Bytes(Encoding.UTF8.GetBytes(text));
        return states;
    }

    private static OutputRecord Output(string json) => new(OutputKind.Result, "stream", 5, 0, Encoding.UTF8.GetBytes(json));
}
