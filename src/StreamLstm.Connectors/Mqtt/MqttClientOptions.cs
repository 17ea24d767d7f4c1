using System.Runtime.CompilerServices;

// The packet layer is internal; its tests are not.
[assembly: InternalsVisibleTo("StreamLstm.Integration.Tests")]

namespace StreamLstm.Connectors.Mqtt;

/// <summary>The protocol level byte of CONNECT.</summary>
public enum MqttVersion : byte
{
    V311 = 4,
    V5 = 5,
}

/// <summary>Published by the broker when this client vanishes without saying goodbye.</summary>
public sealed record MqttWill(string Topic, ReadOnlyMemory<byte> Payload, int Qos, bool Retain);

/// <summary>TLS is on when this record is present; without files the system's trust store decides.</summary>
public sealed record MqttTlsSettings
{
    /// <summary>PEM file with the only certificate authorities to trust; null = those of the system.</summary>
    public string? CaFile { get; init; }

    /// <summary>PEM file with the client certificate (and its intermediates); null = none.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>PEM file with the client certificate's key; null = it is in <see cref="CertificateFile"/>.</summary>
    public string? KeyFile { get; init; }
}

/// <summary>Everything an <see cref="MqttClient"/> needs to know before it connects.</summary>
public sealed record MqttClientOptions
{
    public required string Host { get; init; }

    public int Port { get; init; } = 1883;

    public MqttTlsSettings? Tls { get; init; }

    /// <summary>Names the session at the broker; two clients with one id throw each other out.</summary>
    public required string ClientId { get; init; }

    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>Tried first; a broker that refuses version 5 is asked again with 3.1.1.</summary>
    public MqttVersion Version { get; init; } = MqttVersion.V5;

    /// <summary>True = the broker forgets what it kept for this client id.</summary>
    public bool CleanStart { get; init; }

    /// <summary>How long the broker keeps the session after a disconnect (MQTT 5; a 3.1.1 broker decides by itself).</summary>
    public TimeSpan SessionExpiry { get; init; } = TimeSpan.FromDays(1);

    /// <summary>1 s to 65535 s. A ping goes out every half of it; a peer silent for one and a half of it is given up.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>For the TCP and TLS handshakes with CONNACK together, and for SUBACK.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>1 to 65535: unacknowledged QoS 1 and 2 messages the broker may send, and the capacity of <see cref="MqttClient.Messages"/>.</summary>
    public int ReceiveMaximum { get; init; } = 1024;

    /// <summary>1 to 65535: publishes of ours that may be under way; the broker's own receive maximum may lower it.</summary>
    public int MaxInFlight { get; init; } = 256;

    /// <summary>Longer inbound payloads are skipped, not buffered: see <see cref="MqttMessage.IsOversized"/>.</summary>
    public int MaxPayloadBytes { get; init; } = 1024 * 1024;

    public MqttWill? Will { get; init; }

    /// <summary>Never the password.</summary>
    public override string ToString() => $"{ClientId}@{Host}:{Port}";

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(Host);
        ArgumentException.ThrowIfNullOrWhiteSpace(ClientId);
        CheckRange(Port, 65535, nameof(Port));
        CheckRange(ReceiveMaximum, 65535, nameof(ReceiveMaximum));
        CheckRange(MaxInFlight, 65535, nameof(MaxInFlight));
        CheckRange(MaxPayloadBytes, MqttFrameReader.MaxRemainingLength, nameof(MaxPayloadBytes));
        CheckRange((int)Math.Min(KeepAlive.TotalSeconds, int.MaxValue), 65535, nameof(KeepAlive));
        if (Password is not null && Username is null)
            throw new ArgumentException("MQTT 3.1.1 allows a password only together with a user name.");
        if (Will is { Qos: < 0 or > 2 })
            throw new ArgumentException("The will's QoS must be 0, 1 or 2.");
    }

    private static void CheckRange(int value, int max, string name)
    {
        if (value < 1 || value > max)
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be between 1 and {max}.");
    }
}
