using Microsoft.Extensions.Logging;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>Keeps a client connected for ever, with growing pauses, and knows why it isn't.</summary>
internal sealed partial class MqttReconnector(MqttSettings settings, TimeProvider clock, ILogger logger)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);

    private volatile string? _notReady = "not started";

    /// <summary>Null when connected and set up, else why not.</summary>
    public string? NotReady => _notReady;

    /// <param name="setUp">Run on every new connection before it counts as ready (subscribe, announce).</param>
    public async Task RunAsync(MqttClient client, Func<MqttConnection, CancellationToken, Task> setUp, CancellationToken stopping)
    {
        _notReady = $"connecting to {settings.Endpoint}";
        var attempt = 0;
        var outageLogged = false;
        while (true)
        {
            string reason;
            try
            {
                var connection = await client.ConnectAsync(stopping);
                var since = clock.GetTimestamp();
                try
                {
                    await setUp(connection, stopping);
                    _notReady = null;
                    outageLogged = false;
                    Log.Connected(logger, settings.Name, settings.Endpoint, connection.Version, connection.SessionPresent);
                    reason = await connection.Closed.WaitAsync(stopping);
                }
                finally
                {
                    await client.DisconnectAsync();
                }

                // A broker that accepts and then drops at once is not asked again and again without pause.
                if (clock.GetElapsedTime(since) > LongestPause)
                    attempt = 0;
            }
            catch (MqttException e)
            {
                reason = e.Message;
            }

            _notReady = $"{reason} ({settings.Endpoint})";
            if (!outageLogged)
                Log.Disconnected(logger, settings.Name, settings.Endpoint, reason);
            outageLogged = true;

            var pause = FirstPause * Math.Pow(2, Math.Min(attempt++, 10));
            // A fleet that lost its broker must not return in step.
            await Task.Delay((pause < LongestPause ? pause : LongestPause) * (0.75 + 0.5 * Random.Shared.NextDouble()), clock, stopping);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(300, LogLevel.Information, "{Name} is connected to {Endpoint} with MQTT {Version}, session present: {SessionPresent}")]
        public static partial void Connected(ILogger logger, string name, string endpoint, MqttVersion version, bool sessionPresent);

        [LoggerMessage(301, LogLevel.Warning, "{Name} has no connection to {Endpoint}: {Reason}. Trying again until it comes back")]
        public static partial void Disconnected(ILogger logger, string name, string endpoint, string reason);
    }
}
