using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;
using StreamLstm.Runtime.Training;

namespace StreamLstm.Runtime.Partitioned;

/// <summary>A version of a profile's shared weights, its trainer's state, and the place in the training log where it was made.</summary>
public sealed record TrainedModel(string Profile, byte[] Weights, byte[] TrainerState, float Loss);

/// <summary>
/// Learns the shared models of a source from its training log: what it makes is a function of the log and of the rounds that were
/// made before. Not thread-safe.
/// </summary>
public sealed class SharedTrainer
{
    private readonly ProfileRuntime[] _profiles;
    private readonly ProfileTrainer[] _trainers;
    private readonly Dictionary<string, ProfileTrainer> _byName;
    private readonly Dictionary<long, List<string>> _rounds = [];
    private readonly Dictionary<string, long> _trainedTo = new(StringComparer.Ordinal);
    private long _next;

    /// <param name="states">The newest trainer state of each profile that has one.</param>
    /// <param name="rounds">Where in the log, as the position of the next record, earlier rounds were made.</param>
    internal SharedTrainer(ProfileRuntime[] profiles, ulong seed, IReadOnlyDictionary<string, byte[]> states, IEnumerable<(string Profile, long Position)> rounds)
    {
        _profiles = profiles;
        _trainers = [.. profiles.Select(p => new ProfileTrainer(p, seed, states.GetValueOrDefault(p.Name)))];
        _byName = _trainers.ToDictionary(t => t.Profile.Name, StringComparer.Ordinal);
        foreach (var (profile, position) in rounds)
        {
            if (!_rounds.TryGetValue(position, out var there))
                _rounds.Add(position, there = []);
            there.Add(profile);
            _trainedTo[profile] = Math.Max(_trainedTo.GetValueOrDefault(profile), position);
        }
    }

    /// <summary>Takes in one record of the training log.</summary>
    /// <exception cref="CorruptLogException">The record is not of this program.</exception>
    public void Apply(long position, ReadOnlySpan<byte> record)
    {
        var r = new ByteReader(record);
        TrainingLog.ReadRows(ref r, _byName);
        _next = position + 1;
        if (!_rounds.TryGetValue(_next, out var rounds))
            return;
        foreach (var profile in rounds)
        {
            if (_byName.TryGetValue(profile, out var trainer))
                trainer.RoundRestored();
        }
    }

    /// <summary>A profile for which a round is due at this place in the log, or null.</summary>
    public string? Due => Array.Find(_trainers, t => t.Profile.Profile.Learning && t.IsDue && _next > _trainedTo.GetValueOrDefault(t.Profile.Name))?.Profile.Name;

    /// <summary>Trains; null if there was nothing to learn from, or it diverged.</summary>
    public TrainedModel? Round(string profile, CancellationToken cancellationToken)
    {
        var trainer = _byName[profile];
        var made = trainer.Round(cancellationToken);
        return made is var (weights, state) ? new TrainedModel(profile, weights.ToBytes(), state, trainer.LastLoss) : null;
    }

    internal static byte[] Encode(IReadOnlyList<TrainingRow> rows, ProfileRuntime[] profiles)
    {
        var w = new ByteWriter();
        TrainingLog.WriteRows(w, rows, profiles);
        return w.Written.ToArray();
    }

    /// <summary>Position of the record to come.</summary>
    public long Next => _next;

    internal IReadOnlyList<ProfileRuntime> Profiles => _profiles;
}
