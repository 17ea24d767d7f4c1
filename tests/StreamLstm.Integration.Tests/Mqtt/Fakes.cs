using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Integration.Tests.Mqtt;

/// <summary>Keeps what was appended; an append can be held back to play the crash before durability.</summary>
internal sealed class FakeIngress : IIngress
{
    private TaskCompletionSource _gate = new();

    public FakeIngress() => _gate.SetResult();

    public TimeProvider Clock => TimeProvider.System;

    /// <summary>stream=value in the order of arrival.</summary>
    public ConcurrentQueue<string> Samples { get; } = new();

    public ConcurrentQueue<DeadLetter> DeadLetters { get; } = new();

    /// <summary>What a crash leaves: given to the next ingress.</summary>
    public ConcurrentDictionary<string, string> Positions { get; init; } = new();

    /// <summary>Appends that have begun.</summary>
    public int Entered;

    public void Hold() => _gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Release() => _gate.SetResult();

    public async ValueTask AppendAsync(SampleBatch batch, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref Entered);
        await _gate.Task.WaitAsync(cancellationToken);
        for (var i = 0; i < batch.Count; i++)
            Samples.Enqueue($"{Encoding.UTF8.GetString(batch.Key(i))}={batch.Values(i)[0].ToString(CultureInfo.InvariantCulture)}");
        foreach (var letter in batch.DeadLetters)
            DeadLetters.Enqueue(letter);
        if (batch.SourceName is { } source)
            Positions[source] = batch.SourcePosition!;
    }

    public string? Position(string source) => Positions.GetValueOrDefault(source);
}

/// <summary>Topic = stream, payload = a number.</summary>
internal sealed class NumberDecoder(params string[] subscriptions) : IPayloadDecoder
{
    public IReadOnlyList<string> Subscriptions => subscriptions;

    public ConcurrentQueue<string> Retained { get; } = new();

    public void Decode(in SourceMessage message, SampleBatch batch)
    {
        if (message.Retained)
            Retained.Enqueue(message.Topic);
        if (double.TryParse(message.Payload, CultureInfo.InvariantCulture, out var value))
            batch.Add(message.Topic, message.ArrivalMicros, message.ArrivalMicros, [value]);
        else
            batch.AddDeadLetter(DeadLetter.Create(DeadLetterReason.Malformed, message.Source, message.Position, "not a number", message.ArrivalMicros, message.Payload));
    }
}

internal sealed class ListLogger<T> : ILogger<T>
{
    public ConcurrentQueue<(LogLevel Level, int Id, string Text)> Entries { get; } = new();

    public int Count(int id) => Entries.Count(e => e.Id == id);

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Entries.Enqueue((logLevel, eventId.Id, formatter(state, exception)));
}

internal static class Eventually
{
    /// <summary>Waits until the condition holds; generous, because a busy machine is not a failure.</summary>
    public static Task HoldsAsync(Func<bool> condition, string what) => HoldsAsync(() => Task.FromResult(condition()), what);

    public static async Task HoldsAsync(Func<Task<bool>> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), $"Not within 20 s: {what}");
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }
    }
}
