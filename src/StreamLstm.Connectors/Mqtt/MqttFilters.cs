namespace StreamLstm.Connectors.Mqtt;

/// <summary>What the topic filters of one client have in common (MQTT 5.0, section 4.7).</summary>
internal static class MqttFilters
{
    /// <summary>Without those whose every topic another filter matches too.</summary>
    public static IReadOnlyList<string> WithoutCovered(IReadOnlyList<string> filters) =>
        [.. filters.Distinct(StringComparer.Ordinal).Where(f => !filters.Any(other => other != f && Covers(other, f)))];

    public static bool IsShared(string filter) => filter.StartsWith("$share/", StringComparison.Ordinal) || filter.StartsWith("$queue/", StringComparison.Ordinal);

    /// <summary>Whether every topic that <paramref name="narrow"/> matches is matched by <paramref name="wide"/>.</summary>
    public static bool Covers(string wide, string narrow)
    {
        string[] w = wide.Split('/'), n = narrow.Split('/');
        if (IsReserved(w, n))
            return false;
        for (var i = 0; i < w.Length; i++)
        {
            // "a/#" matches "a" too.
            if (w[i] == "#")
                return true;
            if (i == n.Length || n[i] == "#" || (w[i] != "+" && w[i] != n[i]))
                return false;
        }

        return w.Length == n.Length;
    }

    /// <summary>Whether there is a topic that both match.</summary>
    public static bool Overlap(string first, string second)
    {
        string[] a = first.Split('/'), b = second.Split('/');
        if (IsReserved(a, b) || IsReserved(b, a))
            return false;
        for (var i = 0; ; i++)
        {
            if ((i < a.Length && a[i] == "#") || (i < b.Length && b[i] == "#"))
                return true;
            if (i == a.Length || i == b.Length)
                return a.Length == b.Length;
            if (a[i] != b[i] && a[i] != "+" && b[i] != "+")
                return false;
        }
    }

    /// <summary>A wildcard at the beginning doesn't match topics of the broker's own, such as <c>$SYS</c> (section 4.7.2).</summary>
    private static bool IsReserved(string[] wild, string[] other) => wild[0] is "+" or "#" && other[0].StartsWith('$');
}
