using System.Buffers;
using Microsoft.Extensions.Logging;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Connectors.Files;

/// <summary>Appends committed records to an NDJSON file.</summary>
public sealed record FileSinkSettings
{
    public required string Name { get; init; }

    public required string Path { get; init; }

    /// <summary>
    /// Length at which the file is moved aside, to <c>path.N</c> with N counting up, and another begun; only the latest moved one is kept.
    /// 0 = it grows for ever. The limit is passed by what one commit writes at most.
    /// </summary>
    public long MaxBytes { get; init; }

    public IReadOnlySet<OutputKind> Kinds { get; init; } = new HashSet<OutputKind> { OutputKind.Result, OutputKind.Episode, OutputKind.DeadLetter };
}

/// <summary>
/// One line per record. On start the file is cut to the length of the last durable mark, so that each record is in it exactly once
/// after a crash. A mark's length holds the number of the file in its upper bits: a file moved aside after the mark is moved back first.
/// </summary>
public sealed partial class FileSink(FileSinkSettings settings, TimeProvider clock, ILogger<FileSink> logger) : IResultSink
{
    private const int LengthBits = 44;

    private static readonly TimeSpan s_longestBackOff = TimeSpan.FromSeconds(30);

    private readonly ArrayBufferWriter<byte> _buffer = new(1 << 16);
    private FileStream? _file;
    private long _number;
    private string? _notReady = $"{settings.Path} is not open yet.";

    public string Name => settings.Name;

    public string? NotReady => Volatile.Read(ref _notReady);

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(settings.Path));
        if (folder is not null)
            Directory.CreateDirectory(folder);
        _number = durable.Length >> LengthBits;
        var length = durable.Length & ((1L << LengthBits) - 1);
        TakeBack();
        var file = Open();
        try
        {
            if (file.Length > length)
            {
                Log.Truncated(logger, Name, settings.Path, file.Length - length);
                file.SetLength(length);
                StableStorage.Flush(file);
            }
            else if (file.Length < length)
            {
                // Someone rotated or removed the file; its former content is theirs, and appending goes on.
                Log.Shorter(logger, Name, settings.Path, file.Length, length);
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

        if (_buffer.WrittenCount > 0 && settings.MaxBytes > 0 && file.Position >= settings.MaxBytes)
            file = MoveAside(file);
        if (_buffer.WrittenCount > 0)
            await AppendAsync(file, cancellationToken);
        return new SinkMark(commit, (_number << LengthBits) | file.Position);
    }

    /// <summary>Undoes what was moved aside after the mark: its commits are published again.</summary>
    private void TakeBack()
    {
        // A file that isn't bounded has nothing aside, whatever else lies beside it.
        if (settings.MaxBytes == 0 && _number == 0)
            return;
        var folder = Path.GetDirectoryName(Path.GetFullPath(settings.Path))!;
        var later = Directory.GetFiles(folder, Path.GetFileName(settings.Path) + ".*")
            .Where(f => long.TryParse(Path.GetExtension(f).AsSpan(1), System.Globalization.CultureInfo.InvariantCulture, out var n) && n > _number).ToList();
        later.ForEach(File.Delete);
        if (File.Exists(Aside(_number)))
            File.Move(Aside(_number), settings.Path, overwrite: true);
        else if (later.Count > 0)
            File.Delete(settings.Path);
    }

    private string Aside(long number) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{settings.Path}.{number}");

    private FileStream Open()
    {
        var file = new FileStream(settings.Path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read | FileShare.Delete, bufferSize: 0);
        // Marks speak of this file and the number it has: a power cut must neither lose it nor find the one before in its place.
        StableStorage.FlushDirectory(Path.GetDirectoryName(Path.GetFullPath(settings.Path))!);
        return file;
    }

    /// <summary>What came before the last mark is in files that stay: the one moved aside now goes only when the next one is.</summary>
    private FileStream MoveAside(FileStream full)
    {
        full.Dispose();
        File.Move(settings.Path, Aside(_number), overwrite: true);
        if (_number > 0)
            File.Delete(Aside(_number - 1));
        _number++;
        return _file = Open();
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
                StableStorage.Flush(file);
                Volatile.Write(ref _notReady, null);
                return;
            }
            catch (IOException e) when (e is not FlushFailedException)
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
