using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Connectors.Codecs;

/// <summary>
/// Sparkplug B (Eclipse Sparkplug 3.0): <c>spBv1.0/group/type/node[/device]</c> with a protobuf payload. Births name the metrics and
/// give them aliases, data refers to these; sequence numbers tell whether a message is missing; after a death nothing counts until the
/// next birth.
/// </summary>
internal static class SparkplugDecoder
{
    private const ulong MaxMillis = 253_402_300_799_999;

    private enum MessageType
    {
        Other,
        NodeBirth,
        NodeData,
        NodeDeath,
        DeviceBirth,
        DeviceData,
        DeviceDeath,
        Command,
    }

    public static bool Decode(ref Record record)
    {
        if (!record.Fulfils())
            return false;
        var topic = record.Topic;
        Span<Range> levels = stackalloc Range[6];
        var n = 0;
        foreach (var level in topic.Split((byte)'/'))
        {
            if (n < levels.Length)
                levels[n++] = level;
        }

        var type = n is 4 or 5 && topic[levels[0]].SequenceEqual("spBv1.0"u8) ? TypeOf(topic[levels[2]], n == 5) : MessageType.Other;
        if (type is MessageType.Command || (n == 3 && topic[levels[1]].SequenceEqual("STATE"u8)))
        {
            record.IsExcepted = true;
            return true;
        }

        if (type == MessageType.Other)
        {
            record.Reject(DeadLetterReason.Malformed, "The topic isn't spBv1.0/group/type/node or spBv1.0/group/type/node/device with a type of Sparkplug B.", null);
            return true;
        }

        if (!TryHead(ref record, out var seq, out var millis))
            return true;
        var group = topic[levels[1]];
        var name = topic[levels[3]];
        var path = record.Scratch.Text.AsSpan();
        if (group.Length + 1 + name.Length > path.Length)
        {
            record.Reject(DeadLetterReason.BadKey, $"Group and node have more than {path.Length} bytes.", null);
            return true;
        }

        group.CopyTo(path);
        path[group.Length] = (byte)'/';
        name.CopyTo(path[(group.Length + 1)..]);
        if (record.Decoder.Sparkplug.Node(path[..(group.Length + 1 + name.Length)], group, name) is not { } node)
        {
            record.Reject(DeadLetterReason.StreamLimit, $"There are more than {SparkplugNodes.MaxNodes} Sparkplug nodes.", null);
            return true;
        }

        lock (node)
        {
            if (Device(ref record, node, n == 5 ? topic[levels[4]] : default) is { } device)
                Message(ref record, type, node, device, seq, millis);
        }

        return true;
    }

    private static SparkplugDevice? Device(ref Record record, SparkplugNode node, ReadOnlySpan<byte> name)
    {
        if (name.IsEmpty)
            return node.Own;
        var lookup = node.Devices.GetAlternateLookup<ReadOnlySpan<byte>>();
        if (lookup.TryGetValue(name, out var device))
            return device;
        if (node.Devices.Count >= SparkplugNodes.MaxNodes || !record.Decoder.Sparkplug.TryTake())
        {
            record.Reject(DeadLetterReason.StreamLimit, $"There are more than {SparkplugNodes.MaxNodes} devices at node {node.Group}/{node.Name}, or {SparkplugNodes.MaxEntries} devices and metrics in all.", null);
            return null;
        }

        device = new SparkplugDevice();
        lookup[name] = device;
        return device;
    }

