using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;

namespace StreamLstm.Connectors.Mqtt;

/// <summary>The broker refused something, or can't be reached. The message is one clause for a person.</summary>
public class MqttException : Exception
{
    public MqttException(string message, byte? reasonCode = null, Exception? inner = null)
        : base(message, inner) => ReasonCode = reasonCode;

    /// <summary>MQTT 5 reason code if the broker gave one (3.1.1 return codes are translated).</summary>
    public byte? ReasonCode { get; }

    /// <summary>True when sending the same thing again can't succeed: too large, or a topic or payload this broker won't take.</summary>
    public bool IsPermanent => ReasonCode is MqttReason.PacketTooLarge or MqttReason.TopicNameInvalid or MqttReason.PayloadFormatInvalid;

    /// <summary>True for what a network, a file or a handshake may throw, as opposed to a bug.</summary>
    internal static bool IsTransport(Exception e) =>
        e is IOException or SocketException or AuthenticationException or CryptographicException or UnauthorizedAccessException or ObjectDisposedException;

    internal static string Describe(Exception e) => e switch
    {
        SocketException s => s.SocketErrorCode switch
        {
            SocketError.ConnectionRefused => "connection refused",
            SocketError.ConnectionReset or SocketError.ConnectionAborted => "connection reset",
            SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain => "host name not found",
            SocketError.HostUnreachable or SocketError.NetworkUnreachable => "host unreachable",
            SocketError.TimedOut => "timed out",
            _ => s.Message,
        },
        AuthenticationException => "TLS handshake failed: " + (e.InnerException?.Message ?? e.Message),
        IOException { InnerException: SocketException s } => Describe(s),
        ObjectDisposedException => "connection closed",
        _ => e.Message,
    };
}

/// <summary>The peer sent something that is not MQTT; the connection can't be used any further.</summary>
internal sealed class MqttProtocolException(string message) : MqttException("protocol error: " + message, MqttReason.ProtocolError);

/// <summary>Reason codes, MQTT 5.0 section 2.4.</summary>
internal static class MqttReason
{
    public const byte Success = 0x00;
    public const byte MalformedPacket = 0x81;
    public const byte ProtocolError = 0x82;
    public const byte UnsupportedProtocolVersion = 0x84;
    public const byte TopicNameInvalid = 0x90;
    public const byte PacketTooLarge = 0x95;
    public const byte PayloadFormatInvalid = 0x99;

    /// <summary>Codes from here on are failures.</summary>
    public const byte FirstFailure = 0x80;

    /// <summary>CONNACK return codes of MQTT 3.1.1, section 3.2.2.3, as reason codes.</summary>
    public static byte FromReturnCode(byte code) => code switch
    {
        0 => Success,
        1 => UnsupportedProtocolVersion,
        2 => 0x85,
        3 => 0x88,
        4 => 0x86,
        5 => 0x87,
        _ => 0x80,
    };

    public static string Text(byte code) => code switch
    {
        0x00 => "normal disconnection",
        0x04 => "disconnect with will",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x85 => "client identifier not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8A => "banned",
        0x8B => "server shutting down",
        0x8C => "bad authentication method",
        0x8D => "keep alive timeout",
        0x8E => "session taken over by another client with the same client id",
        0x8F => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9A => "retain not supported",
        0x9B => "QoS not supported",
        0x9C => "use another server",
        0x9D => "server moved",
        0x9E => "shared subscriptions not supported",
        0x9F => "connection rate exceeded",
        0xA0 => "maximum connect time",
        0xA1 => "subscription identifiers not supported",
        0xA2 => "wildcard subscriptions not supported",
        _ => $"reason code 0x{code:X2}",
    };
}
