using System.Buffers.Binary;
using System.Text;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Storage;

public sealed class RecordLogTests : IDisposable
{
    private const int HeaderBytes = 16;
    private const int FrameBytes = 16;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_was_appended_is_read_back_in_order_also_after_reopening()
    {
        var payloads = Enumerable.Range(1, 50).Select(i => new string((char)('a' + (i % 26)), i * 7)).ToArray();
        using (var log = Open())
        {
            foreach (var payload in payloads)
                log.Append(Encoding.UTF8.GetBytes(payload));
            log.Flush();
            Assert.Equal(payloads, ReadAll(log));
        }

        using var again = Open();
        Assert.Equal(payloads, ReadAll(again));
    }

    [Fact]
    public void Positions_ascend_over_segments_and_survive_reopening()
    {
        var positions = new List<long>();
        long end;
        using (var log = Open(segmentBytes: 200))
        {
            for (var i = 0; i < 40; i++)
                positions.Add(log.Append(Encoding.UTF8.GetBytes($"record {i}")));
            end = log.End;
        }

        Assert.True(Segments().Length > 3, "the test is trivial with one segment");
        Assert.Equal(positions.Order(), positions);
        using var again = Open(segmentBytes: 200);
        Assert.Equal(end, again.End);
        Assert.Equal(end, again.Append("next"u8));
        for (var i = 0; i < 40; i++)
            Assert.Equal($"record {i}", Read(again, positions[i]));
    }

    [Fact]
    public void A_record_torn_at_any_byte_is_cut_off_and_those_before_it_stay()
    {
        using (var log = Open())
        {
            log.Append("first"u8);
            log.Append("second"u8);
            log.Append("the last record"u8);
        }

        var whole = File.ReadAllBytes(Segments()[0]);
        var lastStart = whole.Length - FrameBytes - "the last record".Length;
        for (var length = lastStart; length < whole.Length; length++)
        {
            File.WriteAllBytes(Segments()[0], whole[..length]);
            using (var log = Open())
            {
                Assert.Equal(["first", "second"], ReadAll(log));
                log.Append("after"u8);
            }

            using var again = Open();
            Assert.Equal(["first", "second", "after"], ReadAll(again));
        }
    }