    private static void Message(ref Record record, MessageType type, SparkplugNode node, SparkplugDevice device, ulong? seq, ulong? millis)
    {
        var nodes = record.Decoder.Sparkplug;
        switch (type)
        {
            case MessageType.NodeBirth:
                foreach (var other in node.Devices.Values)
                    other.Die(nodes);
                node.Sequence = (int)(seq ?? 0) & 255;
                node.Session = null;
                node.AskedMicros = null;
                break;
            case MessageType.NodeDeath:
                if (Session(ref record) is { } session && node.Session is { } current && session != current)
                {
                    // The will of an earlier connection, of which the broker learnt only now.
                    record.IsExcepted = true;
                    return;
                }

                foreach (var other in node.Devices.Values)
                    Die(ref record, other);
                Die(ref record, device);
                node.Sequence = -1;
                record.Reject(DeadLetterReason.Stale, $"Node {node.Group}/{node.Name} has died: what it reported is no longer valid.", null);
                return;
            default:
                Count(ref record, node, seq);
                break;
        }

        if (type == MessageType.DeviceDeath)
        {
            Die(ref record, device);
            record.Reject(DeadLetterReason.Stale, $"A device of node {node.Group}/{node.Name} has died: what it reported is no longer valid.", null);
            return;
        }

        if (type is MessageType.NodeBirth or MessageType.DeviceBirth)
        {
            // Whatever becomes of the values, what they mean holds for all data to come.
            device.Die(nodes);
            device.State = SparkplugState.Alive;
            Introduce(ref record, node, device);
        }
        else if (device.State != SparkplugState.Alive)
        {
            nodes.AskForRebirth(node, record.Message.ArrivalMicros);
            if (device.State == SparkplugState.Dead)
            {
                record.Reject(DeadLetterReason.Stale, $"Node {node.Group}/{node.Name} speaks after a death without a birth; a rebirth is needed.", null);
                return;
            }
        }

        if (record.Binding.Settings.Hold > TimeSpan.Zero)
            record.Held = device.Held ??= new HeldValues(record.Binding.Settings.Hold);
        Metrics(ref record, node, device, millis);
    }

    private static void Introduce(ref Record record, SparkplugNode node, SparkplugDevice device)
    {
        var reader = new ProtobufReader(record.Message.Payload);
        while (reader.Read())
        {
            var metric = new Metric();
            if (reader.Field != 2 || !metric.TryRead(reader.Bytes) || TryIntroduce(record.Decoder.Sparkplug, node, device, in metric))
                continue;
            record.Reject(DeadLetterReason.StreamLimit, $"There are more than {SparkplugNodes.MaxEntries} Sparkplug devices and metrics.", null);
            return;
        }
    }

    private static void Die(ref Record record, SparkplugDevice device)
    {
        if (device.State == SparkplugState.Alive)
            record.Decoder.Counters.CountDeath();
        device.Die(record.Decoder.Sparkplug);
    }

    /// <summary>A hole in the numbers means a lost message. What is here stays valid, yet values may have changed unseen.</summary>
    private static void Count(ref Record record, SparkplugNode node, ulong? seq)
    {
        if (seq is not { } number)
            return;
        // Whoever isn't sent the node's own messages can't miss one.
        if (node.Own.State == SparkplugState.Alive && node.Sequence >= 0 && (int)(number & 255) != ((node.Sequence + 1) & 255))
        {
            record.Decoder.Counters.CountSequenceGap();
            record.Decoder.Sparkplug.AskForRebirth(node, record.Message.ArrivalMicros);
        }

        node.Sequence = (int)(number & 255);
    }

    private static void Metrics(ref Record record, SparkplugNode node, SparkplugDevice device, ulong? millis)
    {
        if (!TryStamp(ref record, millis))
            return;
        var time = record.Time;
        record.Begin();
        var unknown = 0;
        var binding = record.Binding;
        var reader = new ProtobufReader(record.Message.Payload);
        while (reader.Read() && !record.IsFull)
        {
            if (reader.Field != 2)
                continue;
            var metric = new Metric();
            if (!metric.TryRead(reader.Bytes))
            {
                record.Reject(DeadLetterReason.Malformed, "A metric isn't valid protobuf.", null);
                continue;
            }

            var known = metric.Name.IsEmpty ? device.Aliases.GetValueOrDefault(metric.Alias) : ByName(device, metric.Name);
            var name = known is null ? metric.Name : known.Name;
            if (name.IsEmpty)
            {
                unknown++;
                continue;
            }

            var index = known is null ? IndexOf(binding, name) : IndexOf(binding, known);
            if (index < 0)
                continue;
            var value = binding.Values[index];
            record.Time = time;
            if (binding.StreamPerValue && metric.HasMillis && !TryStamp(ref record, metric.Millis))
                continue;
            record.Star = name;
            Take(ref record, value, index, in metric, known);
        }

        record.Time = time;
        if (unknown > 0)
        {
            record.Decoder.Sparkplug.AskForRebirth(node, record.Message.ArrivalMicros);
            record.Reject(DeadLetterReason.Stale, $"{unknown} metrics of node {node.Group}/{node.Name} have aliases that no birth has introduced; a rebirth is needed.", null);
        }

        // A birth without our metrics is no news, nor is data that reports only others.
        record.Write(optional: true);
    }

