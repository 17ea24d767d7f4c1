using System.Diagnostics;

namespace StreamLstm.Integration.Tests.Faults;

/// <summary>
/// Makes a worker's own system calls fail, wait, be torn or be its last: <c>tests/tools/faultio.c</c>, preloaded. The worker knows nothing
/// of it.
/// </summary>
internal sealed class FaultyIo
{
    private static readonly Lazy<string?> s_library = new(Build);

    private readonly string _log;

    /// <param name="folder">For the files that rules are steered with.</param>
    /// <param name="rules"><c>CALL:PATH:N:ACTION</c>, as the source explains.</param>
    public FaultyIo(string folder, params IReadOnlyList<string> rules)
    {
        Assert.SkipUnless(s_library.Value is not null, "Faults of system calls take Linux and gcc.");
        _log = Path.Combine(folder, $"faults-{Guid.NewGuid():N}.log");
        ClockFile = Path.Combine(folder, $"clock-{Guid.NewGuid():N}");
        ArmFile = Path.Combine(folder, $"arm-{Guid.NewGuid():N}");
        File.WriteAllBytes(ClockFile, new byte[8]);
        Environment = new Dictionary<string, string>
        {
            ["LD_PRELOAD"] = s_library.Value!,
            ["FAULTIO"] = string.Join(';', rules),
            ["FAULTIO_LOG"] = _log,
            ["FAULTIO_CLOCK"] = ClockFile,
        };
    }

    public Dictionary<string, string> Environment { get; }

    /// <summary>What struck, in order; delays aren't listed.</summary>
    public IReadOnlyList<string> Struck => File.Exists(_log) ? File.ReadAllLines(_log) : [];

    private string ClockFile { get; }

    private string ArmFile { get; }

    /// <summary>The rules wait for <see cref="Arm"/>.</summary>
    public FaultyIo Armed()
    {
        Environment["FAULTIO_ARM"] = ArmFile;
        return this;
    }

    public void Arm() => File.WriteAllBytes(ArmFile, []);

    /// <summary>Sets the worker's wall clock off by this much.</summary>
    public void SetClock(TimeSpan off)
    {
        using var file = File.OpenHandle(ClockFile, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        RandomAccess.Write(file, BitConverter.GetBytes(off.Ticks * 100), 0);
    }

    private static string? Build()
    {
        if (!OperatingSystem.IsLinux())
            return null;
        var library = Path.Combine(AppContext.BaseDirectory, "faultio.so");
        var made = library + "." + System.Environment.ProcessId;
        try
        {
            using var gcc = Process.Start(new ProcessStartInfo("gcc", ["-O2", "-shared", "-fPIC", "-o", made, Path.Combine(AppContext.BaseDirectory, "faultio.c"), "-ldl"]) { RedirectStandardError = true })!;
            var error = gcc.StandardError.ReadToEnd();
            gcc.WaitForExit();
            Assert.True(gcc.ExitCode == 0, error);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }

        File.Move(made, library, overwrite: true);
        return library;
    }
}
