using System.Buffers;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;

namespace StreamLstm.Simulator.Targets;

/// <summary>NDJSON or CSV (<c>stream,time,value</c>) into a file or standard output.</summary>
internal sealed class StreamTarget : ISampleTarget
{
    private const int FlushBytes = 64 * 1024;

    private readonly Stream _stream;
    private readonly bool _csv;
    private readonly ArrayBufferWriter<byte> _buffer = new(FlushBytes + 4096);
    private readonly Utf8JsonWriter _json;

    public StreamTarget(Stream stream, bool csv)
    {
        (_stream, _csv) = (stream, csv);
        _json = new Utf8JsonWriter(_buffer);
        if (csv)
        {
            _buffer.Write("stream,time,value\n"u8);
        }
    }

    public static StreamTarget Create(string path, bool csv)
    {
        Stream stream = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read);
        return new StreamTarget(
            path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(stream, CompressionLevel.Optimal) : stream, csv);
    }

    public ValueTask SendAsync(in Sample sample, CancellationToken stopping)
    {
        if (_csv)
        {
            WriteCsv(sample);
        }
        else
        {
            sample.WriteTo(_json, withStream: true);
            _json.Flush();
            _json.Reset();
        }

        _buffer.Write("\n"u8);
        return _buffer.WrittenCount >= FlushBytes ? WriteOutAsync(stopping) : ValueTask.CompletedTask;
    }

    public async ValueTask FlushAsync(CancellationToken stopping)
    {
        await WriteOutAsync(stopping);
        await _stream.FlushAsync(stopping);
    }

    public async ValueTask DisposeAsync()
    {
        await _json.DisposeAsync();
        await _stream.DisposeAsync();
    }

    private async ValueTask WriteOutAsync(CancellationToken stopping)
    {
        await _stream.WriteAsync(_buffer.WrittenMemory, stopping);
        _buffer.ResetWrittenCount();
    }

    private void WriteCsv(in Sample sample)
    {
        if (sample.Channels is not null)
        {
            throw new DeliveryException($"stream {sample.Stream} has several channels, which --format csv has no column for; use ndjson.");
        }

        string stream = sample.Stream.AsSpan().ContainsAny(",\"\r\n")
            ? "\"" + sample.Stream.Replace("\"", "\"\"", StringComparison.Ordinal) + "\""
            : sample.Stream;
        Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{stream},{Sample.TimeText(sample.Time)},{sample.Value}"), _buffer);
    }
}
