using System.Runtime.InteropServices;
using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Alignment;
using StreamLstm.Runtime.Episodes;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Output;
using StreamLstm.Runtime.Repair;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Sharding;

/// <summary>How late data repairs a stream: see <see cref="RepairWindow"/> and the README of its folder.</summary>
internal sealed partial class Shard
{
    private readonly ByteWriter _baseBytes = new();
    private bool _replaying;

    /// <summary>The repairs that are due, at an entry that moved the partition's clock.</summary>
    private void RunRepairs(Partition partition)
    {
        while (partition.Repairs.Min is { } session && session.Repair!.Due <= partition.Clock)
        {
            partition.Repairs.Remove(session);
            Replay(partition, session, session.Repair);
            partition.NoteRepairs();
        }
    }

    /// <summary>A sample of a closed interval: taken in if the stream still has what is needed to go back there.</summary>
    private void AlignLate(Partition partition, StreamSession session, RepairWindow window, long time, long arrival, ReadOnlySpan<double> values, bool faulty)
    {
        if (window.Knows(time, values, faulty))
        {
            _output.Outcomes.Duplicate++;
            return;
        }

        var profile = session.Profile.Profile;
        var frame = session.Aligner.FrameOf(time);
        var refused = frame <= session.Aligner.LastClosed - window.HorizonFrames ? $"Its interval lies further back than the repair horizon, {profile.RepairHorizon}."
            : window.BaseBefore(frame) is null ? $"The stream's state reaches back to {UnixMicros.ToDateTimeOffset((window.Bases[0].Frame + 1) * session.Profile.IntervalMicros):O}."
            : profile.SamplesPerFrame > 0 && !window.Contains(time) && window.CountIn(frame) >= profile.SamplesPerFrame ? "Its interval was complete without it."
            : null;
        if (refused is not null)
        {
            _output.Outcomes.Late++;
            Reject(session.Key, time, arrival, values, DeadLetterReason.Late, refused);
            return;
        }

        if (!window.Contains(time) && window.CountIn(frame) >= profile.MaxSamplesPerFrame)
        {
            Reject(session.Key, time, arrival, values, DeadLetterReason.FrameOverflow, $"The interval already holds {profile.MaxSamplesPerFrame} samples.");
            return;
        }

        _output.Outcomes.Repaired++;
        window.Add(time, arrival, values, faulty);
        var waited = window.IsDirty;
        window.MarkDirty(frame, partition.Clock, partition.Repairs.Max?.Repair!.Due ?? long.MinValue);
        if (!waited)
            partition.Repairs.Add(session);
        partition.NoteRepairs();
        Touch(session);
    }

    /// <summary>Notes a sample that the aligner took.</summary>
    private static void Keep(Partition partition, StreamSession session, RepairWindow window, long time, long arrival, ReadOnlySpan<double> values, bool faulty)
    {
        window.Add(time, arrival, values, faulty);
        if (!window.IsOverdue || window.Due <= partition.Clock)
            return;
        partition.Repairs.Remove(session);
        window.Hasten(partition.Clock);
        partition.Repairs.Add(session);
        partition.NoteRepairs();
    }

