using System.Globalization;
using System.Text;
using System.Text.Json;
using StreamLstm.Worker.Commands;

namespace StreamLstm.Integration.Tests.EndToEnd;

/// <summary>A drawn record of six minutes and a half at 250 Hz in format 16: a spike for each beat, every 25th early and wide.</summary>
[Trait("Category", "E2E")]
public sealed class EcgCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("ecg");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task A_record_is_scored_against_its_annotations_and_the_figures_have_the_documented_names()
    {
        WriteRecord("one");
        var json = Path.Combine(_folder.FullName, "out.json");

        Assert.Equal(0, await new EcgCommand().Parse(["--records", _folder.FullName, "--json", json]).InvokeAsync(null, TestContext.Current.CancellationToken));

        var report = JsonDocument.Parse(await File.ReadAllTextAsync(json, TestContext.Current.CancellationToken)).RootElement;
        var row = Assert.Single(report.GetProperty("records").EnumerateArray());
        Assert.Equal(["record", "n", "v", "auroc_v", "auroc_any", "ap_v", "f1_v", "rpeak_se", "rpeak_ppv"], row.EnumerateObject().Select(p => p.Name));
        Assert.Equal("one", row.GetProperty("record").GetString());
        Assert.True(row.GetProperty("rpeak_se").GetDouble() > 0.98, row.ToString());
        Assert.True(row.GetProperty("auroc_v").GetDouble() > 0.98, row.ToString());
        Assert.Equal(row.GetProperty("auroc_v").GetDouble(), report.GetProperty("mean_auroc_v").GetDouble());
        Assert.Equal(["records", "mean_auroc_v", "mean_rpeak_se", "mean_rpeak_ppv"], report.EnumerateObject().Select(p => p.Name));
    }

    [Fact]
    public async Task A_folder_without_records_is_refused() =>
        Assert.Equal(2, await new EcgCommand().Parse(["--records", _folder.FullName]).InvokeAsync(null, TestContext.Current.CancellationToken));

    [Fact]
    public async Task A_damaged_record_fails_with_its_reason()
    {
        WriteRecord("bad");
        await File.WriteAllBytesAsync(Path.Combine(_folder.FullName, "bad.dat"), new byte[100], TestContext.Current.CancellationToken);
        Assert.Equal(1, await new EcgCommand().Parse(["--records", _folder.FullName]).InvokeAsync(null, TestContext.Current.CancellationToken));
    }

    private void WriteRecord(string name)
    {
        const int rate = 250;
        const int length = 390 * rate;
        var signal = new double[length];
        var annotations = new List<byte>();
        var last = 0;
        var at = 200.0;
        for (var n = 1; at < length - rate; n++)
        {
            var early = n % 25 == 0;
            at -= early ? 70 : 0;
            var r = (int)at;
            for (var i = -60; i <= 60; i++)
                signal[r + i] += early ? 1.3 * Math.Exp(-i * i / 300.0) : Math.Exp(-i * i / 16.0) + (0.2 * Math.Exp(-(i - 55) * (i - 55) / 200.0));
            Word(annotations, ((early ? 5 : 1) << 10) | (r - last));
            last = r;
            at += (early ? 70 : 0) + 190 + (n * 7 % 11);
        }

        Word(annotations, 0);
        var data = new List<byte>();
        for (var i = 0; i < length; i++)
            Word(data, (int)Math.Round(200 * (signal[i] + (0.01 * Math.Sin(i * 1.7)))));
        File.WriteAllText(Path.Combine(_folder.FullName, name + ".hea"), string.Create(CultureInfo.InvariantCulture, $"{name} 1 {rate} {length}\n{name}.dat 16 200\n"), Encoding.ASCII);
        File.WriteAllBytes(Path.Combine(_folder.FullName, name + ".dat"), [.. data]);
        File.WriteAllBytes(Path.Combine(_folder.FullName, name + ".atr"), [.. annotations]);
    }

    private static void Word(List<byte> bytes, int word)
    {
        bytes.Add((byte)word);
        bytes.Add((byte)(word >> 8));
    }
}