    private static void Take(ref Record record, CompiledValue value, int index, in Metric metric, SparkplugMetric? known)
    {
        var type = metric.DataType != 0 ? metric.DataType : known?.DataType ?? 0;
        if (metric.IsNull)
        {
            if (!value.TakesAny)
                record.Absent(value, index, "null"u8);
        }
        else if (metric.TryNumber(type, out var number))
        {
            record.Take(value, index, number, value.Unit is null && known is not null ? known.Unit : default);
        }
        else if (!value.TakesAny)
        {
            record.Absent(value, index, "text"u8);
        }
    }

    private static bool TryIntroduce(SparkplugNodes nodes, SparkplugNode node, SparkplugDevice device, in Metric metric)
    {
        // A name that comes twice in a birth keeps its first meaning, and its one place in the budget.
        if (metric.Name.IsEmpty || ByName(device, metric.Name) is not null)
            return true;
        if (metric.Name.SequenceEqual("bdSeq"u8))
            node.Session = metric.Bits;
        if (!nodes.TryTake())
            return false;
        var known = new SparkplugMetric(metric.Name.ToArray(), metric.DataType, EngineeringUnit(metric.Properties).ToArray());
        device.Names[known.Name] = known;
        if (metric.HasAlias)
            device.Aliases[metric.Alias] = known;
        return true;
    }

    private static SparkplugMetric? ByName(SparkplugDevice device, ReadOnlySpan<byte> name) =>
        device.Names.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(name, out var metric) ? metric : null;

    private static int IndexOf(Binding binding, SparkplugMetric metric)
    {
        if (metric.Value.Binding != binding)
            metric.Value = (binding, IndexOf(binding, metric.Name));
        return metric.Value.Index;
    }

    private static int IndexOf(Binding binding, ReadOnlySpan<byte> name)
    {
        var any = -1;
        for (var i = 0; i < binding.Values.Length; i++)
        {
            if (name.SequenceEqual(binding.Values[i].AtUtf8))
                return i;
            if (binding.Values[i].TakesAny)
                any = i;
        }

        // Every metric, but not the machinery of the protocol.
        return name.SequenceEqual("bdSeq"u8) || name.StartsWith("Node Control/"u8) || name.StartsWith("Device Control/"u8) ? -1 : any;
    }

    /// <summary>Sets the record's time; null = arrival.</summary>
    private static bool TryStamp(ref Record record, ulong? millis)
    {
        if (millis is not { } t)
            return record.TryArrival();
        if (t <= MaxMillis)
            return record.TryTime((long)t * 1000);
        record.Reject(DeadLetterReason.BadTime, $"The time {t} ms lies outside the calendar.", null);
        return false;
    }

    /// <summary>Walks through the payload once, so that a broken one changes nothing.</summary>
    private static bool TryHead(ref Record record, out ulong? seq, out ulong? millis)
    {
        (seq, millis) = (null, null);
        var reader = new ProtobufReader(record.Message.Payload);
        while (reader.Read())
        {
            if (reader.Field == 1)
                millis = reader.Bits;
            else if (reader.Field == 3)
                seq = reader.Bits;
        }

        if (!reader.IsBroken)
            return true;
        record.Reject(DeadLetterReason.Malformed, "The payload isn't valid protobuf.", null);
        return false;
    }

    private static ulong? Session(ref Record record)
    {
        var reader = new ProtobufReader(record.Message.Payload);
        while (reader.Read())
        {
            var metric = new Metric();
            if (reader.Field == 2 && metric.TryRead(reader.Bytes) && metric.Name.SequenceEqual("bdSeq"u8))
                return metric.Bits;
        }

        return null;
    }

