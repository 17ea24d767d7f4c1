using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace StreamLstm.Runtime.Storage;

/// <summary>
/// A flush to stable storage failed. The system may have dropped what it could not write and report the next flush as a success, so none
/// is tried again: the host ends, and the next start writes anew what was not durable.
/// </summary>
public sealed class FlushFailedException(string path, string reason, Exception? inner = null)
    : IOException($"{path}: fsync failed ({reason}), so nobody knows what the disk holds. Nothing of it was acknowledged; the worker ends. See to the disk, then start it again.", inner);

/// <summary>fsync that tells of every failure; .NET's own keeps quiet about a file system that has become read-only.</summary>
public static partial class StableStorage
{
    private const int InvalidArgument = 22;
    private const int NotSupported = 95;

    private static readonly unsafe delegate* unmanaged<int, int> s_fsync = OperatingSystem.IsLinux()
        ? (delegate* unmanaged<int, int>)NativeLibrary.GetExport(NativeLibrary.GetMainProgramHandle(), "fsync")
        : null;

    /// <summary>Returns once what was written to the file is on stable storage.</summary>
    /// <exception cref="IOException">Nobody knows whether it is.</exception>
    internal static unsafe void Flush(SafeFileHandle file)
    {
        ArgumentNullException.ThrowIfNull(file);
        if (s_fsync is null)
        {
            // macOS: through F_FULLFSYNC, which fsync isn't.
            RandomAccess.FlushToDisk(file);
            return;
        }

        var held = false;
        var error = 0;
        try
        {
            file.DangerousAddRef(ref held);
            if (s_fsync((int)file.DangerousGetHandle()) != 0)
                error = Marshal.GetLastSystemError();
        }
        finally
        {
            if (held)
                file.DangerousRelease();
        }

        // Pipes and terminals have nothing to flush.
        if (error is not (0 or InvalidArgument or NotSupported))
            throw new IOException(Marshal.GetPInvokeErrorMessage(error), error);
    }

    /// <summary>The same for a file that is written by path, with the failure that ends the host.</summary>
    /// <exception cref="FlushFailedException">Nobody knows what the disk holds.</exception>
    public static void Flush(FileStream file)
    {
        ArgumentNullException.ThrowIfNull(file);
        file.Flush();
        Flush(file.SafeFileHandle, file.Name, Flush);
    }

    /// <summary>The same for the entries of a directory: what was created in it or renamed.</summary>
    public static void FlushDirectory(string directory) => DirectorySync.Flush(directory);

    internal static void Flush(SafeFileHandle file, string path, Action<SafeFileHandle> sync)
    {
        try
        {
            sync(file);
        }
        catch (IOException e)
        {
            throw new FlushFailedException(path, e.Message, e);
        }
    }
}
