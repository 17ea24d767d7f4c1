namespace StreamLstm.Simulation;

/// <summary>A fault on the frame grid: frames First ≤ f &lt; End.</summary>
internal readonly record struct PlannedFault(long First, long End, string Type, double Size);

/// <summary>
/// The faults of one stream in order of their start. A random plan is drawn one fault after the other from counters, so
/// it depends on the seed and the stream alone, and grows as far as it is asked for.
/// </summary>
internal sealed class FaultPlan
{
    private readonly List<PlannedFault> _faults = [];
    private readonly CounterRandom _random;
    private readonly IReadOnlyList<FaultKind> _kinds = [];
    private readonly double _framesPerDay, _meanExtraGapFrames;
    private readonly long _pauseFrames;
    private readonly bool _isRandom;
    private long _drawnTo, _longest = 1;

    /// <summary>A given plan.</summary>
    public FaultPlan(IEnumerable<PlannedFault> faults)
    {
        _faults.AddRange(faults.OrderBy(fault => fault.First).ThenBy(fault => fault.End));
        _longest = _faults.Count == 0 ? 1 : _faults.Max(fault => fault.End - fault.First);
    }

    /// <summary>A random plan with about the given number of faults per day and a pause after each, from a frame on.</summary>
    public FaultPlan(
        CounterRandom random, IReadOnlyList<FaultKind> kinds, double faultsPerDay, double framesPerDay, TimeSpan pause, long firstFrame)
    {
        (_random, _kinds, _framesPerDay, _drawnTo, _isRandom) = (random, kinds, framesPerDay, firstFrame, true);
        _pauseFrames = Math.Max(1, (long)Math.Ceiling(pause.TotalDays * framesPerDay));
        _meanExtraGapFrames = Math.Max(
            0, (framesPerDay / faultsPerDay) - _pauseFrames - kinds.Average(kind => kind.MeanFrames(framesPerDay)));
    }

    /// <summary>Faults that touch frames from ≤ f &lt; to, in order of their start.</summary>
    public IEnumerable<PlannedFault> Overlapping(long from, long to)
    {
        DrawTo(to);
        for (int i = FirstNotBefore(from - _longest); i < _faults.Count && _faults[i].First < to; i++)
        {
            if (_faults[i].End > from)
            {
                yield return _faults[i];
            }
        }
    }

    private void DrawTo(long frame)
    {
        while (_isRandom && _drawnTo < frame)
        {
            long draw = 5L * _faults.Count;
            double gap = -Math.Log(1 - _random.Uniform(draw)) * _meanExtraGapFrames;
            long first = _drawnTo + (long)gap;
            FaultKind kind = _kinds[_random.Integer(draw + 1, 0, _kinds.Count - 1)];
            (long length, double size) = kind.Draw(_random, draw + 2, _framesPerDay);
            _faults.Add(new PlannedFault(first, first + length, kind.Type, size));
            _longest = Math.Max(_longest, length);
            _drawnTo = first + length + _pauseFrames;
        }
    }

    private int FirstNotBefore(long frame)
    {
        int low = 0, high = _faults.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _faults[middle].First < frame ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
