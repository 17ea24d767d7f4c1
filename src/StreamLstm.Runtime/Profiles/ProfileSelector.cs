using System.Text;

namespace StreamLstm.Runtime.Profiles;

/// <summary>
/// Finds the profile of a stream by the globs in <see cref="Profile.Select"/>: the longest literal prefix wins, then the name in
/// ordinal order. Immutable.
/// </summary>
public sealed class ProfileSelector
{
    private readonly Entry[] _entries;

    public ProfileSelector(IEnumerable<Profile> profiles)
    {
        ArgumentNullException.ThrowIfNull(profiles);
        _entries = [.. profiles.Select(p => new Entry(p, Encoding.UTF8.GetBytes(p.Select)))
            .OrderByDescending(e => e.PrefixBytes).ThenBy(e => e.Profile.Name, StringComparer.Ordinal)];
    }

    /// <returns>Null if no profile matches.</returns>
    public Profile? Select(ReadOnlySpan<byte> streamKeyUtf8)
    {
        foreach (var entry in _entries)
        {
            if (Matches(entry.Glob, streamKeyUtf8))
                return entry.Profile;
        }

        return null;
    }

    /// <summary><c>*</c> matches any run of characters (also none, also <c>/</c>), <c>?</c> one character.</summary>
    public static bool Matches(ReadOnlySpan<byte> glob, ReadOnlySpan<byte> key)
    {
        int g = 0, k = 0, star = -1, resume = 0;
        while (k < key.Length)
        {
            if (g < glob.Length && glob[g] == '*')
            {
                star = g++;
                resume = k;
            }
            else if (g < glob.Length && glob[g] == '?')
            {
                g++;
                k = NextCharacter(key, k);
            }
            else if (g < glob.Length && glob[g] == key[k])
            {
                g++;
                k++;
            }
            else if (star >= 0)
            {
                // Only the last star needs to be reconsidered: an earlier one could take no more than this one can.
                g = star + 1;
                resume = NextCharacter(key, resume);
                k = resume;
            }
            else
            {
                return false;
            }
        }

        while (g < glob.Length && glob[g] == '*')
            g++;
        return g == glob.Length;
    }

    private static int NextCharacter(ReadOnlySpan<byte> key, int i)
    {
        i++;
        while (i < key.Length && (key[i] & 0xC0) == 0x80)
            i++;
        return i;
    }

    private readonly record struct Entry(Profile Profile, byte[] Glob)
    {
        public int PrefixBytes { get; } = Glob.AsSpan().IndexOfAny((byte)'*', (byte)'?') is >= 0 and var i ? i : Glob.Length;
    }
}
