using System.Globalization;
using System.Text;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests;

public class JsonBytesTests
{
    [Fact]
    public void A_number_is_the_shortest_that_reads_back_as_the_same()
    {
        var random = new Random(1);
        var cases = new List<double> { 0, -0.0, 1, -1, 0.1, 412.34, 1e15, 1e14, 9e11, 123456789012.3456, 1e-5, 0.0001, -0.0001, double.Epsilon, double.MaxValue, 0.30000000000000004, 2.5, 1e22, 4503599627370497.5 };
        for (var i = 0; i < 20_000; i++)
        {
            cases.Add(Math.Round((random.NextDouble() - 0.5) * Math.Pow(10, random.Next(12)), random.Next(7)));
            cases.Add(BitConverter.Int64BitsToDouble(random.NextInt64()));
            cases.Add((float)(random.NextDouble() * 1000));
        }

        foreach (var v in cases.Where(double.IsFinite))
            Assert.Equal(v.ToString("R", CultureInfo.InvariantCulture), Text(w => JsonBytes.NumberOrNull(w, v)));
    }

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void What_is_no_number_is_null(double v)
    {
        Assert.Equal("null", Text(w => JsonBytes.NumberOrNull(w, v)));
        Assert.Equal("null", Text(w => JsonBytes.Rounded(w, v, 3)));
    }

    [Theory]
    [InlineData(412.33849201234, 60, "412.3385")]
    [InlineData(412.30000201234, 60, "412.3")]
    [InlineData(-0.00000000012, 1, "0")]
    [InlineData(1.9999999, 2, "2")]
    [InlineData(1234567890.123, 200_000, "1234567890")]
    [InlineData(0.1234567890123, 1e-9, "0.1234567890123")]
    [InlineData(1e17 + 16, 1, "1.0000000000000002E+17")]
    [InlineData(0.1234567890123, 0, "0.1234567890123")]
    [InlineData(0.1234567890123, double.NaN, "0.1234567890123")]
    public void A_bound_has_as_many_digits_as_the_width_between_the_bounds_gives_a_meaning(double v, double width, string expected) =>
        Assert.Equal(expected, Text(w => JsonBytes.Rounded(w, v, JsonBytes.DecimalsFor(width))));

    [Fact]
    public void Rounding_keeps_the_order_and_moves_by_less_than_a_hundred_thousandth_of_the_width()
    {
        var random = new Random(2);
        for (var i = 0; i < 20_000; i++)
        {
            var lower = (random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-4, 10));
            var width = random.NextDouble() * Math.Pow(10, random.Next(-4, 6));
            var expected = lower + (width * random.NextDouble());
            var upper = lower + width;
            var decimals = JsonBytes.DecimalsFor(upper - lower);
            var written = new[] { lower, expected, upper }.Select(v => double.Parse(Text(w => JsonBytes.Rounded(w, v, decimals)), CultureInfo.InvariantCulture)).ToArray();
            Assert.True(written[0] <= written[1] && written[1] <= written[2]);
            Assert.InRange(Math.Abs(written[1] - expected), 0, (width * 1e-5) + (Math.Abs(expected) * 1e-15));
        }
    }

    [Fact]
    public void A_time_is_written_the_same_however_often_and_after_whatever_other()
    {
        var json = new JsonBytes();
        var day = DateTimeOffset.Parse("2026-03-02T00:00:00Z", CultureInfo.InvariantCulture).ToUnixTimeMilliseconds() * 1000;
        foreach (var (micros, expected) in new[] { (day, "2026-03-02T00:00:00Z"), (day, "2026-03-02T00:00:00Z"), (day - 1, "2026-03-01T23:59:59.999999Z"), (day + 3_600_000_001, "2026-03-02T01:00:00.000001Z"), (-1L, "1969-12-31T23:59:59.999999Z") })
            Assert.Equal(expected, Text(w => json.Time(w, micros)));
    }

    private static string Text(Action<ByteWriter> write)
    {
        var w = new ByteWriter();
        write(w);
        return Encoding.UTF8.GetString(w.Written);
    }
}
