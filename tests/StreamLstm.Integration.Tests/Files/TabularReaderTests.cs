using System.Globalization;
using System.IO.Compression;
using System.Text;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Files;

public sealed class TabularReaderTests
{
    [Fact]
    public void A_time_and_a_value_give_one_stream_named_after_the_file()
    {
        var (rows, rejects, shape) = Read("timestamp,value\n2014-04-01 00:00:00,19.5\n2014-04-01 00:05:00,20.5\n");
        Assert.Equal("single", shape.Form);
        Assert.Equal([new("sample", Micros("2014-04-01T00:00:00Z"), 19.5, 2), new("sample", Micros("2014-04-01T00:05:00Z"), 20.5, 3)], rows);
        Assert.Empty(rejects);
    }

    [Fact]
    public void Every_numeric_column_of_a_wide_table_is_a_stream()
    {
        var (rows, _, shape) = Read("date,HUFL,OT\r\n2016-07-01 00:00:00,5.8,30.5\r\n2016-07-01 01:00:00,5.6,27.7\r\n");
        Assert.Equal("wide", shape.Form);
        Assert.Equal(["HUFL", "OT", "HUFL", "OT"], rows.Select(r => r.Stream));
        Assert.Equal([5.8, 30.5, 5.6, 27.7], rows.Select(r => r.Value));
        Assert.Equal(TimeSpan.FromHours(1), TabularReader.SniffInterval(rows));
    }

