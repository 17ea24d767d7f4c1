using System.Buffers.Binary;
using System.Globalization;
using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.StateLog;

/// <summary>
/// The state of a stopped worker as one file, to be taken up in another folder, on another machine, or by Kafka partitions:
/// <c>"SLSA"</c>, version, then records <c>[kind u8][length i32][CRC-32C of kind, length and payload u32][payload]</c>, little-endian:
/// <list type="bullet">
/// <item>1 head: the last commit's header as the state log has it; the journal's positions don't go along, those of sources and the marks of sinks do</item>
/// <item>2 states: <c>[count i32][state records]</c> of one commit: latest snapshots and what came after them, in the order of the log</item>
/// <item>3 model: <c>[profile][file name][content block]</c>, weights and the trainer's state; 4 training: a record of the history to learn from; 5 what is known in advance</item>
/// <item>9 end: <c>[records i64][streams i64]</c>; a file without it isn't whole</item>
/// </list>
/// Strings and blocks are length-prefixed.
/// </summary>
public static class StateArchive
{
    private const uint Version = 1;
    private const int HeaderBytes = 8;
    private const int FrameBytes = 9;
    private const byte Head = 1;
    private const byte States = 2;
    private const byte Model = 3;
    private const byte Training = 4;
    private const byte Outlook = 5;
    private const byte End = 9;

    private static ReadOnlySpan<byte> Magic => "SLSA"u8;

    /// <summary>Writes the archive; the folder stays as it is.</summary>
    /// <param name="directory">The <c>State:Directory</c> of a worker that was stopped.</param>
    /// <param name="path">A file that doesn't exist yet.</param>
    /// <param name="leaveUndelivered">Results that a sink has not had yet stay behind, instead of being an error.</param>
    /// <returns>How many streams it holds.</returns>
    /// <exception cref="InvalidOperationException">It can't be moved now; the message says why and what to do.</exception>
    /// <exception cref="CorruptLogException">The folder is damaged.</exception>
    public static long Export(string directory, string path, bool leaveUndelivered = false)
    {
        if (!Directory.Exists(Path.Combine(directory, "state")))
            throw new InvalidOperationException($"{directory} is no state folder of a worker.");
        using var guard = Lock(directory);
        using var log = new StateLog(Path.Combine(directory, "state"), 64 << 20);
        CommitHeader? last = null;
        var withOutputs = 0L;
        var latest = new Dictionary<byte[], long>(KeyComparer.Instance);
        foreach (var commit in log.Read())
        {
            last = commit.Header;
            if (last.OutputsAt >= 0)
                withOutputs = last.Sequence;
            foreach (var (count, bytes) in commit.States)
                FindSnapshots(bytes.Span, count, last.Sequence, latest);
        }

        if (last is null)
            throw new InvalidOperationException($"{directory} holds no state yet.");
        RequireWhole(directory, last);
        if (!leaveUndelivered && last.SinkMarks.Where(m => m.Value.Commit < withOutputs).Select(m => m.Key).ToList() is { Count: > 0 } behind)
            throw new InvalidOperationException($"Not all results have gone to {string.Join(", ", behind)} yet: start the worker until they have, or leave them behind (--leave-undelivered).");

        var temporary = path + ".tmp";
        using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
        {
            var writer = new Writer(file);
            var w = new ByteWriter();
            StateLog.WriteHeader(w, last);
            writer.Record(Head, w.Written);
            foreach (var commit in log.Read())
            {
                w.Clear();
                w.Int32(0);
                var kept = 0;
                foreach (var (count, bytes) in commit.States)
                    kept += Keep(bytes.Span, count, commit.Header.Sequence, latest, w);
                if (kept == 0)
                    continue;
                w.PatchInt32(0, kept);
                writer.Record(States, w.Written);
            }

            WriteModels(Path.Combine(directory, "models"), last, writer, w);
            WriteTraining(Path.Combine(directory, "training"), writer);
            if (new Outlooks.OutlookStore(Path.Combine(directory, "outlooks")).Load(last.JournalNext) is { } outlooks)
                writer.Record(Outlook, outlooks);
            w.Clear();
            w.Int64(writer.Records);
            w.Int64(latest.Count);
            writer.Record(End, w.Written);
            StableStorage.Flush(file);
        }

        File.Move(temporary, path, overwrite: false);
        StableStorage.FlushDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return latest.Count;
    }

