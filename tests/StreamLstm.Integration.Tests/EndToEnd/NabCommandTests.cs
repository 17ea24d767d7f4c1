using System.Globalization;
using System.IO.Compression;
using StreamLstm.Worker.Commands;

namespace StreamLstm.Integration.Tests.EndToEnd;

public sealed class NabCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("nab");

    private static CancellationToken Timeout => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_file_becomes_one_in_NABs_results_format()
    {
        var data = _folder.CreateSubdirectory("data");
        var start = new DateTime(2014, 4, 1, 0, 0, 0, DateTimeKind.Utc);
        string Time(int i) => start.AddMinutes(5 * i).ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
        var rows = Enumerable.Range(0, 1200).Select(i => (Time: Time(i), Value: i == 1000 ? "99.5" : (i % 7).ToString(CultureInfo.InvariantCulture))).ToArray();
        var text = "timestamp,value\n" + string.Concat(rows.Select(r => $"{r.Time},{r.Value}\n"));
        await File.WriteAllTextAsync(Path.Combine(data.CreateSubdirectory("one").FullName, "plain.csv"), text, Timeout);
        await using (var zipped = new StreamWriter(new GZipStream(File.Create(Path.Combine(data.CreateSubdirectory("two").FullName, "packed.csv.gz")), CompressionLevel.Fastest)))
            await zipped.WriteAsync(text);
        await File.WriteAllTextAsync(
            Path.Combine(_folder.CreateSubdirectory("labels").FullName, "combined_windows.json"),
            $$"""{ "one/plain.csv": [["{{Time(990)}}.000000", "{{Time(1010)}}.000000"]], "two/packed.csv": [] }""",
            Timeout);
        var output = Path.Combine(_folder.FullName, "out");

        Assert.Equal(0, await new NabCommand().Parse(["--data", data.FullName, "--out", output]).InvokeAsync(null, Timeout));

        foreach (var (file, labels) in new[] { ("one/streamlstm_plain.csv", 21), ("two/streamlstm_packed.csv", 0) })
        {
            var lines = await File.ReadAllLinesAsync(Path.Combine(output, "streamlstm", file), Timeout);
            Assert.Equal("timestamp,value,anomaly_score,label", lines[0]);
            var cells = lines.Skip(1).Select(line => line.Split(',')).ToArray();
            Assert.Equal(rows, cells.Select(c => (c[0], c[1])));
            Assert.Equal(labels, cells.Count(c => c[3] == "1"));
            var scores = cells.Select(c => double.Parse(c[2], CultureInfo.InvariantCulture)).ToArray();
            Assert.All(scores, score => Assert.InRange(score, 0, 1));
            Assert.True(scores[1000] >= 0.5);
            Assert.All(scores[1001..1076], score => Assert.Equal(0, score));
        }
    }

    [Fact]
    public async Task A_folder_without_files_is_refused()
    {
        Assert.Equal(2, await new NabCommand().Parse(["--data", _folder.FullName, "--out", _folder.FullName]).InvokeAsync(null, Timeout));
    }

    public void Dispose() => _folder.Delete(recursive: true);
}
