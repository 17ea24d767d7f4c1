using System.Buffers;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Connectors.Files;

/// <summary>Writes committed records to standard output, one JSON line each. After a crash the last commit may be printed again.</summary>
/// <param name="name">Name in the configuration.</param>
/// <param name="kinds">What to print.</param>
/// <param name="output">Null = the process's standard output.</param>
public sealed class StdoutSink(string name, IReadOnlySet<OutputKind> kinds, Stream? output = null) : IResultSink
{
    private readonly Stream _output = output ?? Console.OpenStandardOutput();
    private readonly ArrayBufferWriter<byte> _buffer = new(1 << 12);

    public string Name => name;

    public string? NotReady => null;

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(records);
        _buffer.ResetWrittenCount();
        foreach (var record in records)
        {
            if (!kinds.Contains(record.Kind))
                continue;
            _buffer.Write(record.Json.Span);
            _buffer.Write("\n"u8);
        }

        await _output.WriteAsync(_buffer.WrittenMemory, cancellationToken);
        await _output.FlushAsync(cancellationToken);
        return new SinkMark(commit, 0);
    }

    public ValueTask DisposeAsync() => _output.DisposeAsync();
}