    [Fact]
    public void An_id_column_before_the_time_makes_the_table_long_and_a_Null_cell_is_reported()
    {
        var (rows, rejects, shape) = Read("LCLid,DateTime,KWH/hh (per half hour) \nMAC2,2012-10-12 00:30:00.0000000, 0 \nMAC2,2012-10-12 01:00:00.0000000,Null\nMAC3,2012-10-12 01:00:00.0000000, 0.25 \n");
        Assert.Equal(("long", "LCLid"), (shape.Form, shape.StreamColumn));
        Assert.Equal(["MAC2", "MAC3"], rows.Select(r => r.Stream));
        var reject = Assert.Single(rejects);
        Assert.Equal((3, DeadLetterReason.NotFinite, "MAC2"), (reject.Row, reject.Reason, reject.Stream));
        Assert.Contains("Null", reject.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Columns_beside_one_called_value_describe_it()
    {
        var (rows, _, shape) = Read("timestamp,value,label,part\n1472918400,0.23,0,train\n1472918700,0.24,1,train\n");
        Assert.Equal(["value"], shape.ValueColumns);
        Assert.Equal([1472918400000000, 1472918700000000], rows.Select(r => r.TimeMicros));
        Assert.All(rows, r => Assert.Equal("sample", r.Stream));
    }

    [Fact]
    public void Text_columns_after_the_time_are_neither_streams_nor_values()
    {
        var (_, _, shape) = Read("Time,Demand,Temperature,Date,Holiday\n2011-12-31T13:00:00Z,4382.8,21.4,2012-01-01,TRUE\n2011-12-31T13:30:00Z,4263.3,21.0,2012-01-01,TRUE\n");
        Assert.Equal(("wide", "Time", (string?)null), (shape.Form, shape.TimeColumn, shape.StreamColumn));
        Assert.Equal(["Demand", "Temperature"], shape.ValueColumns);
    }

    [Theory]
    [InlineData("dd/MM/yyyy H:mm", "d/M/yyyy H:mm")]
    [InlineData("M/d/yyyy H:mm", "M/d/yyyy H:mm")]
    [InlineData("M/d/yy H:mm", "M/d/yy H:mm")]
    [InlineData("dd.MM.yyyy HH:mm:ss", "d.M.yyyy H:mm:ss")]
    public void The_order_of_day_and_month_is_the_one_that_makes_the_series_steady(string written, string detected)
    {
        var start = new DateTime(2018, 1, 1);
        var text = "\uFEFFdate,kWh\n" + string.Concat(Enumerable.Range(0, 200).Select(i =>
            start.AddMinutes(15 * i).ToString(written, CultureInfo.InvariantCulture) + ",1\n"));
        var (rows, rejects, shape) = Read(text);
        Assert.Equal(detected, shape.TimeFormat.Name);
        Assert.Empty(rejects);
        Assert.Equal(new DateTimeOffset(start.AddMinutes(15 * 199), TimeSpan.Zero), UnixMicros.ToDateTimeOffset(rows[^1].TimeMicros));
    }

    [Fact]
    public void Ambiguous_dates_ask_for_a_format()
    {
        const string Text = "date,kWh\n2/3/2018 0:00,1\n2/3/2018 0:15,1\n";
        var e = Assert.Throws<InvalidDataException>(() => Read(Text));
        Assert.Contains("TimeFormat", e.Message, StringComparison.Ordinal);

        TimestampFormat.TryCreate("d/M/yyyy H:mm", out var format);
        var (rows, _, _) = Read(Text, new TabularOptions { TimeFormat = format });
        Assert.Equal(Micros("2018-03-02T00:00:00Z"), rows[0].TimeMicros);
    }

    [Fact]
    public void Semicolons_quotes_and_decimal_commas_are_read()
    {
        var (rows, rejects, shape) = Read("\"meter\";\"time\";\"kW\"\n\"a;\"\"1\"\"\";2024-01-01T00:00:00Z;\"1,5\"\nb;2024-01-01T00:00:00Z;2\n\"open;2024-01-01T00:00:00Z;2\n");
        Assert.Equal(';', shape.Delimiter);
        Assert.Equal(["a;\"1\"", "b"], rows.Select(r => r.Stream));
        Assert.Equal([1.5, 2], rows.Select(r => r.Value));
        Assert.Equal(DeadLetterReason.Malformed, Assert.Single(rejects).Reason);
    }

    [Fact]
    public void A_table_without_a_header_and_with_tabs_is_read()
    {
        var (rows, _, _) = Read("1472918400\t1\n1472918460\t2\n");
        Assert.Equal([1.0, 2.0], rows.Select(r => r.Value));
        Assert.Equal([1L, 2L], rows.Select(r => r.Row));
    }

    [Fact]
    public void Bad_rows_are_rejected_with_their_number_and_the_rest_is_read()
    {
        var (rows, rejects, _) = Read("time,a,b\n2024-01-01T00:00:00Z,1,2\nnonsense,1,2\n\n2024-01-01T00:30:00Z,,NA\n2024-01-01T00:45:00Z,7\n2024-01-01T00:15:00Z,1,2\n");
        Assert.Equal(5, rows.Count);
        Assert.Equal(
            [(3L, DeadLetterReason.BadTime), (5L, DeadLetterReason.NotFinite), (5L, DeadLetterReason.NotFinite), (6L, DeadLetterReason.MissingField)],
            rejects.Select(r => (r.Row, r.Reason)));
    }

    [Fact]
    public void Ndjson_lines_carry_one_value_or_several_channels()
    {
        var (rows, rejects, shape) = Read("""
            {"stream":"a","time":"2024-01-01T00:00:00Z","value":1.5}
            {"stream":"b","time":1704067200,"values":[1,null,3],"extra":{"x":[1]}}
            {"stream":"a","time":"2024-01-01T00:00:00Z","value":"NaN"}
            {"stream":"a","value":1}
            {"stream":"a","time":"soon","value":1}
            {"stream":
            """);
        Assert.Equal("ndjson", shape.Form);
        Assert.Equal(2, rows.Count);
        Assert.Equal(new("a", Micros("2024-01-01T00:00:00Z"), 1.5, 1), rows[0]);
        Assert.Equal([1, double.NaN, 3], rows[1].Channels!);
        Assert.Equal(
            [DeadLetterReason.NotFinite, DeadLetterReason.MissingField, DeadLetterReason.BadTime, DeadLetterReason.Malformed],
            rejects.Select(r => r.Reason));
    }

    [Fact]
    public void Named_ndjson_properties_become_channels_in_the_order_named()
    {
        var (rows, _, _) = Read("""{"id":"m","ts":1704067200,"volt":230,"kw":1.5}""",
            new TabularOptions { TimeColumn = "ts", StreamColumn = "id", ValueColumns = ["kw", "volt"] });
        Assert.Equal([1.5, 230], Assert.Single(rows).Channels!);
    }

    [Fact]
    public void Several_value_columns_of_a_long_table_are_streams_of_their_own()
    {
        var (rows, _, _) = Read("meter_id,time,kw,volt\n7,2024-01-01T00:00:00Z,1,230\n7,2024-01-01T00:15:00Z,2,231\n");
        Assert.Equal(["7/kw", "7/volt", "7/kw", "7/volt"], rows.Select(r => r.Stream));
    }

    [Fact]
    public void The_autumn_hour_that_occurs_twice_is_read_in_order()
    {
        var zone = TimeZoneInfo.FindSystemTimeZoneById("Europe/Amsterdam");
        var start = new DateTimeOffset(2024, 10, 26, 22, 0, 0, TimeSpan.Zero);
        var text = "time,value\n" + string.Concat(Enumerable.Range(0, 40).Select(i =>
            TimeZoneInfo.ConvertTime(start.AddMinutes(15 * i), zone).ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) + ",1\n"));
        var (rows, _, _) = Read(text, new TabularOptions { TimeZone = zone });
        Assert.Equal(Enumerable.Range(0, 40).Select(i => UnixMicros.From(start.AddMinutes(15 * i))), rows.Select(r => r.TimeMicros));
    }

    [Fact]
    public void The_unnamed_row_number_of_a_data_frame_is_not_a_value()
    {
        var (rows, _, shape) = Read(",ds,y\n0,2024-01-01,1.5\n1,2024-01-02,2.5\n");
        Assert.Equal(["y"], shape.ValueColumns);
        Assert.Equal([1.5, 2.5], rows.Select(r => r.Value));
        Assert.Equal("column1", Read(",y\n2024-01-01,1.5\n").Shape.TimeColumn);
    }

    [Theory]
    [InlineData("20240101")]
    [InlineData("202401010015")]
    [InlineData("20240101001500")]
    public void Digits_of_a_date_are_not_taken_for_Unix_time(string text) =>
        Assert.Throws<InvalidDataException>(() => Read($"date,y\n{text},1\n"));

    [Fact]
    public void Gzip_files_are_opened_by_their_name()
    {
        var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + "-m1.csv.gz");
        try
        {
            using (var gz = new GZipStream(File.Create(path), CompressionLevel.Fastest))
                gz.Write("time,value\n2024-01-01T00:00:00Z,1\n"u8);
            using var reader = TabularReader.Open(path);
            Assert.Equal(TabularReader.StreamNameOf(path), Assert.Single(reader.Read()).Stream);
            Assert.EndsWith("-m1", TabularReader.StreamNameOf(path), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("a,b\n1,2\n")]
    [InlineData("time,word\n2024-01-01T00:00:00Z,x\n")]
    public void A_file_that_is_no_series_is_refused_with_a_sentence(string text)
    {
        var e = Assert.Throws<InvalidDataException>(() => Read(text));
        Assert.StartsWith("sample", e.Message, StringComparison.Ordinal);
    }

    private static (List<TabularRow> Rows, List<TabularReject> Rejects, TabularShape Shape) Read(string text, TabularOptions? options = null)
    {
        using var reader = new TabularReader(new MemoryStream(Encoding.UTF8.GetBytes(text)), "sample", options);
        var rejects = new List<TabularReject>();
        return (reader.Read(rejects.Add).ToList(), rejects, reader.Shape);
    }

    private static long Micros(string iso) => UnixMicros.From(DateTimeOffset.Parse(iso, CultureInfo.InvariantCulture));
}
