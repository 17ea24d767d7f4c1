using System.Diagnostics.Metrics;
using StreamLstm.Connectors.Codecs;

namespace StreamLstm.Worker.Metrics;

/// <summary>What the sources' decoders left alone on purpose, and what they know about Sparkplug nodes; dead letters are the engine's.</summary>
internal static class DecoderMetrics
{
    public static void Create(IMeterFactory meters, IReadOnlyList<(string Source, DecodeCounters Counters)> decoders)
    {
        if (decoders.Count == 0)
            return;
        var meter = meters.Create("StreamLstm.Connectors");
        meter.CreateObservableCounter(
            "streamlstm_messages_ignored",
            () => decoders.SelectMany(d => (Measurement<long>[])
            [
                new(d.Counters.Excepted, new("source", d.Source), new("reason", "excepted")),
                new(d.Counters.Filtered, new("source", d.Source), new("reason", "filtered")),
            ]),
            description: "Messages that no binding wants: excepted topics, and messages without what a binding asks for.");
        meter.CreateObservableCounter("streamlstm_sparkplug_sequence_gaps", () => Of(decoders, c => c.SequenceGaps), description: "Sparkplug messages before which at least one is missing.");
        meter.CreateObservableCounter("streamlstm_sparkplug_deaths", () => Of(decoders, c => c.Deaths), description: "Sparkplug nodes and devices that went away.");
        meter.CreateObservableCounter("streamlstm_sparkplug_rebirth_requests", () => Of(decoders, c => c.RebirthRequests), description: "Times a Sparkplug node should publish its births again.");
    }

    private static IEnumerable<Measurement<long>> Of(IReadOnlyList<(string Source, DecodeCounters Counters)> decoders, Func<DecodeCounters, long> value) =>
        decoders.Select(d => new Measurement<long>(value(d.Counters), new KeyValuePair<string, object?>("source", d.Source)));
}
