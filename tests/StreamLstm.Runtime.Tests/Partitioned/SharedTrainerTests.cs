using StreamLstm.Core.Numerics;
using StreamLstm.Runtime.Models;
using StreamLstm.Runtime.Partitioned;
using StreamLstm.Runtime.Profiles;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Partitioned;

public sealed class SharedTrainerTests : IDisposable
{
    private static readonly Profile Load = new() { Name = "load", Interval = TimeSpan.FromHours(1), Season = TimeSpan.FromHours(24), HiddenSize = 4, HorizonSteps = 4, SamplesPerFrame = 1, Tier = Tier.Lean };
    private readonly TemporaryFolder _folder = new();
    private readonly ProfileRuntime[] _profiles = [new(0, Load)];
    private readonly PartitionFactory _factory;

    public SharedTrainerTests() =>
        _factory = new PartitionFactory(new EngineSettings { StateDirectory = _folder["state"], Profiles = [Load] }, _profiles, new ModelStore(_folder["models"]));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_trainer_that_takes_over_makes_the_versions_that_the_first_one_would_have_made()
    {
        var log = Log(400);
        var whole = Train(log, _factory.CreateTrainer(new Dictionary<string, byte[]>(), []));
        Assert.True(whole.Count >= 3, $"{whole.Count} versions");

        // The second begins after the first version, with its state and the place where it was made.
        var (first, at) = whole[0];
        var taken = Train(log, _factory.CreateTrainer(new Dictionary<string, byte[]> { ["load"] = first.TrainerState }, [("load", at)]));

        Assert.Equal(whole.Skip(1).Select(v => (v.At, Convert.ToHexString(v.Model.Weights))), taken.Select(v => (v.At, Convert.ToHexString(v.Model.Weights))));
    }

    [Fact]
    public void A_core_puts_a_version_into_service_and_a_foreign_one_is_passed_over()
    {
        var (model, _) = Train(Log(400), _factory.CreateTrainer(new Dictionary<string, byte[]>(), []))[0];

        Assert.True(_factory.AddModel("load", 3, model.Weights));
        Assert.False(_factory.AddModel("other", 4, model.Weights));
        Assert.Equal((3, 0), (_factory.NewestModel("load"), _factory.NewestModel("other")));
        var core = _factory.Create("meters", 0, 1, 100);
        core.Activate("load", 3);
        Assert.Equal(3, core.ActiveVersion("load"));
        core.Samples.Add("m", 3_600_000_000L * 1000, 3_600_000_000L * 1001, [1]);
        core.Took(0);
        Assert.Contains("\"model_version\":3", System.Text.Encoding.UTF8.GetString(core.Process().Outputs[0].Json.Span), StringComparison.Ordinal);
    }

    [Fact]
    public void A_foreign_record_in_the_training_log_is_refused() =>
        Assert.Throws<CorruptLogException>(() => _factory.CreateTrainer(new Dictionary<string, byte[]>(), []).Apply(0, "hello"u8));

    private static List<(TrainedModel Model, long At)> Train(List<byte[]> log, SharedTrainer trainer)
    {
        var made = new List<(TrainedModel, long)>();
        for (var i = 0; i < log.Count; i++)
        {
            trainer.Apply(i, log[i]);
            while (trainer.Due is { } profile)
                made.Add((trainer.Round(profile, TestContext.Current.CancellationToken)!, trainer.Next));
        }

        return made;
    }

    /// <summary>What a partition with a few streams leaves for the trainer.</summary>
    private List<byte[]> Log(int hours)
    {
        var core = _factory.Create("meters", 0, 1, 100);
        var log = new List<byte[]>();
        for (var hour = 0; hour < hours; hour++)
        {
            for (var s = 0; s < 3; s++)
            {
                var noise = new CounterRandom(3, (ulong)s).Below(100, (ulong)hour) / 50.0;
                core.Samples.Add($"m/{s}", 3_600_000_000L * hour, 3_600_000_000L * (hour + 1), [10 + (5 * Math.Sin(2 * Math.PI * (hour % 24) / 24)) + noise]);
            }

            core.Took(hour);
            if (core.Process().Training is { } rows)
                log.Add(rows);
            core.Committed();
        }

        return log;
    }
}
