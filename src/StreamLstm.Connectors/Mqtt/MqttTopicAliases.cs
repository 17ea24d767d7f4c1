namespace StreamLstm.Connectors.Mqtt;

/// <summary>What the broker lets a number stand for on one connection (MQTT 5, section 3.3.2.3.4): a topic that it has sent before.</summary>
internal sealed class MqttTopicAliases
{
    /// <summary>Announced in CONNECT.</summary>
    public const ushort Maximum = 1024;

    private readonly string?[] _topics = new string?[Maximum + 1];

    /// <param name="topic">Of the PUBLISH; empty = the one that the alias stands for.</param>
    public string Resolve(string topic, ushort alias)
    {
        if (alias is 0 or > Maximum)
            throw new MqttProtocolException($"topic alias {alias}, of 1 to {Maximum}");
        if (topic.Length > 0)
            return _topics[alias] = topic;
        return _topics[alias] ?? throw new MqttProtocolException($"topic alias {alias}, which stands for nothing");
    }
}
