using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Decodes messages by the bindings of a source. Of several bindings that match a topic and whose conditions hold, the one with the
/// longest literal prefix wins, then the name. Works on UTF-8 without allocating per sample; thread-safe.
/// <para>
/// A record whose values are partly absent gives those that are there: devices that report changes leave out what hasn't changed.
/// </para>
/// </summary>
public sealed class BindingDecoder : IPayloadDecoder
{
    internal const int MaxCsvCells = 256;

    /// <summary>What the journal takes in one sample.</summary>
    internal const int MaxChannels = 255;

    /// <summary>What the journal takes.</summary>
    internal const int MaxKeyBytes = 512;

    private readonly Binding[] _bindings;

    /// <exception cref="ArgumentException">A binding can't be compiled; <see cref="Check"/> tells beforehand.</exception>
    public BindingDecoder(IEnumerable<BindingSettings> bindings, DecodeLimits? limits = null)
    {
        ArgumentNullException.ThrowIfNull(bindings);
        Limits = limits ?? DecodeLimits.Default;
        if (Limits.MaxDepth is < 1 or > 1000 || Limits.MaxPayloadBytes < 1 || Limits.MaxSamples < 1 || Limits.MaxKeyBytes is < 1 or > MaxKeyBytes)
            throw new ArgumentException($"A limit is out of range: {Limits}.", nameof(limits));
        var problems = new List<BindingProblem>();
        var compiled = new List<Binding>();
        foreach (var settings in bindings)
        {
            if (Binding.Compile(settings, problems) is { } binding)
                compiled.Add(binding);
            if (problems.Count > 0)
                throw new ArgumentException($"Binding {settings.Name}: {problems[0].Key} {problems[0].Problem}.", nameof(bindings));
        }

        _bindings = [.. compiled.OrderByDescending(b => b.Topic.LiteralPrefix).ThenBy(b => b.Settings.Name, StringComparer.Ordinal)];
        Subscriptions = [.. _bindings.Select(b => b.Topic.Subscription).Distinct(StringComparer.Ordinal)];
        UsesHeaders = Array.Exists(_bindings, b => b.UsesHeaders);
        Sparkplug = new SparkplugNodes(Counters);
    }

    public IReadOnlyList<string> Subscriptions { get; }

    public bool UsesHeaders { get; }

    public bool KeepsState => Array.Exists(_bindings, b => b.Held is not null || b.Format == PayloadFormat.Sparkplug);

    public DecodeLimits Limits { get; }

    public DecodeCounters Counters { get; } = new();

    /// <summary>
    /// A Sparkplug node should publish its births again (NCMD <c>Node Control/Rebirth</c>): messages are missing or speak of metrics that
    /// no birth has named. Raised at most once per node until its birth comes, or 30 s have passed. Arguments: group and node.
    /// </summary>
    public event Action<string, string>? RebirthRequested
    {
        add => Sparkplug.RebirthRequested += value;
        remove => Sparkplug.RebirthRequested -= value;
    }

    /// <summary>Whether a rebirth was asked for and has not come yet.</summary>
    internal bool AwaitsBirth(string group, string node) => Sparkplug.AwaitsBirth(group, node);

    internal SparkplugNodes Sparkplug { get; }

    /// <summary>Everything that is wrong with a binding; empty if it can be used.</summary>
    public static IReadOnlyList<BindingProblem> Check(BindingSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        var problems = new List<BindingProblem>();
        Binding.Compile(settings, problems);
        return problems;
    }

    public void Decode(in SourceMessage message, SampleBatch batch) => Decode(in message, batch, null);

    /// <param name="trace">Receives unit and kind of every sample; null = nobody asks.</param>
    public void Decode(in SourceMessage message, SampleBatch batch, DecodeTrace? trace)
    {
        ArgumentNullException.ThrowIfNull(batch);
        var scratch = DecodeScratch.OfThread;
        var topic = scratch.Transcode(message.Topic);
        var (excepted, filtered) = (false, false);
        foreach (var binding in _bindings)
        {
            if (!binding.Topic.Match(topic, scratch.Captures))
                continue;
            if (IsExcepted(binding, topic, scratch))
            {
                excepted = true;
                continue;
            }

            var record = new Record(this, binding, in message, topic, batch, scratch, trace);
            if (Decode(ref record))
                return;
            filtered = true;
        }

        if (filtered)
            Counters.CountFiltered();
        else if (excepted || IsCovered(topic, scratch))
            Counters.CountExcepted();
        else
            Unmatched(in message, batch);
    }

    /// <returns>False if the message doesn't fulfil the binding's conditions.</returns>
    private bool Decode(ref Record record)
    {
        if (record.Message.Payload.Length > Limits.MaxPayloadBytes)
        {
            record.Reject(DeadLetterReason.Oversized, $"The payload has {record.Message.Payload.Length} bytes; at most {Limits.MaxPayloadBytes} are accepted.", null);
            return true;
        }

        if (record.Message.Retained && record.Binding.Settings.Retained == RetainedPolicy.Drop)
        {
            record.Reject(DeadLetterReason.Retained, "The broker kept the message from an earlier time, and retained messages are to be dropped.", null);
            return true;
        }

        var taken = record.Binding.Format switch
        {
            PayloadFormat.Text => TextDecoder.Text(ref record),
            PayloadFormat.Csv => TextDecoder.Csv(ref record),
            PayloadFormat.Influx => LineDecoder.Decode(ref record),
            PayloadFormat.Sparkplug => SparkplugDecoder.Decode(ref record),
            PayloadFormat.Obis => ObisDecoder.Decode(ref record),
            PayloadFormat.Int16 or PayloadFormat.Float32 => FrameDecoder.Binary(ref record),
            _ => JsonDecoder.Decode(ref record),
        };
        if (taken)
            record.End();
        return taken;
    }

    private static bool IsExcepted(Binding binding, ReadOnlySpan<byte> topic, DecodeScratch scratch)
    {
        foreach (var pattern in binding.Except)
        {
            if (pattern.Match(topic, scratch.OtherCaptures))
                return true;
        }

        return false;
    }

    private bool IsCovered(ReadOnlySpan<byte> topic, DecodeScratch scratch)
    {
        foreach (var binding in _bindings)
        {
            if (binding.Topic.Covers(topic, scratch.OtherCaptures))
                return true;
        }

        return false;
    }

    private static void Unmatched(in SourceMessage message, SampleBatch batch) =>
        batch.AddDeadLetter(DeadLetter.Create(DeadLetterReason.Unmatched, message.Source, message.Position,
            $"No binding matches topic {message.Topic}.", message.ArrivalMicros, message.Payload));
}
