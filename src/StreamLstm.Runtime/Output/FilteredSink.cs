namespace StreamLstm.Runtime.Output;

/// <summary>Lets only some kinds of records through to a sink.</summary>
public sealed class FilteredSink(IResultSink inner, IReadOnlySet<OutputKind> kinds) : IResultSink
{
    public string Name => inner.Name;

    public string? NotReady => inner.NotReady;

    public ValueTask OpenAsync(SinkMark durable, CancellationToken cancellationToken) => inner.OpenAsync(durable, cancellationToken);

    public ValueTask<SinkMark> PublishAsync(long commit, IReadOnlyList<OutputRecord> records, CancellationToken cancellationToken) =>
        inner.PublishAsync(commit, [.. records.Where(r => kinds.Contains(r.Kind))], cancellationToken);

    public ValueTask DisposeAsync() => inner.DisposeAsync();
}
