using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Worker.Api;

/// <summary>Errors as RFC 9457 problem documents.</summary>
internal static class Problem
{
    public static async Task WriteAsync(HttpContext context, int status, string? detail)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/problem+json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, Json.Writer);
        json.WriteStartObject();
        json.WriteString("type"u8, "about:blank"u8);
        json.WriteString("title"u8, ReasonPhrases.GetReasonPhrase(status));
        json.WriteNumber("status"u8, status);
        if (detail is not null)
            json.WriteString("detail"u8, detail);
        json.WriteEndObject();
    }
}

/// <summary>The one way the API writes JSON.</summary>
internal static class Json
{
    // Everything is served as JSON with nosniff, so stream names stay readable instead of being escaped for HTML.
    public static readonly JsonWriterOptions Writer = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static readonly JsonSerializerOptions Serializer = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>NaN and infinities, which JSON lacks, become null.</summary>
    public static void Number(this Utf8JsonWriter json, ReadOnlySpan<byte> name, double value)
    {
        if (double.IsFinite(value))
            json.WriteNumber(name, value);
        else
            json.WriteNull(name);
    }

    public static void Number(this Utf8JsonWriter json, ReadOnlySpan<byte> name, double? value) => json.Number(name, value ?? double.NaN);

    public static void Time(this Utf8JsonWriter json, ReadOnlySpan<byte> name, long micros) =>
        json.WriteString(name, UnixMicros.ToDateTimeOffset(micros).ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFF'Z'", CultureInfo.InvariantCulture));
}
