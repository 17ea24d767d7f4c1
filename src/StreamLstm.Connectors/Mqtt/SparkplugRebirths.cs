using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using StreamLstm.Connectors.Codecs;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>
/// Asks Sparkplug nodes to publish their births again: NCMD <c>Node Control/Rebirth</c> = true, QoS 0, not retained (Sparkplug 3.0, 6.4.24).
/// Waits a little first, as messages that seem missing may only be out of order, or the birth may be on its way.
/// </summary>
internal sealed partial class SparkplugRebirths : IDisposable
{
    public static readonly TimeSpan ReorderTimeout = TimeSpan.FromSeconds(2);

    private readonly BindingDecoder _decoder;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly string _source;

    // A request that finds no place is made again, 30 s later, by the message that needs it.
    private readonly Channel<(string Group, string Node, long Due)> _asked = Channel.CreateBounded<(string, string, long)>(
        new BoundedChannelOptions(1024) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    public SparkplugRebirths(string source, BindingDecoder decoder, TimeProvider clock, ILogger logger)
    {
        (_source, _decoder, _clock, _logger) = (source, decoder, clock, logger);
        decoder.RebirthRequested += Ask;
    }

    public async Task RunAsync(MqttClient client, CancellationToken stopping)
    {
        await foreach (var (group, node, due) in _asked.Reader.ReadAllAsync(stopping))
        {
            var wait = TimeSpan.FromMicroseconds(due - UnixMicros.Now(_clock));
            if (wait > TimeSpan.Zero)
                await Task.Delay(wait, _clock, stopping);
            if (!_decoder.AwaitsBirth(group, node))
                continue;
            try
            {
                await client.PublishAsync($"spBv1.0/{group}/NCMD/{node}", Command(UnixMicros.Now(_clock) / 1000), qos: 0, retain: false, stopping);
                Log.Asked(_logger, _source, group, node);
            }
            catch (MqttException e)
            {
                Log.Refused(_logger, _source, group, node, e.Message);
            }
        }
    }

    public void Dispose() => _decoder.RebirthRequested -= Ask;

    /// <summary>Payload { timestamp = 1, metrics = 2 { name = 1, timestamp = 3, datatype = 4: Boolean = 11, boolean_value = 14 } }.</summary>
    internal static byte[] Command(long unixMilliseconds)
    {
        var metric = new List<byte> { 0x0A, 20 };
        metric.AddRange("Node Control/Rebirth"u8);
        metric.Add(0x18);
        Varint(metric, (ulong)unixMilliseconds);
        metric.AddRange([0x20, 11, 0x70, 1]);
        var payload = new List<byte> { 0x08 };
        Varint(payload, (ulong)unixMilliseconds);
        payload.AddRange([0x12, (byte)metric.Count]);
        payload.AddRange(metric);
        return [.. payload];
    }

    private static void Varint(List<byte> to, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            to.Add((byte)(value | 0x80));
        to.Add((byte)value);
    }

    private void Ask(string group, string node) => _asked.Writer.TryWrite((group, node, UnixMicros.Now(_clock) + (long)ReorderTimeout.TotalMicroseconds));

    private static partial class Log
    {
        [LoggerMessage(305, LogLevel.Information, "{Name} asked Sparkplug node {Group}/{Node} for its births")]
        public static partial void Asked(ILogger logger, string name, string group, string node);

        [LoggerMessage(306, LogLevel.Warning, "{Name} can't ask Sparkplug node {Group}/{Node} for its births: {Reason}")]
        public static partial void Refused(ILogger logger, string name, string group, string node, string reason);
    }
}
