using System.Text.Json;
using Confluent.Kafka;
using Microsoft.Extensions.Logging;

namespace StreamLstm.Connectors.Kafka;

/// <summary>
/// Knows whether a client reaches its cluster and why not. librdkafka connects again for ever by itself; it tells of failures as
/// errors and of success only in its statistics.
/// </summary>
internal sealed partial class KafkaConnection(KafkaSettings settings, ILogger logger)
{
    private volatile string? _notReady = $"connecting to {settings.BootstrapServers}";
    private volatile string? _lastError;
    private volatile bool _outageLogged;

    /// <summary>Null when connected, else why not.</summary>
    public string? NotReady => _notReady;

    /// <summary>From the client's error handler.</summary>
    public void OnError(Error error)
    {
        var summary = error.Code == ErrorCode.Local_AllBrokersDown;
        if (!summary)
            _lastError = error.Reason;
        if (summary || _notReady is not null)
            Down();
    }

    /// <summary>From the client's log handler, on any of its threads.</summary>
    public void OnLog(LogMessage message)
    {
        // Lost connections are told once by OnError; librdkafka repeats them.
        var level = message.Level <= SyslogLevel.Critical ? LogLevel.Error : LogLevel.Debug;
        Log.Native(logger, level, settings.Name, message.Facility, message.Message);
    }

    /// <summary>A consumer is ready when its group's coordinator answers and the group has dealt out the partitions.</summary>
    public void OnConsumerStatistics(string json)
    {
        using var statistics = JsonDocument.Parse(json);
        if (!statistics.RootElement.TryGetProperty("cgrp", out var group))
            return;
        // A consumer always has requests under way, so no open connection at all means an outage, whatever the group's state says.
        if (group.GetProperty("state").GetString() != "up" || !AnyBrokerIsUp(statistics.RootElement))
            Down();
        else if (group.GetProperty("join_state").GetString() == "steady")
            Up();
    }

    /// <summary>A producer is ready when any broker is connected: it opens the others as it needs them.</summary>
    public void OnProducerStatistics(string json)
    {
        using var statistics = JsonDocument.Parse(json);
        if (AnyBrokerIsUp(statistics.RootElement))
            Up();
    }

    public void Up()
    {
        if (_notReady is null)
            return;
        _notReady = null;
        _lastError = null;
        _outageLogged = false;
        Log.Connected(logger, settings.Name, settings.BootstrapServers);
    }

    private static bool AnyBrokerIsUp(JsonElement statistics) =>
        statistics.GetProperty("brokers").EnumerateObject().Any(b => b.Value.GetProperty("state").GetString() is "UP" or "UPDATE");

    private void Down()
    {
        var reason = _lastError;
        _notReady = reason is null ? $"connecting to {settings.BootstrapServers}" : $"{reason} ({settings.BootstrapServers})";
        if (reason is null || _outageLogged)
            return;
        _outageLogged = true;
        Log.Disconnected(logger, settings.Name, settings.BootstrapServers, reason);
    }

    private static partial class Log
    {
        [LoggerMessage(400, LogLevel.Information, "{Name} is connected to {Servers}")]
        public static partial void Connected(ILogger logger, string name, string servers);

        [LoggerMessage(401, LogLevel.Warning, "{Name} has no connection to {Servers}: {Reason}. Trying again until it comes back")]
        public static partial void Disconnected(ILogger logger, string name, string servers, string reason);

        [LoggerMessage(EventId = 402, Message = "{Name}: librdkafka {Facility}: {Text}")]
        public static partial void Native(ILogger logger, LogLevel level, string name, string facility, string text);
    }
}
