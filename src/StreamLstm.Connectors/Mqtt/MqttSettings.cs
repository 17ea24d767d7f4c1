namespace StreamLstm.Connectors.Mqtt;

/// <summary>How to reach a broker; shared by source and sink.</summary>
public abstract record MqttSettings
{
    /// <summary>The name in the configuration.</summary>
    public required string Name { get; init; }

    public required string Host { get; init; }

    /// <summary>Usually 1883, with TLS 8883.</summary>
    public int Port { get; init; } = 1883;

    public MqttTlsSettings? Tls { get; init; }

    /// <summary>
    /// Must be unique at the broker and stay the same over restarts, since the session hangs on it. Null =
    /// <c>streamlstm-&lt;machine&gt;-&lt;name&gt;</c>.
    /// </summary>
    public string? ClientId { get; init; }

    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>A dead connection is noticed after one and a half of it.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Never the password.</summary>
    public sealed override string ToString() => $"{Name} at {Endpoint}";

    internal string Endpoint => $"{(Tls is null ? "mqtt" : "mqtts")}://{Host}:{Port}";

    internal MqttClientOptions ToClientOptions() => new()
    {
        Host = Host,
        Port = Port,
        Tls = Tls,
        ClientId = ClientId ?? $"streamlstm-{Environment.MachineName}-{Name}",
        Username = Username,
        Password = Password,
        KeepAlive = KeepAlive,
    };
}

public sealed record MqttSourceSettings : MqttSettings
{
    /// <summary>The most the broker may use. 0: no guarantee; 1: nothing is lost, messages may repeat; 2: neither lost nor repeated.</summary>
    public int Qos { get; init; } = 1;

    /// <summary>True = what arrived at the broker while this source was away is lost.</summary>
    public bool CleanStart { get; init; }

    /// <summary>How long the broker queues for this source while it is away (MQTT 5).</summary>
    public TimeSpan SessionExpiry { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Longer payloads become dead letters.</summary>
    public int MaxPayloadBytes { get; init; } = 256 * 1024;

    /// <summary>1 to 65535 messages that the broker may send ahead of the acknowledgement (MQTT 5).</summary>
    public int ReceiveMaximum { get; init; } = 1024;
}

public sealed record MqttSinkSettings : MqttSettings
{
    /// <summary>First part of every topic, without a slash at its end.</summary>
    public string Prefix { get; init; } = "streamlstm";

    /// <summary>0, 1 or 2; with 0 a commit counts as published once it is sent, with 2 a lost connection repeats nothing.</summary>
    public int Qos { get; init; } = 1;

    /// <summary>True = the broker keeps each stream's last result for subscribers to come.</summary>
    public bool RetainResults { get; init; }

    /// <summary>The same for the last forecast.</summary>
    public bool RetainForecasts { get; init; } = true;
}
