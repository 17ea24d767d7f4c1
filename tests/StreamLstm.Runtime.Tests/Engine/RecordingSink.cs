using System.Text;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Runtime.Tests.Engine;

/// <summary>One published record, whole.</summary>
internal sealed record Published(long Commit, OutputKind Kind, string Stream, long Time, string Json);

/// <summary>What stays of a sink when its process ends: like a file, it is cut to the durable mark on opening.</summary>
internal sealed class SinkFile
{
    private readonly Lock _gate = new();
    private readonly List<Published> _records = [];

    public IReadOnlyList<Published> Records
    {
        get
        {
            lock (_gate)
                return [.. _records];
        }
    }

    /// <summary>What was cut off on opening.</summary>
    public List<Published> Cut { get; } = [];

    public long Length
    {
        get
        {
            lock (_gate)
                return _records.Count;
        }
    }

    /// <summary>The file as a crash leaves it whose last durable commit is the given one.</summary>
    public SinkFile Copy(long lastCommit)
    {
        var copy = new SinkFile();
        copy._records.AddRange(Records.Where(r => r.Commit <= lastCommit));
        return copy;
    }

    public void Truncate(long length)
    {
        lock (_gate)
        {
            Assert.True(length <= _records.Count, $"The durable mark says {length} records; the file has {_records.Count}.");
            Cut.AddRange(_records.Skip((int)length));
            _records.RemoveRange((int)length, _records.Count - (int)length);
        }
    }

    public long Add(IEnumerable<Published> records)
    {
        lock (_gate)
        {
            _records.AddRange(records);
            return _records.Count;
        }
    }
}

/// <summary>Appends to a <see cref="SinkFile"/>; <see cref="Gate"/> stands for a peer that is away.</summary>
internal sealed class RecordingSink(SinkFile file, string name = "recording") : IResultSink
{
    public string Name { get; } = name;

    public string? NotReady => null;

    public SinkMark Opened { get; private set; }

    /// <summary>Awaited before each commit is taken.</summary>
    public Func<CancellationToken, Task> Gate { get; set; } = _ => Task.CompletedTask;

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken)
    {
        Opened = durable;
        file.Truncate(durable.Length);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken)
    {
        await Gate(cancellationToken);
        return new SinkMark(commit, file.Add(records.Select(r => new Published(commit, r.Kind, r.Stream, r.TimeMicros, Encoding.UTF8.GetString(r.Json.Span)))));
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
