using System.Diagnostics.Metrics;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime;

/// <summary>The engine's instruments; names are those of the contract without <c>_total</c>, which the exposition adds to counters.</summary>
internal sealed class EngineMetrics
{
    private static readonly InstrumentAdvice<double> Durations = new() { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] };

    private readonly Counter<long> _samples;
    private readonly Counter<long> _deadLetters;
    private readonly Counter<long> _late;
    private readonly Counter<long> _revisions;
    private readonly Counter<long> _rounds;
    private readonly Counter<long> _promotions;

    public EngineMetrics(IMeterFactory factory, Engine engine)
    {
        var meter = factory.Create("StreamLstm.Runtime");
        _samples = meter.CreateCounter<long>("streamlstm_samples", description: "Samples by what became of them.");
        _deadLetters = meter.CreateCounter<long>("streamlstm_dead_letters", description: "Inputs that could not be used, by reason.");
        _late = meter.CreateCounter<long>("streamlstm_late", description: "Samples whose interval was already closed.");
        _revisions = meter.CreateCounter<long>("streamlstm_revisions", description: "Results and episodes issued again because late data changed them.");
        _rounds = meter.CreateCounter<long>("streamlstm_training_rounds", description: "Training rounds by outcome.");
        _promotions = meter.CreateCounter<long>("streamlstm_promotions", description: "Model versions put into service.");
        StepDuration = meter.CreateHistogram("streamlstm_step_duration_seconds", "s", "Time to align, score, learn and forecast one batch.", advice: Durations);
        JournalFlushDuration = meter.CreateHistogram("streamlstm_journal_flush_duration_seconds", "s", "Time to make a group of appends to the journal durable.", advice: Durations);
        CommitDuration = meter.CreateHistogram("streamlstm_commit_duration_seconds", "s", "Time to make one commit durable.", advice: Durations);
        CommitWait = meter.CreateHistogram("streamlstm_commit_wait_seconds", "s", "Time a finished batch waited for the commits before it; the shards stand still meanwhile.", advice: Durations);
        EndToEnd = meter.CreateHistogram("streamlstm_end_to_end_latency_seconds", "s", "Arrival of a batch's newest sample to its commit.", advice: Durations);
        RestoreDuration = meter.CreateHistogram("streamlstm_restore_duration_seconds", "s", "Time to restore the state on start.", advice: Durations);
        // Counters that alert rules rate() over exist from the first scrape on.
        _samples.Add(0, new KeyValuePair<string, object?>("outcome", "accepted"));
        _late.Add(0);
        _revisions.Add(0);
        foreach (var reason in DeadLetterReason.All)
            _deadLetters.Add(0, new KeyValuePair<string, object?>("reason", reason));

        meter.CreateObservableGauge("streamlstm_streams", () => engine.Statistics is var s
            ? new[] { Tagged(s.Streams - s.StaleStreams, "state", "active"), Tagged(s.StaleStreams, "state", "stale") } : [], description: "Streams by state.");
        meter.CreateObservableGauge("streamlstm_episodes_open", () => engine.Statistics.EpisodesBySeverity.Select(e => Tagged(e.Value, "severity", e.Key)), description: "Open anomaly episodes.");
        meter.CreateObservableGauge("streamlstm_state_bytes", () => engine.Statistics.StateBytes, "By", "Stream state held in memory.");
        meter.CreateObservableGauge("streamlstm_journal_bytes", () => engine.JournalBytes, "By", "Journal on disk.");
        meter.CreateObservableGauge("streamlstm_journal_backlog_bytes", () => engine.JournalBacklogBytes, "By", "Durable input that is not committed yet.");
        meter.CreateObservableGauge("streamlstm_storage_short", () => engine.StorageIsShort, description: "1 while the disk has no room and nothing is acknowledged.");
        meter.CreateObservableGauge("streamlstm_queue_depth", engine.QueueDepths, description: "Items waiting, by stage.");
        meter.CreateObservableGauge("streamlstm_consumer_lag_messages", engine.ConsumerLags, description: "Records that a partition has and its owner here hasn't read.");
        meter.CreateObservableGauge("streamlstm_standby_lag_messages", engine.StandbyLags, description: "State records of a partition that is kept warm here for another owner, and haven't been read.");
        meter.CreateObservableGauge("streamlstm_standby_bytes", engine.StandbyBytes, "By", "State that is kept warm here for other owners.");
        meter.CreateObservableGauge("streamlstm_watermark_lag_seconds", () => engine.Statistics.NewestEventLagSeconds is { } lag ? new[] { new Measurement<double>(lag) } : [], "s", "Clock minus the newest event time.");
        meter.CreateObservableGauge("streamlstm_model_version", engine.ModelVersions, description: "Active model version by profile; 0 = no network yet.");
        meter.CreateObservableGauge("streamlstm_live_skill_ratio", engine.SkillRatios, description: "1 - MAE/MAE of the seasonal naive forecast over the same targets, by horizon.");
        meter.CreateObservableGauge("streamlstm_interval_coverage_ratio", engine.CoverageRatios, description: "Observed share of targets inside the prediction interval.");
        meter.CreateObservableGauge("streamlstm_training_loss", engine.TrainingLosses, description: "Loss of the latest training step.");
        meter.CreateObservableGauge("streamlstm_source_connected", engine.SourcesConnected, description: "1 if the source is connected or has been read to its end.");
    }

    public Histogram<double> StepDuration { get; }

    public Histogram<double> JournalFlushDuration { get; }

    public Histogram<double> CommitDuration { get; }

    public Histogram<double> CommitWait { get; }

    public Histogram<double> EndToEnd { get; }

    public Histogram<double> RestoreDuration { get; }

    public void Count(OutcomeCounts o)
    {
        Outcome("accepted", o.Accepted);
        Outcome("duplicate", o.Duplicate);
        Outcome("late", o.Late);
        Outcome("repaired", o.Repaired);
        Outcome("rejected", o.Rejected);
        Outcome("register_dip", o.Dip);
        Outcome("imputed", o.Imputed);
        if (o.Late + o.Repaired > 0)
            _late.Add(o.Late + o.Repaired);
        if (o.Revisions > 0)
            _revisions.Add(o.Revisions);
    }

    public void DeadLetter(string reason) => _deadLetters.Add(1, new KeyValuePair<string, object?>("reason", reason));

    public void Round(string profile, string outcome) => _rounds.Add(1, new("profile", profile), new("outcome", outcome));

    public void Promotion(string profile, string outcome) => _promotions.Add(1, new("profile", profile), new("outcome", outcome));

    private static Measurement<long> Tagged(long value, string key, string label) => new(value, new KeyValuePair<string, object?>(key, label));

    private void Outcome(string outcome, long n)
    {
        if (n > 0)
            _samples.Add(n, new KeyValuePair<string, object?>("outcome", outcome));
    }
}