    [Fact]
    public void A_last_record_with_a_damaged_byte_counts_as_torn()
    {
        using (var log = Open())
        {
            log.Append("first"u8);
            log.Append("last"u8);
        }

        var whole = File.ReadAllBytes(Segments()[0]);
        for (var at = whole.Length - FrameBytes - 4; at < whole.Length; at++)
        {
            var damaged = whole.ToArray();
            damaged[at] ^= 0x40;
            File.WriteAllBytes(Segments()[0], damaged);
            using var log = Open();
            Assert.Equal(["first"], ReadAll(log));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(16)]
    [InlineData(4096)]
    public void Zeros_after_the_last_record_as_a_power_cut_leaves_them_are_cut_off(int zeros)
    {
        using (var log = Open())
            log.Append("first"u8);
        File.AppendAllText(Segments()[0], new string('\0', zeros));
        using var again = Open();
        Assert.Equal(["first"], ReadAll(again));
    }

    [Fact]
    public void A_last_record_of_which_only_the_head_reached_the_disk_is_cut_off_although_zeros_follow()
    {
        using (var log = Open())
        {
            log.Append("first"u8);
            log.Append("second, half written"u8);
        }

        var whole = File.ReadAllBytes(Segments()[0]);
        Array.Clear(whole, whole.Length - 5, 5);
        File.WriteAllBytes(Segments()[0], [.. whole, .. new byte[100]]);
        using var again = Open();
        Assert.Equal(["first"], ReadAll(again));
    }

    [Fact]
    public void A_flipped_bit_anywhere_in_a_middle_record_is_an_error_that_names_its_position()
    {
        long position;
        using (var log = Open())
        {
            log.Append("first"u8);
            position = log.Append("the middle"u8);
            log.Flush();
            log.Append("third"u8);
            log.Append("fourth"u8);
        }

        var whole = File.ReadAllBytes(Segments()[0]);
        var start = HeaderBytes + (int)position;
        for (var at = start; at < start + FrameBytes + "the middle".Length; at++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                var damaged = whole.ToArray();
                damaged[at] ^= (byte)(1 << bit);
                File.WriteAllBytes(Segments()[0], damaged);
                var error = Assert.Throws<CorruptLogException>(() => Open().Dispose());
                Assert.Contains($"position {position}", error.Message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    [Trait("Category", "Faults")]
    public void A_power_cut_that_loses_any_part_of_the_unsynced_records_costs_only_those()
    {
        var random = new Random(7);
        for (var round = 0; round < 300; round++)
        {
            Directory.Delete(_folder.Path, recursive: true);
            var synced = new List<string>();
            var unsynced = new List<string>();
            long durable;
            using (var log = Open())
            {
                for (var i = random.Next(1, 6); i > 0; i--)
                    synced.Add(Add(log, random));
                log.Flush();
                durable = log.End;
                for (var i = random.Next(1, 6); i > 0; i--)
                    unsynced.Add(Add(log, random));
            }

            // Blocks of an unsynced write reach the disk in any order; the others read as zeros.
            var bytes = File.ReadAllBytes(Segments()[0]);
            var at = HeaderBytes + (int)durable;
            for (var lost = random.Next(1, 4); lost > 0; lost--)
            {
                var from = random.Next(at, bytes.Length);
                bytes.AsSpan(from, Math.Min(random.Next(1, 64), bytes.Length - from)).Clear();
            }

            File.WriteAllBytes(Segments()[0], bytes);
            using (var log = Open())
            {
                var left = ReadAll(log);
                Assert.Equal(synced, left.Take(synced.Count));
                Assert.Equal(unsynced.Take(left.Count - synced.Count), left.Skip(synced.Count));
                log.Append("after"u8);
            }

            using var again = Open();
            Assert.Equal("after", ReadAll(again)[^1]);
        }

        static string Add(RecordLog log, Random random)
        {
            var text = new string((char)random.Next('a', 'z' + 1), random.Next(1, 80));
            log.Append(Encoding.UTF8.GetBytes(text));
            return text;
        }
    }

    [Fact]
    [Trait("Category", "Faults")]
    public void A_flipped_bit_before_the_last_flush_that_a_later_record_vouches_for_is_always_refused()
    {
        long durable;
        using (var log = Open())
        {
            for (var i = 0; i < 5; i++)
                log.Append(Encoding.UTF8.GetBytes($"durable record {i}"));
            log.Flush();
            durable = log.End;
            log.Append("not yet synced"u8);
            log.Append("nor this"u8);
        }

        var whole = File.ReadAllBytes(Segments()[0]);
        for (var at = 0; at < HeaderBytes + (int)durable; at++)
        {
            var damaged = whole.ToArray();
            damaged[at] ^= (byte)(1 << (at % 8));
            File.WriteAllBytes(Segments()[0], damaged);
            Assert.Throws<CorruptLogException>(() => Open().Dispose());
        }

        File.WriteAllBytes(Segments()[0], whole);
        using var unharmed = Open();
        Assert.Equal(7, ReadAll(unharmed).Count);
    }

    [Fact]
    [Trait("Category", "Faults")]
    public void Records_from_elsewhere_in_the_log_are_not_taken_for_the_ones_that_belong_there()
    {
        long second;
        using (var log = Open())
        {
            log.Append("same"u8);
            second = log.Append("same"u8);
        }

        var bytes = File.ReadAllBytes(Segments()[0]);
        bytes.AsSpan(HeaderBytes, (int)second).CopyTo(bytes.AsSpan(HeaderBytes + (int)second));
        File.WriteAllBytes(Segments()[0], bytes);
        using var again = Open();
        Assert.Equal(["same"], ReadAll(again));
    }

    [Fact]
    [Trait("Category", "Faults")]
    public void After_a_failed_flush_nothing_is_accepted_until_the_log_is_opened_again()
    {
        var fail = false;
        using (var log = new RecordLog(_folder["log"], 1 << 20, handle =>
        {
            if (fail)
                throw new IOException("the disk is gone");
            RandomAccess.FlushToDisk(handle);
        }))
        {
            log.Append("safe"u8);
            log.Flush();
            fail = true;
            log.Append("unsure"u8);
            Assert.Contains("the disk is gone", Assert.Throws<FlushFailedException>(log.Flush).Message, StringComparison.Ordinal);
            fail = false;
            Assert.Throws<IOException>(log.Flush);
            Assert.Throws<IOException>(() => log.Append("later"u8));
            Assert.Throws<IOException>(() => log.Undo());
        }

        using var again = Open();
        Assert.Equal("safe", ReadAll(again)[0]);
        again.Append("accepted"u8);
        Assert.Equal("accepted", ReadAll(again)[^1]);
    }

    /// <summary>
    /// A disk as Linux has it: what a flush fails to write is dropped, yet stays readable until the power is cut, and the next flush is a
    /// success.
    /// </summary>
    [Fact]
    [Trait("Category", "Faults")]
    public void What_a_failed_flush_left_in_memory_alone_is_written_anew_before_it_counts_as_durable()
    {
        var random = new Random(11);
        for (var run = 0; run < 60; run++)
        {
            var (here, disk) = (_folder[$"memory-{run}"], _folder[$"disk-{run}"]);
            var model = new ForgetfulDisk(here, disk);
            var durable = new List<string>();
            for (var life = 0; life < 4; life++)
            {
                using var log = new RecordLog(here, 4096, model.Sync, model.Write);
                // All that can be read counts from here on, as the engine acts upon it.
                durable = ReadAll(log);
                for (var i = random.Next(1, 30); i > 0; i--)
                {
                    var text = $"{life}-{i}-" + new string('x', random.Next(1, 400));
                    log.Append(Encoding.UTF8.GetBytes(text));
                    if (random.Next(3) > 0)
                        continue;
                    log.Flush();
                    durable = ReadAll(log);
                }

                model.Fails = true;
                log.Append("never acknowledged"u8);
                Assert.Throws<FlushFailedException>(log.Flush);
                model.Fails = false;
            }

            // The power is cut.
            using var after = new RecordLog(disk, 4096);
            Assert.Equal(durable, ReadAll(after).Take(durable.Count));
        }
    }

    private sealed class ForgetfulDisk(string memory, string disk)
    {
        private readonly List<(string File, long Offset, int Length)> _dirty = [];

        public bool Fails { get; set; }

        public void Write(Microsoft.Win32.SafeHandles.SafeFileHandle file, ReadOnlySpan<byte> bytes, long offset)
        {
            RandomAccess.Write(file, bytes, offset);
            _dirty.Add((PathOf(file), offset, bytes.Length));
        }

        public void Sync(Microsoft.Win32.SafeHandles.SafeFileHandle file)
        {
            var path = PathOf(file);
            var written = _dirty.Where(d => d.File == path).ToList();
            _dirty.RemoveAll(d => d.File == path);
            if (Fails)
                throw new IOException("Input/output error", 5);
            Directory.CreateDirectory(disk);
            using var target = File.OpenHandle(path.Replace(memory, disk, StringComparison.Ordinal), FileMode.OpenOrCreate, FileAccess.ReadWrite);
            foreach (var (_, offset, length) in written)
            {
                var bytes = new byte[length];
                bytes = bytes[..RandomAccess.Read(file, bytes, offset)];
                RandomAccess.Write(target, bytes, offset);
            }

            // Truncation is metadata, which a flush of the file brings along.
            if (RandomAccess.GetLength(target) > RandomAccess.GetLength(file))
                RandomAccess.SetLength(target, RandomAccess.GetLength(file));
        }

        private string PathOf(Microsoft.Win32.SafeHandles.SafeFileHandle file) => Directory.GetFiles(memory).Single(p => Same(p, file));

        private static bool Same(string path, Microsoft.Win32.SafeHandles.SafeFileHandle file) =>
            new FileInfo($"/proc/self/fd/{file.DangerousGetHandle()}").ResolveLinkTarget(returnFinalTarget: true)?.FullName == Path.GetFullPath(path);
    }

    [Fact]
    public void Staged_records_share_a_write_and_are_read_in_order_after_the_flush()
    {
        var sizes = new[] { 1, 100, 300_000, 5, 262_128, 262_127, 7, 1_000_000 };
        using (var log = Open(segmentBytes: 1 << 21))
        {
            foreach (var size in sizes)
                log.Stage(new byte[size]);
            log.Flush();
            Assert.Equal(sizes, ReadAll(log).Select(r => r.Length));
        }

        using var again = Open(segmentBytes: 1 << 21);
        Assert.Equal(sizes, ReadAll(again).Select(r => r.Length));
    }

    [Fact]
    public void A_segment_whose_header_a_power_cut_left_as_zeros_is_removed()
    {
        long end;
        using (var log = Open())
        {
            log.Append("first"u8);
            end = log.End;
        }

        var stillborn = Path.Combine(_folder["log"], end.ToString("D20", System.Globalization.CultureInfo.InvariantCulture) + ".log");
        File.WriteAllBytes(stillborn, new byte[4096]);
        using var again = Open();
        Assert.Equal(["first"], ReadAll(again));
        Assert.False(File.Exists(stillborn));
    }

    [Fact]
    public void Damage_in_an_older_segment_is_an_error_when_it_is_read()
    {
        long position;
        using (var log = Open(segmentBytes: 64))
        {
            log.Append("first"u8);
            position = log.Append(new byte[40]);
            log.Append(new byte[40]);
        }

        Assert.True(Segments().Length > 1);
        var bytes = File.ReadAllBytes(Segments()[0]);
        bytes[^1] ^= 1;
        File.WriteAllBytes(Segments()[0], bytes);
        using var again = Open(segmentBytes: 64);
        var error = Assert.Throws<CorruptLogException>(() => ReadAll(again));
        Assert.Contains($"position {position}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_segment_is_an_error_on_opening()
    {
        using (var log = Open(segmentBytes: 64))
        {
            for (var i = 0; i < 5; i++)
                log.Append(new byte[60]);
        }

        File.Delete(Segments()[2]);
        var error = Assert.Throws<CorruptLogException>(() => Open(segmentBytes: 64).Dispose());
        Assert.Contains("segment is missing", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unknown_format_version_is_refused_with_both_numbers()
    {
        using (var log = Open())
            log.Append("first"u8);
        var bytes = File.ReadAllBytes(Segments()[0]);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), 9);
        File.WriteAllBytes(Segments()[0], bytes);
        var error = Assert.Throws<CorruptLogException>(() => Open().Dispose());
        Assert.Contains("version 9", error.Message, StringComparison.Ordinal);
        Assert.Contains("version 4", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_no_segment_is_refused()
    {
        Directory.CreateDirectory(_folder["log"]);
        File.WriteAllText(Path.Combine(_folder["log"], "00000000000000000000.log"), "some text that is long enough");
        Assert.Throws<CorruptLogException>(() => Open().Dispose());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(15)]
    public void A_segment_that_a_crash_left_without_its_header_is_removed(int length)
    {
        long end;
        using (var log = Open())
        {
            log.Append("first"u8);
            end = log.End;
        }

        var stillborn = Path.Combine(_folder["log"], end.ToString("D20", System.Globalization.CultureInfo.InvariantCulture) + ".log");
        File.WriteAllBytes(stillborn, File.ReadAllBytes(Segments()[0])[..length]);
        using var again = Open();
        Assert.Equal(["first"], ReadAll(again));
        Assert.False(File.Exists(stillborn));
        again.Append("second"u8);
        Assert.Equal(["first", "second"], ReadAll(again));
    }

    [Fact]
    public void Truncation_deletes_whole_segments_and_keeps_the_rest_readable()
    {
        var positions = new List<long>();
        using (var log = Open(segmentBytes: 100))
        {
            for (var i = 0; i < 30; i++)
                positions.Add(log.Append(Encoding.UTF8.GetBytes($"record {i}")));
            var before = Segments().Length;
            log.TruncateBefore(positions[20]);
            Assert.True(Segments().Length < before);
            Assert.True(log.Start <= positions[20]);
            for (var i = 20; i < 30; i++)
                Assert.Equal($"record {i}", Read(log, positions[i]));
            var error = Assert.Throws<CorruptLogException>(() => Read(log, positions[0]));
            Assert.Contains("was deleted", error.Message, StringComparison.Ordinal);
        }

        using var again = Open(segmentBytes: 100);
        Assert.Equal("record 29", ReadAll(again)[^1]);
        again.TruncateBefore(again.End);
        Assert.Single(Segments());
        Assert.Equal("record 29", ReadAll(again)[^1]);
    }

    [Fact]
    public void A_record_larger_than_a_segment_has_one_of_its_own()
    {
        using var log = Open(segmentBytes: 64);
        log.Append("small"u8);
        log.Append(new byte[1000]);
        log.Append("small"u8);
        Assert.Equal(3, ReadAll(log).Count);
        Assert.Equal(3, Segments().Length);
    }

    [Fact]
    public void An_empty_record_is_refused() => Assert.Throws<ArgumentException>(() =>
    {
        using var log = Open();
        log.Append([]);
    });

    [Theory]
    [InlineData("", 0u)]
    [InlineData("123456789", 0xE3069283u)]
    [InlineData("a", 0xC1D04330u)]
    public void The_checksum_is_Castagnolis(string text, uint expected) => Assert.Equal(expected, RecordLog.Crc(Encoding.ASCII.GetBytes(text)));

    private RecordLog Open(long segmentBytes = 1 << 20) => new(_folder["log"], segmentBytes);

    private string[] Segments() => [.. Directory.GetFiles(_folder["log"], "*.log").Order(StringComparer.Ordinal)];

    private static string Read(RecordLog log, long position)
    {
        var buffer = new byte[8];
        Assert.True(log.TryRead(position, ref buffer, out var length, out _));
        return Encoding.UTF8.GetString(buffer, 0, length);
    }

    private static List<string> ReadAll(RecordLog log)
    {
        var all = new List<string>();
        var buffer = new byte[8];
        var position = log.Start;
        while (log.TryRead(position, ref buffer, out var length, out var next))
        {
            all.Add(Encoding.UTF8.GetString(buffer, 0, length));
            position = next;
        }

        Assert.Equal(log.End, position);
        return all;
    }
}
