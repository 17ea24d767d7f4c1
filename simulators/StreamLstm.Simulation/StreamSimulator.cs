using System.Globalization;

namespace StreamLstm.Simulation;

/// <summary>
/// Streams with one or several channels on a regular grid, with labelled faults. Values are a function of the options
/// alone. One instance serves one thread.
/// </summary>
public abstract class StreamSimulator
{
    private readonly string[] _keys;
    private readonly FaultPlan[]? _plans;

    /// <param name="kinds">Every kind of fault a plan may hold.</param>
    /// <param name="usual">Types that a random plan draws from if the options name none.</param>
    /// <param name="pause">Shortest time between two random faults of a stream.</param>
    /// <param name="framesPerDay">Frames of what the faults take for a day, if it isn't one.</param>
    private protected StreamSimulator(
        SimulationOptions options, string[] keys, IReadOnlyList<string> channels, FrameGrid grid, IReadOnlyList<FaultKind> kinds,
        IReadOnlyList<FaultKind> usual, TimeSpan pause, CounterRandom random, double? framesPerDay = null)
    {
        if (!double.IsFinite(options.FaultsPerStreamDay) || options.FaultsPerStreamDay < 0)
        {
            throw new ArgumentOutOfRangeException(
                nameof(options), options.FaultsPerStreamDay, "The number of faults per stream and day must not be negative.");
        }

        _keys = keys;
        Channels = channels;
        Grid = grid;
        FaultKinds = kinds;
        if (options.Faults is { } faults)
        {
            _plans = GivenPlans(faults);
        }
        else if (options.FaultsPerStreamDay > 0)
        {
            long first = Math.Max(0, options.FaultsFrom is { } from ? grid.AtOrAfter(from) : 0);
            FaultKind[] drawn = options.FaultTypes is { } types
                ? [.. types.Select(type => kinds.FirstOrDefault(kind => kind.Type == type)
                    ?? throw new ArgumentException($"'{type}' is not one of {string.Join(", ", kinds.Select(kind => kind.Type))}.", nameof(options)))]
                : [.. usual];
            _plans = [.. Enumerable.Range(0, keys.Length).Select(i => new FaultPlan(
                random.Branch((ulong)i), drawn, options.FaultsPerStreamDay, framesPerDay ?? grid.FramesPerDay, pause, first))];
        }
    }

    public IReadOnlyList<string> StreamKeys => _keys;

    /// <summary>Names of a stream's channels; one of no name where a sample is a single number.</summary>
    public IReadOnlyList<string> Channels { get; }

    /// <summary>What can be injected.</summary>
    public IReadOnlyList<FaultKind> FaultKinds { get; }

    /// <summary>The frame that <see cref="Next"/> generates next.</summary>
    public long FrameIndex { get; private protected set; }

    private protected FrameGrid Grid { get; }

    /// <summary>Start of a frame.</summary>
    public DateTimeOffset FrameTime(long frame) => Grid.Time(frame);

    /// <summary>The first frame that doesn't start before a time.</summary>
    public long FrameAtOrAfter(DateTimeOffset time) => Grid.AtOrAfter(time);

    /// <summary>Generates one frame and goes on to the next.</summary>
    /// <param name="values">[streams, channels] row-major, output; NaN where there is no value.</param>
    public abstract void Next(Span<double> values);

    /// <summary>Labels of the faults that touch frames from ≤ f &lt; to, ordered by start, then by stream.</summary>
    public IReadOnlyList<FaultLabel> Faults(long fromFrame, long toFrame)
    {
        var labels = new List<FaultLabel>();
        for (int i = 0; i < _keys.Length; i++)
        {
            foreach (PlannedFault fault in Actual(i, fromFrame, toFrame))
            {
                labels.Add(new FaultLabel(_keys[i], FrameTime(fault.First), FrameTime(fault.End), fault.Type, fault.Size));
            }
        }

        // A stable sort keeps the order of streams among equal starts.
        return [.. labels.OrderBy(label => label.Start)];
    }

    /// <summary>What was planned for a stream.</summary>
    private protected IEnumerable<PlannedFault> Planned(int stream, long from, long to) => _plans is null ? [] : _plans[stream].Overlapping(from, to);

    /// <summary>What came of the plan.</summary>
    private protected virtual IEnumerable<PlannedFault> Actual(int stream, long from, long to) => Planned(stream, from, to);

    private FaultPlan[] GivenPlans(IReadOnlyList<FaultLabel> faults)
    {
        var errors = new List<string>();
        Dictionary<string, int> index = _keys.Select((key, i) => (key, i)).ToDictionary(pair => pair.key, pair => pair.i);
        var planned = new List<PlannedFault>[_keys.Length];
        foreach (FaultLabel fault in faults)
        {
            if (!index.TryGetValue(fault.Stream, out int stream))
            {
                errors.Add($"there is no stream '{fault.Stream}'");
            }
            else if (FaultKinds.All(kind => kind.Type != fault.Type))
            {
                errors.Add($"'{fault.Type}' is not a fault type ({string.Join(", ", FaultKinds.Select(kind => kind.Type))})");
            }
            else if (fault.End <= fault.Start)
            {
                errors.Add(string.Create(CultureInfo.InvariantCulture, $"the {fault.Type} of {fault.Stream} at {fault.Start:O} ends before it starts"));
            }
            else if (!double.IsFinite(fault.Size))
            {
                errors.Add(string.Create(CultureInfo.InvariantCulture, $"the {fault.Type} of {fault.Stream} at {fault.Start:O} has no finite size"));
            }
            else
            {
                (planned[stream] ??= []).Add(new PlannedFault(
                    Grid.AtOrAfter(fault.Start), Grid.AtOrAfter(fault.End), fault.Type, fault.Size));
            }
        }

        if (errors.Count > 0)
        {
            throw new ArgumentException("The fault plan is not usable: " + string.Join("; ", errors) + ".", nameof(faults));
        }

        return [.. planned.Select(list => new FaultPlan(list ?? []))];
    }
}
