using StreamLstm.Runtime.Sharding;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Training;

/// <summary>
/// The history that the trainers learn from, kept on disk so that a restart doesn't forget it: <c>[kind u8 = 3][n i32] n×{profile block,
/// stream block, channel i32, frame i64, value f64, scale f32, inputs floats block, base halves block}</c> for rows, <c>[2][profile block]</c> for a finished
/// round. Not part of any result (what counts of training is the journalled activation), so it is written without fsync and a crash may
/// cost its last rows. Bounded: the oldest segments go when the whole exceeds its limit.
/// </summary>
internal sealed class TrainingLog : IDisposable
{
    private const byte KindRows = 3;
    private const byte KindRound = 2;
    private const long SegmentBytes = 16 << 20;
    private const long MaxBytes = 256 << 20;

    private readonly string _directory;
    private RecordLog _log;
    private readonly ByteWriter _record = new();

    public TrainingLog(string directory)
    {
        _directory = directory;
        try
        {
            _log = new RecordLog(directory, SegmentBytes);
        }
        catch (CorruptLogException)
        {
            _log = Anew();
        }
    }

    public void Append(IReadOnlyList<TrainingRow> rows, ProfileRuntime[] profiles)
    {
        _record.Clear();
        WriteRows(_record, rows, profiles);
        _log.Append(_record.Written);
        if (_log.Bytes > MaxBytes)
            _log.TruncateBefore(_log.End - MaxBytes + SegmentBytes);
    }

    /// <summary>One record of rows, for whichever log.</summary>
    public static void WriteRows(ByteWriter w, IReadOnlyList<TrainingRow> rows, ProfileRuntime[] profiles)
    {
        w.Byte(KindRows);
        w.Int32(rows.Count);
        foreach (var row in rows)
        {
            w.String(profiles[row.Profile].Name);
            w.String(row.Stream);
            w.Int32(row.Channel);
            w.Int64(row.Frame);
            w.Double(row.Value);
            w.Int32(BitConverter.SingleToInt32Bits(row.Scale));
            w.Int32(row.Inputs.Length);
            w.Floats(row.Inputs);
            w.Int32(row.Base.Length);
            w.Halves(row.Base);
        }
    }

    /// <summary>Gives the rows of a record to their trainers; rows of other shapes or unknown profiles are passed over.</summary>
    public static void ReadRows(ref ByteReader r, Dictionary<string, ProfileTrainer> trainers)
    {
        if (r.Byte() is var kind && kind != KindRows)
            throw new CorruptLogException($"A record of the training log has kind {kind}.");
        for (var n = r.Int32(); n > 0; n--)
            RestoreRow(ref r, trainers);
    }

    public void RoundDone(string profile)
    {
        _record.Clear();
        _record.Byte(KindRound);
        _record.String(profile);
        _log.Append(_record.Written);
    }

    /// <summary>Takes back what a call that found no room has left.</summary>
    public void Undo() => _log.Undo(keepWritten: true);

    /// <summary>
    /// Gives everything back to the trainers, in order; rows of other shapes or unknown profiles are passed over. A damaged history is
    /// not worth a refused start: what lies before the damage is learnt from, and the log begins anew. Returns what was wrong, or null.
    /// </summary>
    public string? Restore(ProfileTrainer[] trainers)
    {
        try
        {
            ReadAll(trainers);
            return null;
        }
        catch (CorruptLogException e)
        {
            _log.Dispose();
            _log = Anew();
            return e.Message;
        }
    }

    public void Dispose() => _log.Dispose();

    private RecordLog Anew()
    {
        Directory.Delete(_directory, recursive: true);
        return new RecordLog(_directory, SegmentBytes);
    }

    private void ReadAll(ProfileTrainer[] trainers)
    {
        var byName = trainers.ToDictionary(t => t.Profile.Name, StringComparer.Ordinal);
        var buffer = new byte[1 << 20];
        var position = _log.Start;
        while (_log.TryRead(position, ref buffer, out var length, out var next))
        {
            var r = new ByteReader(buffer.AsSpan(0, length));
            var kind = r.Byte();
            if (kind == KindRound)
            {
                if (byName.TryGetValue(r.String(), out var trainer))
                    trainer.RoundRestored();
            }
            else if (kind == KindRows)
            {
                for (var n = r.Int32(); n > 0; n--)
                    RestoreRow(ref r, byName);
            }

            position = next;
        }
    }

    private static void RestoreRow(ref ByteReader r, Dictionary<string, ProfileTrainer> trainers)
    {
        var profile = r.String();
        var stream = r.String();
        var channel = r.Int32();
        var frame = r.Int64();
        var value = r.Double();
        var scale = BitConverter.Int32BitsToSingle(r.Int32());
        var inputs = new float[r.Int32()];
        r.Floats(inputs);
        var basis = new Half[r.Int32()];
        r.Halves(basis);
        if (trainers.TryGetValue(profile, out var trainer) && inputs.Length == trainer.Profile.Plan.Inputs && basis.Length == trainer.Profile.Plan.Horizon)
            trainer.Add(new TrainingRow(trainer.Profile.Index, stream, channel, frame, value, scale, inputs, basis));
    }
}