    /// <summary>Makes a state folder of an archive; either all of it is there afterwards, or nothing.</summary>
    /// <param name="directory">A folder that doesn't exist or is empty.</param>
    /// <returns>How many streams it holds.</returns>
    /// <exception cref="InvalidOperationException">The folder holds something already.</exception>
    /// <exception cref="CorruptLogException">The file is damaged, not whole, or of another version.</exception>
    public static long Import(string path, string directory)
    {
        directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        if (Directory.Exists(directory) && Directory.EnumerateFileSystemEntries(directory).Any())
            throw new InvalidOperationException($"{directory} isn't empty: state is imported into a folder of its own.");
        var building = directory + ".importing";
        if (Directory.Exists(building))
            Directory.Delete(building, recursive: true);
        Directory.CreateDirectory(building);
        var streams = Build(path, building);
        if (Directory.Exists(directory))
            Directory.Delete(directory);
        Directory.Move(building, directory);
        StableStorage.FlushDirectory(Path.GetDirectoryName(directory)!);
        return streams;
    }

    private static long Build(string path, string directory)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20);
        var reader = new Reader(file, path);
        using var log = new StateLog(Path.Combine(directory, "state"), 64 << 20);
        using var training = new RecordLog(Path.Combine(directory, "training"), 16 << 20);
        var outlooks = new Outlooks.OutlookStore(Path.Combine(directory, "outlooks"));
        CommitHeader? head = null;
        var keys = new HashSet<byte[]>(KeyComparer.Instance);
        while (true)
        {
            var before = reader.Records;
            var kind = reader.Next(out var payload);
            var r = new ByteReader(payload);
            if (head is null && kind != Head)
                throw reader.Damaged("it doesn't begin with a head");
            switch (kind)
            {
                case Head:
                    head = StateLog.ReadHeader(ref r, 0);
                    head.JournalNext = 0;
                    break;
                case States:
                    Commit(log, head!, ref r, keys);
                    break;
                case Model:
                    var (profile, name) = (r.String(), r.String());
                    if (Path.GetFileName(profile) != profile || Path.GetFileName(name) != name || profile.Length == 0 || name.Length == 0)
                        throw reader.Damaged($"it names a model {profile}/{name}");
                    var folder = Path.Combine(directory, "models", profile);
                    Directory.CreateDirectory(folder);
                    DirectorySync.ReplaceFile(Path.Combine(folder, name), r.Block());
                    break;
                case Training:
                    training.Append(payload);
                    break;
                case Outlook:
                    var w = new ByteWriter();
                    w.Int32((int)RecordLog.Crc(payload));
                    w.Bytes(payload);
                    outlooks.Save(0, w.Written);
                    break;
                case End:
                    if (r.Int64() != before || r.Int64() != keys.Count || !reader.AtEnd)
                        throw reader.Damaged("records are missing");
                    if (keys.Count == 0)
                        Commit(log, head!, [], 0);
                    training.Flush();
                    return keys.Count;
                default:
                    throw reader.Damaged($"it has a record of kind {kind}");
            }
        }
    }

    private static void Commit(StateLog log, CommitHeader head, ref ByteReader r, HashSet<byte[]> keys)
    {
        var count = r.Int32();
        var states = r.Bytes(r.Left);
        var s = new ByteReader(states);
        for (var i = 0; i < count; i++)
            keys.Add(StoredState.Read(ref s).Key.ToArray());

        Commit(log, head, states, count);
    }

    private static void Commit(StateLog log, CommitHeader head, ReadOnlySpan<byte> states, int count)
    {
        // Behind all commits that sinks have marks of, so that none waits for outputs that aren't there.
        head.Sequence++;
        var shard = new ShardOutput { StateCount = count };
        shard.State.Bytes(states);
        log.Commit(head, [shard], []);
    }

    internal static FileStream Lock(string directory)
    {
        try
        {
            return new FileStream(Path.Combine(directory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new InvalidOperationException($"The state folder {directory} is in use by a worker ({e.Message}).", e);
        }
    }

    /// <summary>Input that no commit contains would be lost by a move.</summary>
    internal static void RequireWhole(string directory, CommitHeader last)
    {
        using var journal = new RecordLog(Path.Combine(directory, "journal"), long.MaxValue);
        if (journal.End != last.JournalNext)
            throw new InvalidOperationException($"{directory} has taken in {journal.End - last.JournalNext} bytes that no commit contains: start its worker once more, and stop it (SIGTERM).");
    }

    private static void FindSnapshots(ReadOnlySpan<byte> states, int count, long commit, Dictionary<byte[], long> latest)
    {
        var lookup = latest.GetAlternateLookup<ReadOnlySpan<byte>>();
        var r = new ByteReader(states);
        for (var i = 0; i < count; i++)
        {
            var state = StoredState.Read(ref r);
            if (state.Kind == Shard.SnapshotRecord)
                lookup[state.Key] = commit;
        }
    }

    /// <summary>Latest snapshots and the entries after them; entries before are history.</summary>
    private static int Keep(ReadOnlySpan<byte> states, int count, long commit, Dictionary<byte[], long> latest, ByteWriter w)
    {
        var lookup = latest.GetAlternateLookup<ReadOnlySpan<byte>>();
        var r = new ByteReader(states);
        var kept = 0;
        for (var i = 0; i < count; i++)
        {
            var from = r.Position;
            var state = StoredState.Read(ref r);
            if (!lookup.TryGetValue(state.Key, out var snapshot) || commit < snapshot || (commit == snapshot && state.Kind != Shard.SnapshotRecord))
                continue;
            w.Bytes(states[from..r.Position]);
            kept++;
        }

        return kept;
    }

    /// <summary>The versions in service, the newest, and the trainers' states; older ones are for replays of a journal that stays behind.</summary>
    private static void WriteModels(string models, CommitHeader last, Writer writer, ByteWriter w)
    {
        if (!Directory.Exists(models))
            return;
        foreach (var folder in Directory.GetDirectories(models).Order(StringComparer.Ordinal))
        {
            var profile = Path.GetFileName(folder);
            var newest = Directory.GetFiles(folder, "v*.weights").Select(Path.GetFileName).Max(StringComparer.Ordinal);
            var active = last.ActiveVersions.TryGetValue(profile, out var version) ? "v" + version.ToString("D7", CultureInfo.InvariantCulture) + ".weights" : null;
            foreach (var name in new[] { active, newest, "trainer.state" }.Where(n => n is not null && File.Exists(Path.Combine(folder, n))).Distinct())
            {
                w.Clear();
                w.String(profile);
                w.String(name!);
                w.Block(File.ReadAllBytes(Path.Combine(folder, name!)));
                writer.Record(Model, w.Written);
            }
        }
    }

    private static void WriteTraining(string directory, Writer writer)
    {
        if (!Directory.Exists(directory))
            return;
        using var log = new RecordLog(directory, long.MaxValue);
        var buffer = new byte[1 << 16];
        for (var at = log.Start; log.TryRead(at, ref buffer, out var length, out var next); at = next)
            writer.Record(Training, buffer.AsSpan(0, length));
    }

    private static uint Crc(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload) => RecordLog.Crc(payload, RecordLog.Crc(frame));

    private sealed class Writer
    {
        private readonly Stream _file;

        public Writer(Stream file)
        {
            _file = file;
            Span<byte> header = stackalloc byte[HeaderBytes];
            Magic.CopyTo(header);
            BinaryPrimitives.WriteUInt32LittleEndian(header[4..], Version);
            file.Write(header);
        }

        public long Records { get; private set; }

        public void Record(byte kind, ReadOnlySpan<byte> payload)
        {
            Span<byte> frame = stackalloc byte[FrameBytes];
            frame[0] = kind;
            BinaryPrimitives.WriteInt32LittleEndian(frame[1..], payload.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(frame[5..], Crc(frame[..5], payload));
            _file.Write(frame);
            _file.Write(payload);
            Records++;
        }
    }

    private sealed class Reader
    {
        private readonly FileStream _file;
        private readonly string _path;
        private byte[] _payload = new byte[1 << 16];

        public Reader(FileStream file, string path)
        {
            (_file, _path) = (file, path);
            Span<byte> header = stackalloc byte[HeaderBytes];
            if (file.ReadAtLeast(header, HeaderBytes, throwOnEndOfStream: false) < HeaderBytes || !header[..4].SequenceEqual(Magic))
                throw new CorruptLogException($"{path} is no exported state.");
            if (BinaryPrimitives.ReadUInt32LittleEndian(header[4..]) is var version && version != Version)
                throw new CorruptLogException($"{path} has format version {version}; this build reads version {Version}.");
        }

        public long Records { get; private set; }

        public bool AtEnd => _file.Position == _file.Length;

        public CorruptLogException Damaged(string how) => new($"{_path} is damaged or not whole: {how}.");

        /// <summary>Kind of the next record; its payload is valid until the one after it.</summary>
        public byte Next(out ReadOnlySpan<byte> payload)
        {
            Span<byte> frame = stackalloc byte[FrameBytes];
            if (_file.ReadAtLeast(frame, FrameBytes, throwOnEndOfStream: false) < FrameBytes)
                throw Damaged("it ends early");
            var length = BinaryPrimitives.ReadInt32LittleEndian(frame[1..]);
            if (length < 0 || length > _file.Length - _file.Position)
                throw Damaged($"a record of {length} bytes at {_file.Position}");
            if (_payload.Length < length)
                _payload = new byte[Math.Max(length, (int)Math.Min(Array.MaxLength, _payload.Length * 2L))];
            _file.ReadExactly(_payload, 0, length);
            payload = _payload.AsSpan(0, length);
            if (BinaryPrimitives.ReadUInt32LittleEndian(frame[5..]) != Crc(frame[..5], payload))
                throw Damaged($"the checksum of the record before {_file.Position} doesn't fit");
            Records++;
            return frame[0];
        }
    }
}
