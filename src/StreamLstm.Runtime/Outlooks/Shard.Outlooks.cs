using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Outlooks;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Sharding;

/// <summary>How frames come by what is known in advance of their covariates: see <see cref="OutlookTable"/>.</summary>
internal sealed partial class Shard
{
    /// <summary>Sets what a restored commit knew.</summary>
    public void RestoreOutlooks(byte[] table)
    {
        foreach (var partition in Partitions)
        {
            var r = new ByteReader(table);
            partition.Outlooks.Read(ref r);
        }
    }

    private void TakeOutlook(Partition partition, SampleBatch samples, int i)
    {
        var values = samples.Values(i);
        // Every partition takes it in; the one that the stream's key belongs to answers for it.
        var own = !_single && VirtualPartition.Of(samples.Key(i)) == partition.Index;
        var refused = _single ? "What is known in advance must come by a source of the local journal."
            : samples.Rows(i) != 1 || values.Length != 2 || !double.IsFinite(values[0]) || !double.IsFinite(values[1]) || Math.Abs(values[0]) > 1e11 ? "An entry of an outlook has two values: the time it is for in Unix seconds, and the value."
            : partition.Outlooks.Take(samples.Key(i), samples.EventTime(i), (long)Math.Round(values[0] * 1e6), values[1]) ? null
            : $"The outlook already has {OutlookTable.MostTimes} times.";
        if (!own && !_single)
            return;
        if (refused is null)
            _output.Outcomes.Accepted++;
        else
            Reject(samples, i, DeadLetterReason.ChannelCount, refused);
    }

    /// <summary>Puts beside a frame's values what is known of its covariates' future at this place in the log; a repeated frame has what it had.</summary>
    private void NoteKnown(Partition partition, ref FrameWork work)
    {
        var profile = work.Session.Profile;
        if (profile.KnownLength == 0 || work.Kind == Alignment.FrameKind.Bridge)
            return;
        (work.KnownAt, work.Known) = (_frameValues.Count, profile.KnownLength);
        if (work.Session.Repair?.KnownOf(work.Frame) is { } known)
        {
            _frameValues.AddRange(known);
            return;
        }

        foreach (var stream in profile.OutlookStreams)
        {
            var from = 0;
            foreach (var to in profile.Plan.CovariateParts)
            {
                _frameValues.Add(stream is null || _replaying ? double.NaN : partition.Outlooks.Mean(stream, (work.Frame + from + 1) * profile.IntervalMicros, profile.IntervalMicros, to - from));
                from = to;
            }

            foreach (var step in profile.Plan.CovariateSteps)
                _frameValues.Add(stream is null || _replaying ? double.NaN : partition.Outlooks.At(stream, (work.Frame + step) * profile.IntervalMicros));
        }

        work.Session.Repair?.KeepKnown(work.Frame, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_frameValues)[work.KnownAt..]);
    }
}