    /// <summary>Property engUnit: the keys of a property set are one list, its values another.</summary>
    private static ReadOnlySpan<byte> EngineeringUnit(ReadOnlySpan<byte> properties)
    {
        int keys = 0, at = -1;
        var reader = new ProtobufReader(properties);
        while (reader.Read())
        {
            if (reader.Field != 1)
                continue;
            if (reader.Bytes.SequenceEqual("engUnit"u8))
                at = keys;
            keys++;
        }

        reader = new ProtobufReader(properties);
        for (var values = 0; at >= 0 && reader.Read();)
        {
            if (reader.Field != 2 || values++ != at)
                continue;
            var value = new ProtobufReader(reader.Bytes);
            while (value.Read())
            {
                if (value.Field == 8 && value.Bytes.Length <= 32)
                    return value.Bytes;
            }
        }

        return default;
    }

    private static MessageType TypeOf(ReadOnlySpan<byte> type, bool device)
    {
        if (type.SequenceEqual("NCMD"u8) || type.SequenceEqual("DCMD"u8))
            return MessageType.Command;
        if (device)
            return type.SequenceEqual("DDATA"u8) ? MessageType.DeviceData : type.SequenceEqual("DBIRTH"u8) ? MessageType.DeviceBirth : type.SequenceEqual("DDEATH"u8) ? MessageType.DeviceDeath : MessageType.Other;
        return type.SequenceEqual("NDATA"u8) ? MessageType.NodeData : type.SequenceEqual("NBIRTH"u8) ? MessageType.NodeBirth : type.SequenceEqual("NDEATH"u8) ? MessageType.NodeDeath : MessageType.Other;
    }

    /// <summary>The fields of a metric that matter here.</summary>
    private ref struct Metric
    {
        private int _valueField;

        public ReadOnlySpan<byte> Name { get; private set; }

        public ulong Alias { get; private set; }

        public bool HasAlias { get; private set; }

        public ulong Millis { get; private set; }

        public bool HasMillis { get; private set; }

        public uint DataType { get; private set; }

        public bool IsNull { get; private set; }

        public ReadOnlySpan<byte> Properties { get; private set; }

        public ulong Bits { get; private set; }

        public bool TryRead(ReadOnlySpan<byte> message)
        {
            var reader = new ProtobufReader(message);
            while (reader.Read())
            {
                switch (reader.Field)
                {
                    case 1:
                        Name = reader.Bytes;
                        break;
                    case 2:
                        Alias = reader.Bits;
                        HasAlias = true;
                        break;
                    case 3:
                        Millis = reader.Bits;
                        HasMillis = true;
                        break;
                    case 4:
                        DataType = (uint)reader.Bits;
                        break;
                    case 7:
                        IsNull = reader.Bits != 0;
                        break;
                    case 9:
                        Properties = reader.Bytes;
                        break;
                    case >= 10 and <= 18:
                        _valueField = reader.Field;
                        Bits = reader.Bits;
                        break;
                }
            }

            return !reader.IsBroken;
        }

        /// <summary>False if the value isn't a number, or nobody has said whether it has a sign.</summary>
        public readonly bool TryNumber(uint type, out double number)
        {
            number = double.NaN;
            switch (_valueField)
            {
                case 10:
                case 11:
                    // Negative numbers come as two's complement, some senders' in 32 bits and some in as many as the type has.
                    number = type switch
                    {
                        1 => (sbyte)Bits,
                        2 => (short)Bits,
                        3 => (int)Bits,
                        4 => (long)Bits,
                        5 => (byte)Bits,
                        6 => (ushort)Bits,
                        7 => (uint)Bits,
                        8 => Bits,
                        0 when Bits <= int.MaxValue => Bits,
                        _ => double.NaN,
                    };
                    return !double.IsNaN(number);
                case 12:
                    number = BitConverter.UInt32BitsToSingle((uint)Bits);
                    return true;
                case 13:
                    number = BitConverter.UInt64BitsToDouble(Bits);
                    return true;
                default:
                    return false;
            }
        }
    }
}
