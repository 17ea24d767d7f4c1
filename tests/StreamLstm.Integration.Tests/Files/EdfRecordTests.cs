using StreamLstm.Connectors.Files.Signals;

namespace StreamLstm.Integration.Tests.Files;

public sealed class EdfRecordTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("edf");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_plain_file_is_read_in_physical_units_with_every_signal_at_its_own_rate()
    {
        var file = new EdfFile { Duration = "0.5" };
        file.Signals.Add(("EEG Fpz-Cz", "uV", "-500", "500", "-2048", "2047", 4));

        // A reversed physical range turns the sign.
        file.Signals.Add(("Temp", "degC", "40", "34.4", "-100", "100", 1));
        file.Add(EdfFile.Samples(-2048, 0, 100, 2047), EdfFile.Samples(-100));
        file.Add(EdfFile.Samples(1, 2, 3, 4), EdfFile.Samples(100));
        var record = EdfRecord.Open(Write(file.Bytes()));
        var blocks = record.Read().Select(b => (b.Onset, Values: b.Values.Select(v => v.ToArray()).ToArray())).ToArray();

        Assert.Equal((false, true, 0.5, 2L, new DateTimeOffset(1999, 12, 24, 10, 20, 30, TimeSpan.Zero)), (record.IsPlus, record.IsContinuous, record.RecordSeconds, record.Records, record.Start));
        Assert.Equal([("EEG Fpz-Cz", "uV", 4), ("Temp", "degC", 1)], record.Signals.Select(s => (s.Label, s.Unit, s.SamplesPerRecord)));
        Assert.Equal([0, 0.5], blocks.Select(b => b.Onset));
        Assert.Equal(-500, blocks[0].Values[0][0], 1e-9);
        Assert.Equal(500, blocks[0].Values[0][3], 1e-9);
        Assert.Equal(-500 + (2148 * 1000 / 4095.0), blocks[0].Values[0][2], 1e-9);
        Assert.Equal([40, 34.4], blocks.Select(b => Math.Round(b.Values[1][0], 9)));
        Assert.Empty(record.ReadAnnotations());
    }

    [Fact]
    public void Annotations_come_with_onset_duration_and_every_text_and_not_the_time_keeping()
    {
        var file = new EdfFile { Reserved = "EDF+C" };
        file.Signals.Add(("ECG", "mV", "-5", "5", "-100", "100", 2));
        file.Annotations(40);
        file.Add(EdfFile.Samples(1, 2), EdfFile.Lists("+0.25;;Recording starts;|+0.5~1.5;Apnoea;Movement;|", 40));
        file.Add(EdfFile.Samples(3, 4), EdfFile.Lists("+1.25;;|-0.1;lights off \u00E9\u00DF;|", 40));
        var record = EdfRecord.Open(Write(file.Bytes()));

        Assert.True(record.IsPlus && record.IsContinuous);
        Assert.Single(record.Signals);
        Assert.Equal([0.25, 1.25], record.Read().Select(b => b.Onset));
        Assert.Equal([new(0.25, null, "Recording starts"), new(0.5, 1.5, "Apnoea"), new(0.5, 1.5, "Movement"), new(-0.1, null, "lights off \u00E9\u00DF")], record.ReadAnnotations());
    }

    [Fact]
    public void Annotations_mean_nothing_in_a_file_that_is_not_EDF_plus()
    {
        var file = new EdfFile();
        file.Annotations(3);
        file.Signals.Add(("ECG", "mV", "-5", "5", "-100", "100", 1));
        file.Add(EdfFile.Lists("junk", 3), EdfFile.Samples(100));
        var record = EdfRecord.Open(Write(file.Bytes()));

        Assert.Equal("ECG", Assert.Single(record.Signals).Label);
        Assert.Equal(5, Assert.Single(record.Read()).Values[0][0], 1e-9);
        Assert.Empty(record.ReadAnnotations());
    }

    [Fact]
    public void A_discontinuous_file_keeps_its_gaps()
    {
        var file = new EdfFile { Reserved = "EDF+D" };
        file.Signals.Add(("ECG", "mV", "-5", "5", "-100", "100", 1));
        file.Annotations(8);
        foreach (var onset in new[] { "+0", "+1", "+60.5" })
            file.Add(EdfFile.Samples(1), EdfFile.Lists(onset + ";;|", 8));
        var record = EdfRecord.Open(Write(file.Bytes()));

        Assert.False(record.IsContinuous);
        Assert.Equal([0, 1, 60.5], record.Read().Select(b => b.Onset));
    }

    [Fact]
    public void A_file_of_annotations_only_and_one_still_being_recorded_are_read()
    {
        var scoring = new EdfFile { Reserved = "EDF+C", Duration = "0" };
        scoring.Annotations(20);
        scoring.Add(EdfFile.Lists("+0;;|+30~30;Sleep stage W;|", 20));
        Assert.Equal([new(30, 30, "Sleep stage W")], EdfRecord.Open(Write(scoring.Bytes())).ReadAnnotations());

        var growing = new EdfFile { Records = "-1" };
        growing.Signals.Add(("ECG", "mV", "-5", "5", "-100", "100", 2));
        growing.Add(EdfFile.Samples(1, 2));
        growing.Add(EdfFile.Samples(3, 4));
        byte[] bytes = [.. growing.Bytes(), 1];
        Assert.Equal(2, EdfRecord.Open(Write(bytes)).Read().Count());
    }

    public static TheoryData<string, string> Faulty() => new()
    {
        { "version", "version 0 of EDF" },
        { "bdf", "BDF" },
        { "start", "dd.mm.yy hh.mm.ss" },
        { "day", "dd.mm.yy hh.mm.ss" },
        { "header", "a header of 256 bytes doesn't fit 2 signals" },
        { "plus", "neither EDF+C nor EDF+D" },
        { "duration", "duration of a data record: 'long' is not a number" },
        { "no duration", "must be above 0 s" },
        { "records", "number of data records: 'many'" },
        { "negative", "must be -1 or more" },
        { "digital", "digital minimum and maximum must be ascending" },
        { "physical", "physical minimum '5' and maximum '5'" },
        { "samples", "number of samples per data record must be" },
        { "large", "more than 16777216 samples" },
        { "no lists", "doesn't say when its data records start" },
        { "short header", "ends within the header" },
        { "short", "it ends within data record 2 of 2" },
        { "no start", "data record 1 doesn't say when it starts" },
        { "open list", "an annotation in data record 2 isn't closed" },
        { "unsigned", "begins with '7' instead of a signed time" },
        { "list duration", "has the duration 'x'" },
        { "jump", "starts at 5 s and not at 1 s" },
        { "overlap", "before the last one's end at 1 s" },
    };

    [Theory]
    [MemberData(nameof(Faulty))]
    public void What_is_not_understood_is_refused_with_the_reason(string fault, string reason)
    {
        var file = new EdfFile { Reserved = fault == "overlap" ? "EDF+D" : fault == "plus" ? "EDF+X" : "EDF+C" };
        file.Signals.Add(("ECG", "mV", fault == "physical" ? "5" : "-5", "5", "-100", fault == "digital" ? "-100" : "100", fault switch { "samples" => 0, "large" => 16_777_216, _ => 2 }));
        if (fault == "no lists")
            file.Signals.Add(("Other", "", "-1", "1", "-1", "1", 10));
        else
            file.Annotations(10);
        file.Add(EdfFile.Samples(1, 2), EdfFile.Lists(fault == "no start" ? "" : "+0;;|", 10));
        file.Add(EdfFile.Samples(1, 2), EdfFile.Lists(
            fault switch { "open list" => "+1;;|+2;text|", "unsigned" => "+1;;|7;text;|", "list duration" => "+1;;|+2~x;text;|", "jump" => "+5;;|", "overlap" => "+0.5;;|", _ => "+1;;|" }, 10));
        (file.Version, file.Start, file.HeaderBytes, file.Duration, file.Records) = (
            fault switch { "version" => "1", "bdf" => "\u00FFBIOSEMI", _ => "0" },
            fault switch { "start" => "24/12/9910:20:30", "day" => "31.02.9910.20.30", _ => file.Start },
            fault == "header" ? "256" : null,
            fault switch { "duration" => "long", "no duration" => "0", _ => "1" },
            fault switch { "records" => "many", "negative" => "-2", _ => null });
        var bytes = file.Bytes();
        bytes = fault switch { "short header" => bytes[..700], "short" => bytes[..^3], _ => bytes };
        var error = Assert.Throws<InvalidDataException>(() => EdfRecord.Open(Write(bytes)).Read().Count());

        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.Contains("r.edf", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Whatever_is_changed_in_a_file_it_is_read_or_refused()
    {
        var file = new EdfFile { Reserved = "EDF+C" };
        file.Signals.Add(("ECG", "mV", "-5", "5", "-100", "100", 3));
        file.Annotations(20);
        for (var n = 0; n < 4; n++)
            file.Add(EdfFile.Samples(n, 2, 3), EdfFile.Lists($"+{n};;|+{n}.5~1;text;more;|", 20));
        var whole = file.Bytes();
        var random = new Random(13);
        var (refused, read) = (0, 0);
        for (var i = 0; i < 4000; i++)
        {
            var bytes = whole.ToArray();
            for (var k = random.Next(1, 6); k > 0; k--)
            {
                // Mostly bytes that mean something, in places that do.
                var at = random.Next(3) == 0 ? random.Next(bytes.Length) : random.Next(4) switch { 0 => random.Next(168, 256), 1 => random.Next(256, 288), 2 => random.Next(464, 544), _ => random.Next(768, bytes.Length) };
                bytes[at] = random.Next(3) == 0 ? (byte)random.Next(256) : (byte)" 0123456789.+-\u0014\u0015\0eE"[random.Next(19)];
            }

            bytes = random.Next(8) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
            try
            {
                var record = EdfRecord.Open(Write(bytes));
                foreach (var block in record.Read())
                {
                    Assert.True(double.IsFinite(block.Onset));
                    Assert.All(block.Values, values => Assert.All(values, v => Assert.True(double.IsFinite(v))));
                    Assert.All(block.Annotations, a => Assert.True(double.IsFinite(a.Onset) && a.Duration is null or >= 0));
                }

                read++;
            }
            catch (InvalidDataException)
            {
                refused++;
            }
        }

        Assert.True(refused > 500 && read > 500, $"{refused} refused, {read} read");
    }

    private string Write(byte[] bytes)
    {
        var path = Path.Combine(_folder.FullName, "r.edf");
        File.WriteAllBytes(path, bytes);
        return path;
    }
}
