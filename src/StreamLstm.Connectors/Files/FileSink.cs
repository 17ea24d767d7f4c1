using System.Buffers;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Connectors.Files;

/// <summary>Appends committed records to an NDJSON file.</summary>
public sealed record FileSinkSettings
{
    public required string Name { get; init; }

    public required string Path { get; init; }

    public IReadOnlySet<OutputKind> Kinds { get; init; } = new HashSet<OutputKind> { OutputKind.Result, OutputKind.Episode, OutputKind.DeadLetter };
}

/// <summary>
/// One line per record. On start the file is cut to the length of the last durable mark, so that each record is in it exactly once
/// after a crash.
/// </summary>
public sealed partial class FileSink(FileSinkSettings settings, TimeProvider clock, ILogger<FileSink> logger) : IResultSink
{
    private static readonly TimeSpan s_longestBackOff = TimeSpan.FromSeconds(30);

    private readonly ArrayBufferWriter<byte> _buffer = new(1 << 16);
    private FileStream? _file;
    private string? _notReady = $"{settings.Path} is not open yet.";

    public string Name => settings.Name;

    public string? NotReady => Volatile.Read(ref _notReady);

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(settings.Path));
        if (folder is not null)
            Directory.CreateDirectory(folder);
        var file = new FileStream(settings.Path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read | FileShare.Delete, bufferSize: 0);
        try
        {
            if (file.Length > durable.Length)
            {
                Log.Truncated(logger, Name, settings.Path, file.Length - durable.Length);
                file.SetLength(durable.Length);
                file.Flush(flushToDisk: true);
            }
            else if (file.Length < durable.Length)
            {
                // Someone rotated or removed the file; its former content is theirs, and appending goes on.
                Log.Shorter(logger, Name, settings.Path, file.Length, durable.Length);
            }

            file.Seek(0, SeekOrigin.End);
        }
        catch
        {
            file.Dispose();
            throw;
        }

        _file = file;
        Volatile.Write(ref _notReady, null);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(records);
        var file = _file ?? throw new InvalidOperationException($"Sink {Name} is not open.");
        _buffer.ResetWrittenCount();
        foreach (var record in records)
        {
            if (!settings.Kinds.Contains(record.Kind))
                continue;
            _buffer.Write(record.Json.Span);
            _buffer.Write("\n"u8);
        }

        if (_buffer.WrittenCount > 0)
            await AppendAsync(file, cancellationToken);
        return new SinkMark(commit, file.Position);
    }

    private async ValueTask AppendAsync(FileStream file, CancellationToken cancellationToken)
    {
        var start = file.Position;
        var backOff = TimeSpan.FromSeconds(1);
        while (true)
        {
            try
            {
                await file.WriteAsync(_buffer.WrittenMemory, cancellationToken);
                file.Flush(flushToDisk: true);
                Volatile.Write(ref _notReady, null);
                return;
            }
            catch (IOException e)
            {
                // A full disk may have taken half a line; it goes before the next attempt.
                Log.WriteFailed(logger, Name, settings.Path, e.Message, backOff.TotalSeconds);
                Volatile.Write(ref _notReady, $"Writing {settings.Path} fails: {e.Message}");
            }

            await Task.Delay(backOff, clock, cancellationToken);
            backOff = backOff < s_longestBackOff ? backOff * 2 : s_longestBackOff;
            file.SetLength(start);
            file.Seek(start, SeekOrigin.Begin);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_file is { } file)
        {
            _file = null;
            Volatile.Write(ref _notReady, $"{settings.Path} is closed.");
            await file.DisposeAsync();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(3150, LogLevel.Information, "Sink {Sink} cut {Bytes} bytes of uncommitted output from {Path}")]
        public static partial void Truncated(ILogger logger, string sink, string path, long bytes);

        [LoggerMessage(3151, LogLevel.Warning, "Sink {Sink}: {Path} has {Length} bytes, fewer than the {Expected} committed; new records are appended")]
        public static partial void Shorter(ILogger logger, string sink, string path, long length, long expected);

        [LoggerMessage(3152, LogLevel.Error, "Sink {Sink} can't write {Path}: {Reason}; next attempt in {Seconds} s")]
        public static partial void WriteFailed(ILogger logger, string sink, string path, string reason, double seconds);
    }
}