    /// <summary>
    /// Goes back to the newest base before the late data and gives the aligner all samples since, in the order of their event times. The
    /// frames that come of it wait for their waves like any others.
    /// </summary>
    private void Replay(Partition partition, StreamSession session, RepairWindow window)
    {
        var from = window.BaseBefore(window.DirtyFrame)
            ?? throw new InvalidOperationException($"The repair of {session.Name} has no base before frame {window.DirtyFrame}.");
        window.Rewind(from);
        Schedule(new FrameWork { Session = session, Kind = FrameKind.Rewind, Base = from, Lsn = _lsn, Sub = _sub++, Clock = _clock, NextOfStream = -1, ValuesAt = _frameValues.Count });
        var reader = new ByteReader(from.Aligner);
        session.Aligner.Read(ref reader);
        _session = session;
        _replaying = true;
        for (var i = window.FirstAfter(from.Frame); i < window.Samples;)
        {
            var outcome = session.Aligner.Add(window.Time(i), window.Arrival(i), window.Values(i), this, window.Faulty(i));
            if (outcome is SampleOutcome.Accepted or SampleOutcome.Duplicate or SampleOutcome.Dip)
            {
                i++;
                continue;
            }

            // In the order of event times its interval was complete without it.
            _output.Outcomes.Late++;
            Reject(session.Key, window.Time(i), window.Arrival(i), window.Values(i), DeadLetterReason.Late, "Late data for its interval completed it without this sample.");
            window.RemoveAt(i);
        }

        // What silence had closed is open again, until the next tick finds that it still lasts.
        _replaying = false;
        window.Repaired();
        Schedule(new FrameWork { Session = session, Kind = FrameKind.Settle, Base = from, Lsn = _lsn, Sub = _sub, Clock = _clock, NextOfStream = -1, ValuesAt = _frameValues.Count });
        // At most one episode per frame can be withdrawn there.
        _sub += window.Frames + 2;
        partition.Expect(session);
    }

    /// <summary>A frame of a stream with a window was closed: under which version it runs, and whether a base is to be taken after it.</summary>
    private void NoteClosed(RepairWindow window, StreamSession session, ref FrameWork work)
    {
        if (work.Kind == FrameKind.Bridge)
        {
            // Each result that was published in its span may have to be withdrawn.
            _sub += window.Frames;
            return;
        }

        if (_replaying)
            work.Version = window.VersionOf(work.Frame, work.Version);
        work.Newest = work.Frame >= window.Newest;
        work.Replayed = !window.Close(work.Frame, work.Version) || _replaying;
        work.Base = window.BaseAt(work.Frame, work.Version);
        if (work.Base is not null)
            work.Base.Aligner = ClosedState(session);
    }

    private byte[] ClosedState(StreamSession session)
    {
        _baseBytes.Clear();
        session.Aligner.WriteClosed(_baseBytes);
        return _baseBytes.Written.ToArray();
    }

    /// <summary>A base from which nothing before can be repaired: at a stream's birth, or when its model state is cleared.</summary>
    private RepairBase RestartWindow(StreamSession session, RepairWindow window, int version)
    {
        var first = new RepairBase { Frame = session.Aligner.LastClosed, Version = version, Aligner = ClosedState(session) };
        window.Restart(first);
        var partition = _partitions[session.Partition]!;
        partition.Repairs.Remove(session);
        partition.NoteRepairs();
        return first;
    }

    /// <summary>After a frame: the stream's state becomes its base.</summary>
    private void Fill(ProfileShard profile, StreamSession session, RepairBase filled)
    {
        var words = profile.Runtime.Plan.RecordWords;
        var joint = MemoryMarshal.Cast<double, float>(session.Joint.AsSpan());
        filled.Records = new float[(words * session.Slots.Length) + joint.Length];
        joint.CopyTo(filled.Records.AsSpan(words * session.Slots.Length));
        for (var c = 0; c < session.Slots.Length; c++)
            profile.Arena.Record(session.Slots[c]).CopyTo(filled.Records.AsSpan(c * words, words));
        _baseBytes.Clear();
        session.Episode.Write(_baseBytes);
        filled.Episode = _baseBytes.Written.ToArray();
        filled.Frames = session.Frames;
        session.Repair!.Forget(filled);
    }

    private static void Rewind(ProfileShard profile, StreamSession session, RepairBase to)
    {
        var words = profile.Runtime.Plan.RecordWords;
        for (var c = 0; c < session.Slots.Length; c++)
        {
            var record = profile.Arena.Record(session.Slots[c]);
            if (to.Records is null)
                profile.Model.Initialise(record);
            else
                to.Records.AsSpan(c * words, words).CopyTo(record);
        }

        if (to.Records is { } records)
            records.AsSpan(words * session.Slots.Length).CopyTo(MemoryMarshal.Cast<double, float>(session.Joint.AsSpan()));
        else if (session.Joint.Length > 0)
            JointScore.Initialise(session.Joint);
        var episode = new ByteReader(to.Episode.Length > 0 ? to.Episode : [0]);
        session.ReadEpisode(ref episode);
        session.Frames = to.Frames;
        session.Repair!.BeginReplay();
    }

