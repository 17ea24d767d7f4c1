using System.Globalization;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Files.Signals;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Files;

/// <summary>
/// Feeds files into the log. A row arrives when it is read: what a file says of the past then simply lags, and silence is measured in
/// arrival time. The position after each batch, <c>file:row</c>, is durable with the batch; a restart continues after it.
/// </summary>
public sealed partial class FileSource(FileSourceSettings settings, ILogger<FileSource> logger) : ISampleSource
{
    /// <summary>Many rows share one fsync; the next ones are read meanwhile.</summary>
    private const int BatchRows = 4096;

    private const int BatchSamples = 8192;

    /// <summary>Rows read in one go arrive together: reading the clock costs a good part of reading a row.</summary>
    private const int StampRows = 64;

    private static readonly TimeSpan s_poll = TimeSpan.FromSeconds(1);

    private SourceStatus _status = new(SourceState.Connecting, null);

    public string Name => settings.Name;

    public SourceStatus Status => Volatile.Read(ref _status);

    public async Task RunAsync(IIngress ingress, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(ingress);

        // Reading is synchronous from here on; the caller's thread is not ours to hold.
        await Task.Yield();
        var files = await WaitForFilesAsync(ingress.Clock, stopping);
        var resume = Position.Parse(ingress.Position(Name));
        if (resume is { } r)
        {
            var at = files.FindIndex(f => string.Equals(f, r.File, StringComparison.Ordinal));
            if (at < 0)
                Log.ResumeFileGone(logger, Name, r.File);
            else
                files.RemoveRange(0, at);
            Log.Resuming(logger, Name, r.File, r.Row);
        }

        SetStatus(SourceState.Connected, null);
        var run = new Run(ingress);
        try
        {
            for (var i = 0; i < files.Count; i++)
            {
                var skip = resume is { } p && string.Equals(files[i], p.File, StringComparison.Ordinal) ? p.Row : 0;
                if (SignalFile.Is(files[i]))
                    await ReadSignalAsync(files[i], skip, run, stopping);
                else
                    await ReadFileAsync(files[i], skip, follow: settings.Follow && i == files.Count - 1, run, stopping);
            }

            await run.SettleAsync();
        }
        finally
        {
            // The journal outlives its sources: nothing is under way when it is told to end.
            await run.SettleAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        SetStatus(SourceState.Completed, null);
        Log.Completed(logger, Name, run.Samples, run.Rejects);
    }

    private async Task<List<string>> WaitForFilesAsync(TimeProvider clock, CancellationToken stopping)
    {
        while (true)
        {
            var files = Expand(settings.Path);
            if (files.Count > 0)
                return files;
            var detail = $"No file matches {settings.Path}.";
            if (Status.Detail != detail)
                Log.NotFound(logger, Name, settings.Path);
            SetStatus(SourceState.Connecting, detail);
            await Task.Delay(s_poll, clock, stopping);
        }
    }

    private static List<string> Expand(string path)
    {
        if (File.Exists(path))
            return [path];
        var folder = Path.GetDirectoryName(path);
        if (string.IsNullOrEmpty(folder))
            folder = ".";
        var pattern = Path.GetFileName(path);
        if (pattern.AsSpan().IndexOfAny('*', '?') < 0 || !Directory.Exists(folder))
            return [];
        return [.. Directory.EnumerateFiles(folder, pattern).Order(StringComparer.Ordinal)];
    }

    private async Task ReadFileAsync(string path, long skip, bool follow, Run run, CancellationToken stopping)
    {
        TabularReader? reader;
        try
        {
            // A followed file may still lack the rows that show what its columns are.
            while ((reader = TryOpen(path, follow)) is null)
                await Task.Delay(s_poll, run.Ingress.Clock, stopping);
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            Log.Unreadable(logger, Name, path, e.Message);
            run.Reject(Name, $"{path}:0", new TabularReject(0, DeadLetterReason.Malformed, e.Message, default));
            run.Batch.SetSourcePosition(Name, new Position(path, long.MaxValue).ToString());
            await run.FlushAsync(stopping);
            await run.SettleAsync();
            return;
        }

        using (reader)
        {
            SetStatus(SourceState.Connected, null);
            if (skip == 0)
                Log.Reading(logger, Name, path, reader.Shape.Form, reader.Shape.TimeColumn, reader.Shape.TimeFormat.Name, string.Join(", ", reader.Shape.ValueColumns));
            var rows = new List<TabularRow>();
            var channels = new double[1];
            var inBatch = 0;
            var arrival = UnixMicros.Now(run.Ingress.Clock);
            Action<TabularReject> reject = r => run.Reject(Name, string.Create(CultureInfo.InvariantCulture, $"{path}:{r.Row}"), r);
            while (true)
            {
                bool more;
                try
                {
                    // Skipped rows are parsed as well: the reader's choice in an ambiguous hour depends on the rows before.
                    more = reader.ReadNext(rows, reader.Row < skip ? null : reject);
                }
                catch (Exception e) when (e is InvalidDataException or IOException)
                {
                    Log.Unreadable(logger, Name, path, e.Message);
                    run.Reject(Name, string.Create(CultureInfo.InvariantCulture, $"{path}:{reader.Row + 1}"), new TabularReject(reader.Row + 1, DeadLetterReason.Malformed, e.Message, default));
                    more = false;
                    follow = false;
                }

                if (more && reader.Row <= skip)
                    continue;
                if (more)
                {
                    foreach (var row in rows)
                    {
                        if (settings.Speed > 0)
                            await PaceAsync(path, reader.Row - 1, run, row.TimeMicros, stopping);
                        if (settings.Speed > 0 || run.Samples % StampRows == 0)
                            arrival = UnixMicros.Now(run.Ingress.Clock);
                        channels[0] = row.Value;
                        run.Batch.Add(row.Stream, row.TimeMicros, arrival, row.Channels ?? channels);
                        run.Samples++;
                    }

                    inBatch++;
                }

                if (inBatch == BatchRows || run.Batch.Count >= BatchSamples || (!more && !run.Batch.IsEmpty))
                {
                    run.Batch.SetSourcePosition(Name, new Position(path, more ? reader.Row : follow ? reader.Row : long.MaxValue).ToString());
                    await run.FlushAsync(stopping);
                    inBatch = 0;
                }

                if (!more)
                    await run.SettleAsync();
                if (!more && !follow)
                    return;
                if (!more)
                {
                    await Task.Delay(s_poll, run.Ingress.Clock, stopping);
                    arrival = UnixMicros.Now(run.Ingress.Clock);
                }
            }
        }
    }

    /// <summary>A WFDB record or an EDF file: its runs are blocks, and count as rows.</summary>
    private async Task ReadSignalAsync(string path, long skip, Run run, CancellationToken stopping)
    {
        const int batchValues = 1 << 15;
        var row = 0L;
        string? failure = null;
        try
        {
            var file = SignalFile.Open(path);
            byte[][] keys = [.. file.Tracks.Select(t => System.Text.Encoding.UTF8.GetBytes(t.Stream))];
            if (skip == 0)
                Log.ReadingSignal(logger, Name, path, string.Join("; ", file.Tracks.Select(t => string.Create(CultureInfo.InvariantCulture, $"{t.Stream} at {t.Rate} Hz: {string.Join(", ", t.Channels)}"))));
            foreach (var part in file.Read())
            {
                if (++row <= skip)
                    continue;
                var step = 1e6 / file.Tracks[part.Track].Rate;
                if (settings.Speed > 0)
                    await PaceAsync(path, row - 1, run, part.FirstMicros + (long)((part.Rows - 1) * step), stopping);
                run.Batch.AddBlock(keys[part.Track], part.FirstMicros, step, UnixMicros.Now(run.Ingress.Clock), part.Rows, part.Values.Span);
                run.Samples += part.Rows;
                if (run.Batch.ValueCount < batchValues)
                    continue;
                run.Batch.SetSourcePosition(Name, new Position(path, row).ToString());
                await run.FlushAsync(stopping);
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            failure = e.Message;
        }

        if (failure is not null)
        {
            Log.Unreadable(logger, Name, path, failure);
            run.Reject(Name, string.Create(CultureInfo.InvariantCulture, $"{path}:{row + 1}"), new TabularReject(row + 1, DeadLetterReason.Malformed, failure, default));
        }

        run.Batch.SetSourcePosition(Name, new Position(path, long.MaxValue).ToString());
        await run.FlushAsync(stopping);
    }

    private TabularReader? TryOpen(string path, bool follow)
    {
        try
        {
            return TabularReader.Open(path, settings.Tabular, follow);
        }
        catch (InvalidDataException e) when (follow)
        {
            SetStatus(SourceState.Connected, e.Message);
            return null;
        }
    }

    // Rows up to doneRow are handed over before a wait, so that a slow replay isn't held back by its batch.
    private async ValueTask PaceAsync(string path, long doneRow, Run run, long eventMicros, CancellationToken stopping)
    {
        run.Origin ??= (eventMicros, run.Ingress.Clock.GetTimestamp());
        var (firstEvent, started) = run.Origin.Value;
        var due = TimeSpan.FromMicroseconds((eventMicros - firstEvent) / settings.Speed);
        var wait = due - run.Ingress.Clock.GetElapsedTime(started);
        if (wait <= TimeSpan.FromMilliseconds(1))
            return;
        if (run.Batch.Count > 0)
        {
            run.Batch.SetSourcePosition(Name, new Position(path, doneRow).ToString());
            await run.FlushAsync(stopping);
        }

        await Task.Delay(wait, run.Ingress.Clock, stopping);
    }

    private void SetStatus(SourceState state, string? detail) => Volatile.Write(ref _status, new(state, detail));

    /// <summary>Row long.MaxValue = the file is done.</summary>
    private readonly record struct Position(string File, long Row)
    {
        public static Position? Parse(string? text)
        {
            if (text is null)
                return null;
            var colon = text.LastIndexOf(':');
            var row = colon < 0 ? default : text.AsSpan(colon + 1);
            if (row is "end")
                return new(text[..colon], long.MaxValue);
            return long.TryParse(row, CultureInfo.InvariantCulture, out var n)
                ? new(text[..colon], n)
                : throw new InvalidDataException($"\"{text}\" is not the position of a file source.");
        }

        public override string ToString() => Row == long.MaxValue ? $"{File}:end" : string.Create(CultureInfo.InvariantCulture, $"{File}:{Row}");
    }

    private sealed class Run(IIngress ingress)
    {
        private SampleBatch _other = new();
        private Task _append = Task.CompletedTask;

        public IIngress Ingress => ingress;

        public SampleBatch Batch { get; private set; } = new();

        /// <summary>First event time and the clock's reading then, for pacing.</summary>
        public (long EventMicros, long Timestamp)? Origin { get; set; }

        public long Samples { get; set; }

        public long Rejects { get; private set; }

        public void Reject(string source, string position, TabularReject reject)
        {
            Rejects++;
            Batch.AddDeadLetter(DeadLetter.Create(reject.Reason, source, position, reject.Detail, UnixMicros.Now(ingress.Clock), reject.Line.Span, reject.Stream));
        }

        /// <summary>Hands the batch over, one at a time, and goes on with another while it is made durable.</summary>
        public async ValueTask FlushAsync(CancellationToken stopping)
        {
            await SettleAsync();
            _append = ingress.AppendAsync(Batch, stopping).AsTask();
            (Batch, _other) = (_other, Batch);
            Batch.Clear();
        }

        /// <summary>Everything handed over is durable.</summary>
        public Task SettleAsync() => _append;
    }

    private static partial class Log
    {
        [LoggerMessage(3100, LogLevel.Information, "Source {Source} reads {Path} ({Form} form, time in {TimeColumn} as {TimeFormat}, values in {Values})")]
        public static partial void Reading(ILogger logger, string source, string path, string form, string timeColumn, string timeFormat, string values);

        [LoggerMessage(3106, LogLevel.Information, "Source {Source} reads {Path} (signals {Tracks})")]
        public static partial void ReadingSignal(ILogger logger, string source, string path, string tracks);

        [LoggerMessage(3101, LogLevel.Information, "Source {Source} continues after {Path} row {Row}")]
        public static partial void Resuming(ILogger logger, string source, string path, long row);

        [LoggerMessage(3102, LogLevel.Information, "Source {Source} is read to its end: {Samples} samples, {Rejects} rejects")]
        public static partial void Completed(ILogger logger, string source, long samples, long rejects);

        [LoggerMessage(3103, LogLevel.Warning, "Source {Source}: no file matches {Path}; waiting for one")]
        public static partial void NotFound(ILogger logger, string source, string path);

        [LoggerMessage(3104, LogLevel.Warning, "Source {Source} was last at {Path}, which is gone; it reads all files again")]
        public static partial void ResumeFileGone(ILogger logger, string source, string path);

        [LoggerMessage(3105, LogLevel.Error, "Source {Source} can't read {Path}: {Reason}")]
        public static partial void Unreadable(ILogger logger, string source, string path, string reason);
    }
}
