using System.Threading.Channels;
using StreamLstm.Runtime.Output;

namespace StreamLstm.Runtime;

/// <summary>Delivers the outbox to one sink, in commit order: first what an earlier process may not have delivered, then the live commits.</summary>
internal sealed class SinkWorker
{
    private readonly Channel<CommitWork> _queue = Channel.CreateBounded<CommitWork>(new BoundedChannelOptions(1024) { SingleReader = true, SingleWriter = true });
    private readonly CancellationTokenSource _abort = new();
    private readonly Lock _gate = new();
    private SinkMark _mark;

    public SinkWorker(IResultSink sink, SinkMark mark)
    {
        Sink = sink;
        _mark = mark;
    }

    public IResultSink Sink { get; }

    public SinkMark Mark
    {
        get
        {
            lock (_gate)
                return _mark;
        }
    }

    public int Queued => _queue.Reader.Count;

    public Task Completion { get; private set; } = Task.CompletedTask;

    public void Start(StateLog.StateLog log, long restoredCommit) => Completion = Task.Run(() => RunAsync(log, restoredCommit));

    /// <summary>Queues the work and holds it until it is published. False = no room within a second.</summary>
    public async ValueTask<bool> TryEnqueueAsync(CommitWork work, CancellationToken cancellationToken)
    {
        if (Completion.IsFaulted)
            await Completion;
        cancellationToken.ThrowIfCancellationRequested();
        work.Retain();
        if (_queue.Writer.TryWrite(work))
            return true;
        work.Release();
        Task room = _queue.Writer.WaitToWriteAsync(cancellationToken).AsTask();
        await room.WaitAsync(TimeSpan.FromSeconds(1), TimeProvider.System, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return false;
    }

    /// <summary>No more commits come; finishes what is queued unless the deadline passes first.</summary>
    public async Task StopAsync(CancellationToken deadline)
    {
        _queue.Writer.TryComplete();
        await using var registration = deadline.Register(_abort.Cancel);
        try
        {
            await Completion;
        }
        catch (OperationCanceledException)
        {
            // What was not delivered stays in the state log and is delivered by the next process.
            return;
        }
        finally
        {
            await Sink.DisposeAsync();
            _abort.Dispose();
        }
    }

    private async Task RunAsync(StateLog.StateLog log, long restoredCommit)
    {
        await Sink.OpenAsync(Mark, _abort.Token);
        foreach (var (commit, outputs) in log.OutputsAfter(Mark.Commit, restoredCommit))
            await PublishAsync(commit, outputs);
        await foreach (var work in _queue.Reader.ReadAllAsync(_abort.Token))
        {
            await PublishAsync(work.Sequence, work.Outputs);
            work.Release();
        }
    }

    private async ValueTask PublishAsync(long commit, IReadOnlyList<OutputRecord> outputs)
    {
        var mark = outputs.Count == 0 ? Mark with { Commit = commit } : await Sink.PublishAsync(commit, outputs, _abort.Token);
        lock (_gate)
            _mark = mark;
    }
}
