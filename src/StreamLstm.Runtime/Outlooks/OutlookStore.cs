using System.Globalization;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Outlooks;

/// <summary>
/// Keeps the outlook table beside the state log: a file per commit that changed it, <c>outlooks/&lt;journal position after the
/// commit&gt;</c>, durable before the commit. The table of a restored commit is the newest file not beyond its position; all but a few
/// older ones are deleted once the commit is durable.
/// </summary>
internal sealed class OutlookStore(string directory)
{
    private const int Kept = 4;

    /// <summary>A file's content: checksum and table.</summary>
    public static byte[] Encode(OutlookTable table)
    {
        var w = new ByteWriter();
        table.Write(w);
        var body = w.Written.ToArray();
        w.Clear();
        w.Int32((int)RecordLog.Crc(body));
        w.Bytes(body);
        return w.Written.ToArray();
    }

    public void Save(long position, ReadOnlySpan<byte> encoded)
    {
        Directory.CreateDirectory(directory);
        DirectorySync.ReplaceFile(Path.Combine(directory, position.ToString("D20", CultureInfo.InvariantCulture)), encoded);
    }

    /// <summary>The table as a commit left it, encoded, or null.</summary>
    public byte[]? Load(long position)
    {
        if (Files().Where(f => f.Position <= position).OrderByDescending(f => f.Position).Select(f => f.Path).FirstOrDefault() is not { } path)
            return null;
        var content = File.ReadAllBytes(path);
        var r = new ByteReader(content);
        if ((uint)r.Int32() is var sum && sum != RecordLog.Crc(content.AsSpan(4)))
            throw new CorruptLogException($"{path} is damaged.");
        return content[4..];
    }

    public void DeleteBefore(long position)
    {
        foreach (var file in Files().Where(f => f.Position < position).OrderByDescending(f => f.Position).Skip(Kept))
            File.Delete(file.Path);
    }

    private List<(long Position, string Path)> Files() => Directory.Exists(directory)
        ? [.. Directory.GetFiles(directory).Where(f => long.TryParse(Path.GetFileName(f), NumberStyles.None, CultureInfo.InvariantCulture, out _)).Select(f => (long.Parse(Path.GetFileName(f), CultureInfo.InvariantCulture), f))]
        : [];
}