    /// <summary>Frames that are jumped over now may have had results, before late data or before a silence was undone.</summary>
    private void WithdrawResults(StreamSession session, in FrameWork work)
    {
        var sub = 2 * work.Sub;
        var d = session.Slots.Length;
        var values = _valueScratch.AsSpan(0, d);
        values.Fill(double.NaN);
        foreach (var (frame, version, revision) in session.Repair!.Withdraw(work.Frame, work.Length))
        {
            _output.Outcomes.Revisions++;
            var withdrawn = work with { Frame = frame, Version = version };
            var start = _output.Json.Length;
            _writer.Result(_output.Json, withdrawn, values, new FrameScore[d], Enumerable.Repeat(1f / d, d).ToArray(), 0, AnomalyKind.None, 0, [], null, revision);
            Emit(work.Lsn, sub++, OutputKind.Result, session.Name, frame * session.Profile.IntervalMicros, start, revision, newest: false);
        }
    }

    /// <summary>Episodes that the repeated frames didn't show again are withdrawn; one that goes on after all is open again.</summary>
    private void Settle(StreamSession session, in FrameWork work)
    {
        var window = session.Repair!;
        var sub = 2 * work.Sub;
        if (session.Episode.IsOpen && window.Reopen(EpisodeSummary.Of(session.Episode)) is >= 0 and var reopened)
            EmitEpisode(session, EpisodeSummary.Of(session.Episode), EpisodeState.Open, reopened, work.Lsn, sub++);
        foreach (var episode in window.Episodes)
        {
            if (episode.Seen || episode.State == EpisodeState.Withdrawn || episode.Summary.StartFrame <= work.Base!.Frame || (session.Episode.IsOpen && session.Episode.Id == episode.Summary.Id))
                continue;
            var revision = window.Publish(episode.Summary, EpisodeState.Withdrawn, work.Base.Frame);
            EmitEpisode(session, episode.Summary, EpisodeState.Withdrawn, revision, work.Lsn, sub++);
        }
    }

    private void EmitEpisode(StreamSession session, in EpisodeSummary e, EpisodeState state, int revision, long lsn, int sub)
    {
        _output.Outcomes.Revisions += revision > 0 ? 1 : 0;
        var start = _output.Json.Length;
        _writer.Episode(_output.Json, session, e, state, revision);
        Emit(lsn, sub, OutputKind.Episode, session.Name, e.StartFrame * session.Profile.IntervalMicros, start, revision);
    }

    /// <summary>What a result says besides its forecast: equal for a repeated frame exactly if nothing about it has changed.</summary>
    private static ulong FingerprintOf(in FrameWork work, ReadOnlySpan<double> values, ReadOnlySpan<FrameScore> scores, float score, AnomalyKind kind, int direction, EpisodeTracker episode)
    {
        var f = new Fingerprint();
        f.Add((long)work.Kind);
        f.Add((long)work.Flags);
        f.Add(work.Version);
        f.Add((long)kind);
        f.Add(direction);
        f.Add(score);
        f.Add(episode.IsOpen ? episode.StartFrame : long.MinValue);
        for (var c = 0; c < values.Length; c++)
        {
            f.Add(values[c]);
            f.Add(scores[c].HasForecast ? 1 : 0);
            f.Add(scores[c].Score);
            if (!scores[c].HasForecast)
                continue;
            f.Add(scores[c].Expected);
            f.Add(scores[c].Lower);
            f.Add(scores[c].Upper);
        }

        return f.Value;
    }
}
