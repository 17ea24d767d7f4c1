using System.Text.Json;

namespace StreamLstm.Worker.Api;

/// <summary>The fields of a result that charts and lists need. NaN = absent, written as null.</summary>
/// <param name="ChannelValues">For more than one channel: y, yhat, lower, upper of each channel in turn; else null.</param>
internal readonly record struct ResultPoint(
    long TimeMicros,
    int Revision,
    double Y,
    double Yhat,
    double Lower,
    double Upper,
    double Score,
    bool Anomaly,
    bool Imputed,
    string? Type,
    double[]? ChannelValues);

/// <summary>One stream in the live view. Members that end in <c>_NeedsLock</c> require <see cref="Gate"/>.</summary>
internal sealed class StreamView(string stream, int historyLength)
{
    /// <summary>y, yhat, lower, upper.</summary>
    public const int ValuesPerChannel = 4;

    private readonly ResultPoint[] _ring = new ResultPoint[historyLength];
    private int _first;
    private byte[] _latest = [];
    private int _latestLength;
    private byte[] _lastWithForecast = [];
    private int _lastWithForecastLength;
    private bool _latestHasForecast;

    public Lock Gate { get; } = new();

    public string Stream => stream;

    public string Profile { get; private set; } = "";

    /// <summary>Names of the channels of a result with more than one.</summary>
    public string[] Channels { get; private set; } = [];

    public ResultPoint Latest { get; private set; }

    /// <summary>Monotonic time of the last update, for eviction.</summary>
    public long Touched { get; set; }

    public bool HasHistory => historyLength > 0;

    public int HistoryCount { get; private set; }

    public ResultPoint History_NeedsLock(int i) => _ring[(_first + i) % _ring.Length];

    public ReadOnlySpan<byte> LatestJson_NeedsLock => _latest.AsSpan(0, _latestLength);

    /// <summary>The newest result that carries a forecast; empty if there has been none.</summary>
    public ReadOnlySpan<byte> ForecastJson_NeedsLock => _latestHasForecast ? LatestJson_NeedsLock : _lastWithForecast.AsSpan(0, _lastWithForecastLength);

    public void Apply(long timeMicros, int revision, ReadOnlySpan<byte> json)
    {
        lock (Gate)
        {
            var point = Read(timeMicros, revision, json, out var hasForecast);
            Insert(point);
            // A late revision changes the history, not what is latest.
            if (_latestLength > 0 && timeMicros < Latest.TimeMicros)
                return;

            Latest = point;
            if (_latestHasForecast && !hasForecast)
            {
                // The buffers change places: the forecast outlives the results that come without one.
                (_latest, _lastWithForecast) = (_lastWithForecast, _latest);
                _lastWithForecastLength = _latestLength;
            }

            if (_latest.Length < json.Length)
                _latest = new byte[json.Length + (json.Length / 8)];
            json.CopyTo(_latest);
            _latestLength = json.Length;
            _latestHasForecast = hasForecast;
        }
    }

    private void Insert(in ResultPoint point)
    {
        if (_ring.Length == 0)
            return;
        var i = HistoryCount;
        while (i > 0 && At(i - 1).TimeMicros > point.TimeMicros)
            i--;
        if (i > 0 && At(i - 1).TimeMicros == point.TimeMicros)
        {
            if (At(i - 1).Revision <= point.Revision)
                At(i - 1) = point;
            return;
        }

        if (HistoryCount == _ring.Length)
        {
            if (i == 0)
                return; // older than everything kept
            _first = (_first + 1) % _ring.Length;
            HistoryCount--;
            i--;
        }

        for (var j = HistoryCount; j > i; j--)
            At(j) = At(j - 1);
        At(i) = point;
        HistoryCount++;
    }

    private ref ResultPoint At(int i) => ref _ring[(_first + i) % _ring.Length];

    /// <summary>
    /// Reads the light fields in one pass and stops at <c>forecast</c>, the last and by far the longest member of the contract.
    /// </summary>
    private ResultPoint Read(long timeMicros, int revision, ReadOnlySpan<byte> json, out bool hasForecast)
    {
        double y = double.NaN, yhat = double.NaN, lower = double.NaN, upper = double.NaN, score = double.NaN;
        bool anomaly = false, imputed = false;
        string? type = null;
        double[]? channels = null;
        hasForecast = false;
        var reader = new Utf8JsonReader(json);
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("forecast"u8))
            {
                reader.Read();
                hasForecast = reader.TokenType == JsonTokenType.StartObject;
                break;
            }

            if (reader.ValueTextEquals("y"u8))
                y = Number(ref reader);
            else if (reader.ValueTextEquals("yhat"u8))
                yhat = Number(ref reader);
            else if (reader.ValueTextEquals("yhat_lower"u8))
                lower = Number(ref reader);
            else if (reader.ValueTextEquals("yhat_upper"u8))
                upper = Number(ref reader);
            else if (reader.ValueTextEquals("anomaly_score"u8))
                score = Number(ref reader);
            else if (reader.ValueTextEquals("anomaly"u8))
                anomaly = reader.Read() && reader.TokenType == JsonTokenType.True;
            else if (reader.ValueTextEquals("imputed"u8))
                imputed = reader.Read() && reader.TokenType == JsonTokenType.True;
            else if (reader.ValueTextEquals("type"u8))
                type = Text(ref reader, Latest.Type);
            else if (reader.ValueTextEquals("profile"u8))
                Profile = Text(ref reader, Profile) ?? "";
            else if (reader.ValueTextEquals("channels"u8))
                channels = ReadChannels(ref reader);
            else
            {
                reader.Read();
                reader.Skip();
            }
        }

        return new ResultPoint(timeMicros, revision, y, yhat, lower, upper, score, anomaly, imputed, type, channels);
    }

    private double[]? ReadChannels(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            return null;
        var values = new double[Channels.Length * ValuesPerChannel];
        var d = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (d == Channels.Length)
                Channels = [.. Channels, reader.GetString()!];
            else if (!reader.ValueTextEquals(Channels[d]))
                Channels = [.. Channels[..d], reader.GetString()!];
            if (values.Length < (d + 1) * ValuesPerChannel)
                Array.Resize(ref values, (d + 1) * ValuesPerChannel);
            var v = values.AsSpan(d++ * ValuesPerChannel, ValuesPerChannel);
            v.Fill(double.NaN);
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("y"u8))
                    v[0] = Number(ref reader);
                else if (reader.ValueTextEquals("yhat"u8))
                    v[1] = Number(ref reader);
                else if (reader.ValueTextEquals("yhat_lower"u8))
                    v[2] = Number(ref reader);
                else if (reader.ValueTextEquals("yhat_upper"u8))
                    v[3] = Number(ref reader);
                else
                {
                    reader.Read();
                    reader.Skip();
                }
            }
        }

        return d == 0 ? null : values;
    }

    private static double Number(ref Utf8JsonReader reader)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.Number ? reader.GetDouble() : double.NaN;
    }

    /// <summary>Types and profiles repeat: the previous string is reused when it is the same.</summary>
    private static string? Text(ref Utf8JsonReader reader, string? previous)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.String)
            return null;
        return previous is not null && reader.ValueTextEquals(previous) ? previous : reader.GetString();
    }
}
