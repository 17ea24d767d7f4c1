using System.Globalization;
using StreamLstm.Core.Recurrent;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Models;

/// <summary>
/// Versions of the shared weights, one folder per profile: <c>models/&lt;profile&gt;/v0000012.weights</c>, and the trainer's own state
/// beside them. A version is durable before its activation is journalled, and immutable afterwards. Thread-safe.
/// </summary>
internal sealed class ModelStore(string directory)
{
    // In memory; all of them stay on disk, for replays.
    private const int KeptVersions = 8;

    private readonly Lock _gate = new();
    private readonly Queue<(string, int)> _order = new();
    private readonly Dictionary<(string, int), LstmForecasterWeights> _loaded = [];

    public void Save(string profile, int version, LstmForecasterWeights weights, byte[] trainerState)
    {
        var folder = Folder(profile);
        Directory.CreateDirectory(folder);
        DirectorySync.ReplaceFile(WeightsPath(profile, version), weights.ToBytes());
        DirectorySync.ReplaceFile(Path.Combine(folder, "trainer.state"), trainerState);
        lock (_gate)
            Keep(profile, version, weights);
    }

    public LstmForecasterWeights Load(string profile, int version)
    {
        lock (_gate)
        {
            if (_loaded.TryGetValue((profile, version), out var weights))
                return weights;
            var path = WeightsPath(profile, version);
            if (!File.Exists(path))
                throw new CorruptLogException($"Model version {version} of profile {profile} is in the log but {path} is missing.");
            weights = LstmForecasterWeights.FromBytes(File.ReadAllBytes(path));
            Keep(profile, version, weights);
            return weights;
        }
    }

    /// <summary>The newest stored version, or 0.</summary>
    public int Newest(string profile)
    {
        if (!Directory.Exists(Folder(profile)))
            return 0;
        return Directory.GetFiles(Folder(profile), "v*.weights")
            .Select(path => int.TryParse(Path.GetFileNameWithoutExtension(path).AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out var v) ? v : 0)
            .DefaultIfEmpty(0).Max();
    }

    public byte[]? TrainerState(string profile)
    {
        var path = Path.Combine(Folder(profile), "trainer.state");
        return File.Exists(path) ? File.ReadAllBytes(path) : null;
    }

    private void Keep(string profile, int version, LstmForecasterWeights weights)
    {
        _loaded[(profile, version)] = weights;
        _order.Enqueue((profile, version));
        while (_order.Count > KeptVersions)
            _loaded.Remove(_order.Dequeue());
    }

    private string Folder(string profile) => Path.Combine(directory, profile);

    private string WeightsPath(string profile, int version) => Path.Combine(Folder(profile), "v" + version.ToString("D7", CultureInfo.InvariantCulture) + ".weights");
}
