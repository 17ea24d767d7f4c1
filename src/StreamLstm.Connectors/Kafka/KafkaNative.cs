using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Confluent.Kafka;

namespace StreamLstm.Connectors.Kafka;

/// <summary>The native library is absent or too old; the message says what was found and how to install one.</summary>
public sealed class KafkaLibraryException(string message) : Exception(message);

/// <summary>
/// Finds librdkafka, which Confluent.Kafka calls: at the given path, or as NuGet restored it, or as the system has it. Everything
/// here that uses Kafka calls <see cref="Load"/> first, so that a machine without it gets one clear error.
/// </summary>
public static class KafkaNative
{
    /// <summary>Environment variable with the library's path, for when the configuration names none.</summary>
    public const string PathVariable = "STREAMLSTM_LIBRDKAFKA";

    private const string Install =
        "Restore the package librdkafka.redist, or install librdkafka 2.10.1 or later (macOS: 'brew install librdkafka'; on Linux " +
        "'tests/tools/build-librdkafka.sh' builds it, as many distributions ship an older one) and set " + PathVariable + " to its path.";

    /// <summary>Names of the builds inside librdkafka.redist: with Kerberos, without it, and for musl.</summary>
    private static readonly string[] Restored = ["librdkafka", "centos8-librdkafka", "alpine-librdkafka"];

    private static readonly string[] Installed = ["librdkafka.so.1", "librdkafka.1.dylib"];

    private static readonly Lock Gate = new();
    private static nint s_handle;
    private static Version? s_version;

    /// <summary>2.10.1 has the fix for assignments lost in cooperative rebalances (librdkafka #4059).</summary>
    public static Version MinimumVersion { get; } = new(2, 10, 1);

    /// <summary>For calls that Confluent.Kafka doesn't offer.</summary>
    internal static nint Handle
    {
        get
        {
            Load();
            return s_handle;
        }
    }

    /// <summary>Loads the library once per process; later calls return the version that is loaded.</summary>
    /// <param name="path">The library's file; null = <see cref="PathVariable"/>, or where such libraries usually are.</param>
    /// <exception cref="KafkaLibraryException">There is none, or none that is new enough.</exception>
    public static Version Load(string? path = null)
    {
        lock (Gate)
        {
            if (s_version is null)
                (s_handle, s_version) = Find(path ?? Environment.GetEnvironmentVariable(PathVariable));
            return s_version;
        }
    }

    /// <param name="path">A library that was asked for by name is used or refused, never silently replaced by another.</param>
    internal static (nint Handle, Version Version) Find(string? path)
    {
        if (!string.IsNullOrEmpty(path))
        {
            if (!NativeLibrary.TryLoad(path, out var handle))
                throw new KafkaLibraryException($"Kafka needs the native library librdkafka, and '{path}' can't be loaded. {Install}");
            return (handle, Accept(VersionOf(handle), path));
        }

        KafkaLibraryException? refused = null;
        foreach (var (name, handle) in Candidates())
        {
            try
            {
                return (handle, Accept(VersionOf(handle), name));
            }
            catch (KafkaLibraryException e)
            {
                refused ??= e;
            }
        }

        throw refused ?? new KafkaLibraryException($"Kafka needs the native library librdkafka, which was not found. {Install}");
    }

    internal static Version Accept(Version? version, string where) => version switch
    {
        null => throw new KafkaLibraryException($"'{where}' is not librdkafka. {Install}"),
        _ when version < MinimumVersion =>
            throw new KafkaLibraryException($"librdkafka {version} ('{where}') is too old: Kafka needs {MinimumVersion} or later. {Install}"),
        _ => version,
    };

    // Not before Confluent.Kafka's first native call, and nobody may make one before this assembly is loaded.
    [SuppressMessage("Usage", "CA2255", Justification = "The resolver must stand whichever type of this assembly is used first.")]
    [ModuleInitializer]
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(Library).Assembly, Resolve);

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name.Contains("librdkafka", StringComparison.Ordinal) ? Handle : 0;

    private static IEnumerable<(string Name, nint Handle)> Candidates()
    {
        foreach (var name in Restored)
        {
            if (NativeLibrary.TryLoad(name, typeof(Library).Assembly, null, out var handle))
                yield return (name, handle);
        }

        foreach (var name in Installed)
        {
            if (NativeLibrary.TryLoad(name, out var handle))
                yield return (name, handle);
        }
    }

    /// <summary>Null if the library isn't librdkafka. The number is 0xMMmmrrpp: major, minor, revision, pre-release.</summary>
    private static unsafe Version? VersionOf(nint handle)
    {
        if (!NativeLibrary.TryGetExport(handle, "rd_kafka_version", out var export))
            return null;
        var number = ((delegate* unmanaged[Cdecl]<int>)export)();
        return new Version((number >> 24) & 0xff, (number >> 16) & 0xff, (number >> 8) & 0xff);
    }
}
