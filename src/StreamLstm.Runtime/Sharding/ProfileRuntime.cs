using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Recurrent;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Sharding;

/// <summary>A profile with what follows from it: plan and network shape. Immutable, shared by all shards.</summary>
internal sealed class ProfileRuntime
{
    public ProfileRuntime(int index, Profile profile)
    {
        Index = index;
        Profile = profile;
        NameBytes = System.Text.Encoding.UTF8.GetBytes(profile.Name);
        IntervalMicros = (long)profile.Interval.TotalMicroseconds;
        var day = profile.DayFrames;
        // A week of very short frames would be a table nobody's state can afford; such profiles have the daily season only.
        var week = profile.HasDay && day <= 288 ? 7 * day : 0;
        var framesPerWeek = TimeSpan.FromDays(7) / profile.Interval;
        Plan = new ForecastPlan(day, week, profile.HorizonSteps, profile.HiddenSize, profile.Quantiles, Math.Clamp(profile.Sensitivity / framesPerWeek, 1e-7, 0.049), profile.Tier != Tier.Lean, profile.Covariates.Count);
        JointRatio = JointScore.LogRatio(Plan.FalseAlarmsPerFrame);
        JointBasis = Math.Max(48, day);
        CovariateChannels = [.. profile.Covariates.Select(name => profile.Channels.ToList().IndexOf(name))];
        if (CovariateChannels.Contains(-1))
            throw new ArgumentException($"A covariate of profile {profile.Name} is none of its channels.", nameof(profile));
        OutlookStreams = [.. profile.Covariates.Select(name => profile.Outlooks.TryGetValue(name, out var stream) ? System.Text.Encoding.UTF8.GetBytes(stream) : null)];
        KnownLength = profile.Outlooks.Count > 0 ? Plan.CovariateForesight * profile.Covariates.Count : 0;
        Shape = new LstmForecasterShape(Plan.Inputs, Plan.Hidden, Plan.Horizon);
    }

    public int Index { get; }

    public Profile Profile { get; }

    public string Name => Profile.Name;

    /// <summary>UTF-8.</summary>
    public byte[] NameBytes { get; }

    public int Channels => Profile.Channels.Count;

    /// <summary>Channels that the others' forecasts read [C].</summary>
    public int[] CovariateChannels { get; }

    /// <summary>Frames without which channels have no joint score.</summary>
    public int JointBasis { get; }

    public float JointRatio { get; }

    /// <summary>By covariate the stream that tells its future, or null [C].</summary>
    public byte[]?[] OutlookStreams { get; }

    /// <summary>How many values are known in advance with each frame: [C, foresight], or 0.</summary>
    public int KnownLength { get; }

    public long IntervalMicros { get; }

    public ForecastPlan Plan { get; }

    public LstmForecasterShape Shape { get; }

    /// <summary>Frames behind the newest one into which late data is taken; 0 = none.</summary>
    public int RepairFrames => (int)Math.Ceiling(Profile.RepairHorizon / Profile.Interval);

    /// <summary>Frames between a stream's full snapshots: fewer of the larger records.</summary>
    public int SnapshotEvery => Plan.HasLinear ? 96 : 32;
}
