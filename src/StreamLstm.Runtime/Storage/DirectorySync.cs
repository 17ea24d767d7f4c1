using System.Runtime.InteropServices;

namespace StreamLstm.Runtime.Storage;

/// <summary>
/// fsync of a directory, without which a created or renamed file may vanish in a power cut. .NET can't open a directory, so it goes
/// through libc; Windows has no such call and its metadata journal makes it unnecessary for our use.
/// </summary>
internal static partial class DirectorySync
{
    private const int ReadOnly = 0;

    public static void Flush(string directory)
    {
        if (OperatingSystem.IsWindows())
            return;
        var fd = Open(directory, ReadOnly);
        if (fd < 0)
            throw new IOException($"{directory}: can't be opened for fsync (errno {Marshal.GetLastPInvokeError()}).");
        try
        {
            if (Fsync(fd) != 0)
                throw new FlushFailedException(directory, Marshal.GetLastPInvokeErrorMessage());
        }
        finally
        {
            _ = Close(fd);
        }
    }

    /// <summary>Writes a whole file so that after a crash either the old or the new content is there.</summary>
    public static void ReplaceFile(string path, ReadOnlySpan<byte> content)
    {
        var directory = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var temporary = path + ".tmp";
        using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(content);
            StableStorage.Flush(file);
        }

        File.Move(temporary, path, overwrite: true);
        Flush(directory);
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int fd);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int fd);
}
