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

    /// <summary>A random plan with about the given number of faults per day, from a frame on.</summary>
    public FaultPlan(CounterRandom random, double faultsPerDay, double framesPerDay, long firstFrame)
    {
        (_random, _framesPerDay, _drawnTo, _isRandom) = (random, framesPerDay, firstFrame, true);
        _pauseFrames = Math.Max(1, (long)Math.Ceiling(0.5 * framesPerDay));

        // Mean lengths: spike, dip 1.5 frames; drift 60, stuck 20, dropout 15 frames; level shift 1.25, scale .75 days.
        double meanLengthFrames = (98 + (2 * framesPerDay)) / 7;
        _meanExtraGapFrames = Math.Max(0, (framesPerDay / faultsPerDay) - _pauseFrames - meanLengthFrames);
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
            string type = FaultTypes.All[_random.Integer(draw + 1, 0, FaultTypes.All.Count - 1)];
            double sign = _random.Uniform(draw + 4) < 0.5 ? -1 : 1;
            (long length, double size) = type switch
            {
                FaultTypes.Spike or FaultTypes.Dip => (Frames(draw, 1, 2), _random.Uniform(draw + 3, 4, 8)),
                FaultTypes.LevelShift => (Days(draw, 0.5, 2), sign * _random.Uniform(draw + 3, 2, 4)),
                FaultTypes.Drift => (Frames(draw, 24, 96), sign * 0.1),
                FaultTypes.Stuck => (Frames(draw, 8, 32), 0),
                FaultTypes.Dropout => (Frames(draw, 6, 24), 0),
                _ => (Days(draw, 0.5, 1), sign < 0 ? 0.5 : _random.Uniform(draw + 3, 1.5, 2)),
            };
            _faults.Add(new PlannedFault(first, first + length, type, size));
            _longest = Math.Max(_longest, length);
            _drawnTo = first + length + _pauseFrames;
        }
    }

    private long Frames(long draw, int low, int high) => _random.Integer(draw + 2, low, high);

    private long Days(long draw, double low, double high) =>
        Math.Max(1, (long)Math.Round(_random.Uniform(draw + 2, low, high) * _framesPerDay));

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
