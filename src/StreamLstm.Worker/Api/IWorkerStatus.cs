namespace StreamLstm.Worker.Api;

/// <summary>What the HTTP face asks the engine. Every member is cheap, thread-safe, and answers from what is already known.</summary>
public interface IWorkerStatus
{
    /// <summary>Null while the shard loops turn, else why the process should be restarted; <c>/healthz</c>.</summary>
    string? NotAlive { get; }

    /// <summary>Sources, sinks, restore, journal: everything that must be ready before the worker is; <c>/readyz</c>.</summary>
    IReadOnlyList<PartStatus> Parts { get; }

    /// <summary>The figures in the page's header.</summary>
    WorkerSummary Summary { get; }

    /// <summary>A serialisable view of a stream's state (position, hidden state, seasons, intervals), or null for an unknown stream.</summary>
    object? StreamState(string id);

    /// <summary>Forgets a stream's state, in log order; false for an unknown stream.</summary>
    ValueTask<bool> ResetAsync(string id, CancellationToken cancellationToken);
}

/// <param name="Name">For example <c>source:meters</c>, <c>sink:kafka</c>, <c>restore</c>, <c>journal</c>.</param>
/// <param name="Ready">Whether the part is ready.</param>
/// <param name="Detail">Why not, or a word about how it stands.</param>
public sealed record PartStatus(string Name, bool Ready, string? Detail);

public sealed record WorkerSummary
{
    /// <summary><c>demo</c> or <c>run</c>.</summary>
    public required string Mode { get; init; }

    /// <summary>The simulator's clock as text; null when samples come from outside.</summary>
    public string? SimulatedClock { get; init; }

    /// <summary>What is to be said first of what is shown; null when there is nothing.</summary>
    public string? Caveat { get; init; }

    public long Streams { get; init; }

    public long SamplesTotal { get; init; }

    public double SamplesPerSecond { get; init; }

    public long ResultsTotal { get; init; }

    /// <summary>1 − MAE / MAE of the seasonal naive forecast over the same targets; null until there is a basis.</summary>
    public double? Skill { get; init; }

    /// <summary>Share of observations inside the 90 % interval, 0 to 1; null until there is a basis.</summary>
    public double? Coverage90 { get; init; }
}
