using System.Diagnostics;
using StreamLstm.Connectors.Kafka;
using StreamLstm.Integration.Tests.Simulation;

namespace StreamLstm.Integration.Tests.Kafka;

[Trait("Category", "Kafka")]
public sealed class KafkaNativeTests
{
    [Fact]
    public async Task A_missing_library_is_one_error_that_says_how_to_install_it()
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in new[] { Path.Combine(AppContext.BaseDirectory, "streamlstm-sim.dll"), "load", "--duration", "1h", "--speed", "0", "--to", "kafka://127.0.0.1:1/meters" })
            start.ArgumentList.Add(argument);
        start.Environment[KafkaNative.PathVariable] = "/nowhere/librdkafka.so.1";
        using var process = Process.Start(start)!;

        var (exit, _, error) = await SimulatorProcess.FinishAsync(process);

        Assert.Equal(1, exit);
        var line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith("error: Kafka needs the native library librdkafka, and '/nowhere/librdkafka.so.1' can't be loaded.", line, StringComparison.Ordinal);
        Assert.Contains("build-librdkafka.sh", line, StringComparison.Ordinal);
        Assert.Contains(KafkaNative.PathVariable, line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2.0.2", false)]
    [InlineData("2.10.0", false)]
    [InlineData("2.10.1", true)]
    [InlineData("2.15.1", true)]
    public void Versions_before_2_10_1_are_refused_by_name(string version, bool accepted)
    {
        if (accepted)
        {
            Assert.Equal(Version.Parse(version), KafkaNative.Accept(Version.Parse(version), "librdkafka.so.1"));
            return;
        }

        var refused = Assert.Throws<KafkaLibraryException>(() => KafkaNative.Accept(Version.Parse(version), "librdkafka.so.1"));
        Assert.Contains($"librdkafka {version} ('librdkafka.so.1') is too old: Kafka needs 2.10.1 or later", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_library_is_not_taken_for_librdkafka()
    {
        var other = Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, OperatingSystem.IsMacOS() ? "libSystem.Native.dylib" : "libSystem.Native.so");

        var refused = Assert.Throws<KafkaLibraryException>(() => KafkaNative.Find(other));

        Assert.Contains("is not librdkafka", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_loaded_library_tells_its_version()
    {
        KafkaCluster.LoadLibrary();
        Assert.True(KafkaNative.Load() >= KafkaNative.MinimumVersion);
        Assert.Equal(Confluent.Kafka.Library.Version >> 8, (KafkaNative.Load().Major << 16) | (KafkaNative.Load().Minor << 8) | KafkaNative.Load().Build);
    }
}
