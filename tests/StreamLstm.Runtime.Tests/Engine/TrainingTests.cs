using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Tests.Engine;

public sealed class TrainingTests
{
    private static readonly DateTimeOffset s_start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_worker_that_is_restarted_every_day_goes_on_learning_from_where_it_was(bool damagedHistory)
    {
        using var folder = new TemporaryFolder();
        var settings = new EngineSettings
        {
            StateDirectory = folder.Path,
            Profiles = [new Profile { Name = "p", HiddenSize = 8, HorizonSteps = 8, SamplesPerFrame = 1 }],
        };
        var frame = 0;
        var rounds = 0;
        for (var day = 0; day < 6; day++)
        {
            await using (var engine = await RunningEngine.StartAsync(settings, new ManualTimeProvider(s_start)))
            {
                // A little less than a day, so that no process ever sees a whole round's worth by itself.
                await engine.AppendAsync([.. Enumerable.Range(frame, 90).Select(f => ("a", s_start.AddMinutes(15 * f), new[] { Math.Sin(f * 0.1) }))]);
                await engine.DrainAsync();
                await engine.StopAsync();
            }

            frame += 90;
            rounds = Directory.Exists(System.IO.Path.Combine(folder.Path, "models", "p")) ? Directory.GetFiles(System.IO.Path.Combine(folder.Path, "models", "p"), "*.weights").Length : 0;
            if (damagedHistory && Directory.GetFiles(System.IO.Path.Combine(folder.Path, "training")) is [var log, ..])
            {
                await using var file = File.Open(log, FileMode.Open);
                file.Position = 200;
                file.WriteByte(255);
            }
        }

        if (damagedHistory)
            Assert.Equal(0, rounds);
        else
            Assert.Equal(2, rounds);
    }
}
