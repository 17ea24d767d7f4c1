using System.Globalization;
using StreamLstm.Connectors.Files.Signals;

namespace StreamLstm.Integration.Tests.Files;

/// <summary>Records written here after the WFDB Applications Guide, header(5), signal(5), annot(5).</summary>
public sealed class WfdbRecordTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("wfdb");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData(16, -32767, 32767)]
    [InlineData(212, -2047, 2047)]
    [InlineData(80, -127, 127)]
    public void What_was_written_is_read_in_every_format(int format, int least, int most)
    {
        var random = new Random(7);
        int[][] raw = [.. Enumerable.Range(0, 301).Select(_ => new[] { random.Next(least, most + 1), random.Next(least, most + 1) })];
        Write("r", $"r 2 360 {raw.Length}\nr.dat {format} 200(10)/mV 12 0 0 0 0 MLII\nr.dat {format} 100 12 5 0 0 0 V1\n# remark", Encode(format, raw));

        var record = WfdbRecord.Open(Path.Combine(_folder.FullName, "r.hea"));
        var read = record.ReadSamples().Select(v => v.ToArray()).ToList();

        Assert.Equal((360, 301, "MLII", "V1"), (record.Rate, record.Samples, record.Signals[0].Name, record.Signals[1].Name));
        Assert.Equal(raw.Select(r => (r[0] - 10) / 200.0), read.Select(v => v[0]));
        Assert.Equal(raw.Select(r => (r[1] - 5) / 100.0), read.Select(v => v[1]));
    }

    [Theory]
    [InlineData(16, short.MinValue)]
    [InlineData(212, -2048)]
    [InlineData(80, -128)]
    public void The_mark_of_a_missing_sample_is_no_value(int format, int mark)
    {
        Write("r", $"r 1 100 2\nr.dat {format} 200", Encode(format, [[mark], [50]]));
        Assert.Equal([double.NaN, 0.25], WfdbRecord.Open(Path.Combine(_folder.FullName, "r.hea")).ReadSamples().Select(v => v[0]));
    }

    [Theory]
    [InlineData("", null)]
    [InlineData(" 10:20:30", null)]
    [InlineData(" 10:20:30 24/12/2019", "2019-12-24T10:20:30Z")]
    [InlineData(" 9:2:3.25 1/2/1991", "1991-02-01T09:02:03.25Z")]
    public void The_base_time_counts_if_it_comes_with_its_date(string fields, string? start)
    {
        Write("r", $"r 1 100 2{fields}\nr.dat 16 200", new byte[4]);
        Assert.Equal(start is null ? null : DateTimeOffset.Parse(start, CultureInfo.InvariantCulture), WfdbRecord.Open(Path.Combine(_folder.FullName, "r.hea")).Start);
    }

    [Fact]
    public void A_file_that_is_shorter_than_announced_is_said_to_be_so()
    {
        Write("r", "r 1 100 10\nr.dat 16 200", new byte[13]);
        var error = Assert.Throws<InvalidDataException>(() => WfdbRecord.Open(Path.Combine(_folder.FullName, "r.hea")).ReadSamples().Count());
        Assert.Contains("it ends after 6 of 10 samples", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Annotations_come_with_their_sample_and_mnemonic_over_skips_and_texts()
    {
        var bytes = new List<byte>();
        Word(bytes, (1 << 10) | 100);
        Word(bytes, (5 << 10) | 1000);
        // A skip of 70,000, a rhythm change with its text, then a paced beat.
        Word(bytes, 59 << 10);
        Word(bytes, 1);
        Word(bytes, 70_000 - 65_536);
        Word(bytes, (28 << 10) | 0);
        Word(bytes, (63 << 10) | 3);
        bytes.AddRange("(N\0\0"u8.ToArray());
        Word(bytes, (12 << 10) | 1);
        Word(bytes, 0);
        File.WriteAllBytes(Path.Combine(_folder.FullName, "a.atr"), [.. bytes]);

        Assert.Equal(
            [new(100, "N"), new(1100, "V"), new(71_100, "+"), new(71_101, "/")],
            WfdbRecord.ReadAnnotations(Path.Combine(_folder.FullName, "a.atr")));
    }

    [Theory]
    [InlineData("", "no record line")]
    [InlineData("r/3 2 360 10", "several segments")]
    [InlineData("r two 360", "number of signals")]
    [InlineData("r 65 360", "number of signals")]
    [InlineData("r 1 0\nr.dat 16", "sampling frequency")]
    [InlineData("r 1 360 x\nr.dat 16", "number of samples")]
    [InlineData("r 2 360 10\nr.dat 16", "2 signals are announced, 1 described")]
    [InlineData("r 1 360 10 12:00 1/1/2020\nr.dat 16", "base time")]
    [InlineData("r 1 360 10\nr.dat 311", "format 311 is not 16, 212 or 80")]
    [InlineData("r 1 360 10\nr.dat 212x4", "not supported")]
    [InlineData("r 1 360 10\n../r.dat 16", "not the name of a file beside the header")]
    [InlineData("r 1 360 10\nr.dat 16 many", "gain")]
    [InlineData("r 2 360 10\nr.dat 16\ns.dat 16", "several files")]
    public void A_header_that_is_not_understood_is_refused_with_the_reason(string header, string reason)
    {
        Write("r", header, []);
        var error = Assert.Throws<InvalidDataException>(() => WfdbRecord.Open(Path.Combine(_folder.FullName, "r.hea")));
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.Contains("r.hea", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Whatever_the_bytes_they_are_read_or_refused()
    {
        var random = new Random(11);
        var path = Path.Combine(_folder.FullName, "f.atr");
        var refused = 0;
        for (var i = 0; i < 2000; i++)
        {
            var bytes = new byte[random.Next(0, 200)];
            random.NextBytes(bytes);
            File.WriteAllBytes(path, bytes);
            try
            {
                Assert.All(WfdbRecord.ReadAnnotations(path), a => Assert.True(a.Sample >= 0));
            }
            catch (InvalidDataException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 1, 2000);
    }

    private void Write(string name, string header, byte[] data)
    {
        File.WriteAllText(Path.Combine(_folder.FullName, name + ".hea"), header);
        File.WriteAllBytes(Path.Combine(_folder.FullName, name + ".dat"), data);
    }

    private static byte[] Encode(int format, int[][] samples)
    {
        int[] flat = [.. samples.SelectMany(s => s)];
        var bytes = new List<byte>();
        for (var i = 0; i < flat.Length; i++)
        {
            switch (format)
            {
                case 16:
                    Word(bytes, flat[i]);
                    break;
                case 80:
                    bytes.Add((byte)(flat[i] + 128));
                    break;
                default:
                    var (a, b) = (flat[i] & 0xFFF, i + 1 < flat.Length ? flat[i + 1] & 0xFFF : 0);
                    bytes.AddRange([(byte)a, (byte)((a >> 8) | ((b >> 8) << 4))]);
                    if (++i < flat.Length)
                        bytes.Add((byte)b);
                    break;
            }
        }

        return [.. bytes];
    }

    private static void Word(List<byte> bytes, int word)
    {
        bytes.Add((byte)word);
        bytes.Add((byte)(word >> 8));
    }
}
