namespace StreamLstm.Runtime.Tests;

/// <summary>A folder that goes away with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder() => Directory.CreateDirectory(Path);

    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), "streamlstm-test-" + Guid.NewGuid().ToString("N"));

    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Copies a folder whose owner may be writing to it and deleting from it.</summary>
    public static void Copy(string from, string to)
    {
        while (true)
        {
            try
            {
                CopyOnce(from, to);
                return;
            }
            catch (FileNotFoundException)
            {
                // Deleted between listing and opening: what has been copied may not fit together.
                Directory.Delete(to, recursive: true);
            }
        }
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static void CopyOnce(string from, string to)
    {
        Directory.CreateDirectory(to);
        if (!Directory.Exists(from))
            return;
        foreach (var directory in Directory.GetDirectories(from))
            CopyOnce(directory, System.IO.Path.Combine(to, System.IO.Path.GetFileName(directory)));
        foreach (var file in Directory.GetFiles(from).Where(f => !f.EndsWith(".tmp", StringComparison.Ordinal)))
        {
            using var source = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var target = File.Create(System.IO.Path.Combine(to, System.IO.Path.GetFileName(file)));
            source.CopyTo(target);
        }
    }
}
