using System.Diagnostics.CodeAnalysis;
using StreamLstm.Connectors.Kafka;

namespace StreamLstm.Simulator.Targets;

internal enum TargetKind
{
    StandardOutput,
    File,
    Http,
    Mqtt,
    Kafka,
}

/// <summary>The value of <c>--to</c>.</summary>
/// <param name="Path">File path; null for other kinds.</param>
/// <param name="Uri">Server; null for file and standard output.</param>
internal sealed record TargetAddress(TargetKind Kind, string? Path, Uri? Uri)
{
    /// <summary>True for file and standard output.</summary>
    public bool IsStream => Uri is null;

    public static bool TryParse(string text, [NotNullWhen(true)] out TargetAddress? address, [NotNullWhen(false)] out string? problem)
    {
        address = null;
        problem = null;
        if (text == "-")
        {
            address = new TargetAddress(TargetKind.StandardOutput, null, null);
            return true;
        }

        if (text.StartsWith("file:", StringComparison.Ordinal))
        {
            string path = text.StartsWith("file://", StringComparison.Ordinal) ? text["file://".Length..] : text["file:".Length..];
            if (path.Length == 0)
            {
                problem = "the path is missing.";
                return false;
            }

            address = new TargetAddress(TargetKind.File, path, null);
            return true;
        }

        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? uri) || uri.Host.Length == 0
            || uri.Scheme is not ("mqtt" or "mqtts" or "kafka" or "http" or "https"))
        {
            problem = "expected mqtt://host[:port][/prefix], kafka://host[:port]/topic, http://host[:port], file:PATH or -.";
            return false;
        }

        if (uri.Query.Length > 0 || uri.Fragment.Length > 0)
        {
            problem = "it must not have a query or fragment.";
            return false;
        }

        if (uri.Scheme is "mqtt" or "mqtts" && Uri.UnescapeDataString(uri.AbsolutePath).AsSpan().ContainsAny('+', '#', '\0'))
        {
            problem = "a topic prefix must not contain + or #.";
            return false;
        }

        if (uri.Scheme == "kafka" && (uri.UserInfo.Length > 0 || !KafkaTopic.IsLegal(uri.AbsolutePath.Trim('/'))))
        {
            problem = "kafka:// needs a host and one topic of letters, digits, '.', '_' and '-', and takes no user.";
            return false;
        }

        TargetKind kind = uri.Scheme switch
        {
            "mqtt" or "mqtts" => TargetKind.Mqtt,
            "kafka" => TargetKind.Kafka,
            _ => TargetKind.Http,
        };
        address = new TargetAddress(kind, null, uri);
        return true;
    }

    /// <param name="topic">MQTT topic below the address's prefix, with <c>{stream}</c> for the stream.</param>
    public async Task<ISampleTarget> OpenAsync(bool csv, string topic, TimeProvider clock, CancellationToken stopping) => Kind switch
    {
        TargetKind.StandardOutput => new StreamTarget(Console.OpenStandardOutput(), csv),
        TargetKind.File => StreamTarget.Create(Path!, csv),
        TargetKind.Http => new HttpTarget(Uri!, clock),
        TargetKind.Kafka => await KafkaTarget.ConnectAsync(Uri!, clock, stopping),
        _ => await MqttTarget.ConnectAsync(Uri!, topic, clock, stopping),
    };

    /// <summary>Never the password.</summary>
    public override string ToString() => Kind switch
    {
        TargetKind.StandardOutput => "-",
        TargetKind.File => "file:" + Path,
        _ => $"{Uri!.Scheme}://{Uri.Authority}{Uri.AbsolutePath.TrimEnd('/')}",
    };
}
