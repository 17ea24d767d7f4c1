namespace StreamLstm.Simulation;

/// <summary>The faults of a signal frame by frame, looked up once per block of frames as most frames have none.</summary>
internal sealed class SignalFrames(Func<long, long, IEnumerable<PlannedFault>> planned, long block)
{
    private readonly List<PlannedFault> _near = [], _now = [];
    private long _known;

    public static void Check(SignalSimulationOptions options, IReadOnlyList<string> channels)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Streams, 1, nameof(options.Streams));
        if (options.Rate is not (>= 100 and <= 2000))
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.Rate, "The rate must be 100 to 2000 samples per second.");
        }

        if (!(options.MainsHz > 0 && options.MainsHz < options.Rate / 2))
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.MainsHz, "The mains' frequency must be above 0 and below half the rate.");
        }

        if (options.Channels.Count == 0 || options.Channels.Distinct().Count() != options.Channels.Count || options.Channels.Except(channels).Any())
        {
            throw new ArgumentException($"Channels must be different ones out of {string.Join(", ", channels)}.", nameof(options));
        }
    }

    /// <summary>Faults that last at a frame; frames are asked for in order.</summary>
    public IReadOnlyList<PlannedFault> At(long frame)
    {
        if (frame >= _known)
        {
            _known = frame + block;
            _near.Clear();
            _near.AddRange(planned(frame, _known));
        }

        _now.Clear();
        foreach (PlannedFault fault in _near)
        {
            if (fault.First <= frame && fault.End > frame)
            {
                _now.Add(fault);
            }
        }

        return _now;
    }
}
