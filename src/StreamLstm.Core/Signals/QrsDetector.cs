namespace StreamLstm.Core.Signals;

/// <summary>
/// Finds heart beats in one pass: band-passed slope energy over the leads, adaptive thresholds between the medians of recent beats' and
/// recent noise peaks, a refractory time, a check against T waves, and a search back when a beat is overdue. After Pan and Tompkins
/// (1985, IEEE TBME 32(3)) and Hamilton and Tompkins (1986, IEEE TBME 33(12)). Constant state in the caller's numbers.
/// </summary>
internal sealed class QrsDetector
{
    private const int Peaks = 8;
    private const double LearnSeconds = 8;
    private const double RefractorySeconds = 0.2;
    private const double TWaveSeconds = 0.36;
    private const double EnergySeconds = 0.1;
    private const double ThresholdShare = 0.3125;
    private const double SearchBackShare = 0.4;
    private const double SearchBackDelay = 1.5;

    // Where things lie in the numbers.
    private const int Now = 0;
    private const int CurrentHeight = 1;
    private const int CurrentAt = 2;
    private const int LastBeat = 3;
    private const int LastHeight = 4;
    private const int BackHeight = 5;
    private const int BackAt = 6;
    private const int LearnMaximum = 7;
    private const int EnergySum = 8;
    private const int PeakNext = 9;
    private const int NoiseNext = 10;
    private const int RrNext = 11;
    private const int PeakList = 12;
    private const int NoiseList = PeakList + Peaks;
    private const int RrList = NoiseList + Peaks;
    private const int LeadStates = RrList + Peaks;
    private const int PerLead = 7;

    private readonly double _rate;
    private readonly int _leads;
    private readonly Biquad _low;
    private readonly Biquad _high;
    private readonly int _energyLength;

    /// <param name="rate">Samples per second, 90 to 190.</param>
    public QrsDetector(double rate, int leads)
    {
        _rate = rate;
        _leads = leads;
        _low = Biquad.LowPass(18, rate);
        _high = Biquad.HighPass(6, rate);
        _energyLength = (int)Math.Round(EnergySeconds * rate);
        NumbersLength = LeadStates + (leads * PerLead) + _energyLength;
    }

    public int NumbersLength { get; }

    /// <param name="x">[leads], finite.</param>
    /// <param name="s">[<see cref="NumbersLength"/>], zeros before the first sample.</param>
    /// <returns>Index of the sample at the energy's peak of a beat found now, or −1.</returns>
    public long Step(ReadOnlySpan<double> x, Span<double> s)
    {
        var now = (long)s[Now];
        s[Now] = now + 1;
        var slope = 0d;
        for (var i = 0; i < _leads; i++)
        {
            var lead = s.Slice(LeadStates + (i * PerLead), PerLead);
            if (now == 0)
                lead[6] = x[i];
            var band = _high.Step(_low.Step(x[i] - lead[6], lead[..2]), lead.Slice(2, 2));
            slope += Math.Abs(band - lead[5]);
            lead[5] = lead[4];
            lead[4] = band;
        }

        var window = s[(LeadStates + (_leads * PerLead))..];
        var at = (int)(now % _energyLength);
        s[EnergySum] += slope - window[at];
        window[at] = slope;
        var energy = Math.Max(0, s[EnergySum]) / _energyLength;
        return now < LearnSeconds * _rate ? Learn(now, energy, s) : Detect(now, energy, s);
    }

    private long Learn(long now, double energy, Span<double> s)
    {
        // The filters' own transient is no beat.
        if (now > _rate / 2)
            s[LearnMaximum] = Math.Max(s[LearnMaximum], energy);
        var second = (long)(now / _rate);
        if ((long)((now + 1) / _rate) != second)
        {
            s[PeakList + (int)(second % Peaks)] = s[LearnMaximum];
            s[RrList + (int)(second % Peaks)] = _rate;
            s[LearnMaximum] = 0;
        }

        s[LastBeat] = now;
        s[LastHeight] = 0;
        s[CurrentAt] = now;
        return -1;
    }

    private long Detect(long now, double energy, Span<double> s)
    {
        var refractory = RefractorySeconds * _rate;
        if (energy > s[CurrentHeight])
        {
            s[CurrentHeight] = energy;
            s[CurrentAt] = now;
            return -1;
        }

        var beat = -1L;
        if (s[CurrentHeight] > 0 && now - s[CurrentAt] >= refractory)
        {
            beat = Classify((long)s[CurrentAt], s[CurrentHeight], s);
            s[CurrentHeight] = energy;
            s[CurrentAt] = now;
        }

        var rr = Mean(s.Slice(RrList, Peaks));
        if (beat < 0 && s[BackHeight] > 0 && now - s[LastBeat] > (SearchBackDelay * rr) + refractory
            && s[BackHeight] > SearchBackShare * Threshold(s))
        {
            beat = (long)s[BackAt];
            Accept(beat, s[BackHeight], s);
        }

        // Eight seconds without a beat: the signal has changed its size, so its recent peaks are all there is to go by.
        if (beat < 0 && now - s[LastBeat] > LearnSeconds * _rate)
        {
            s.Slice(PeakList, Peaks).Fill(Math.Max(s[BackHeight], Median(s.Slice(NoiseList, Peaks))));
            s.Slice(NoiseList, Peaks).Clear();
            s.Slice(RrList, Peaks).Fill(_rate);
            s[LastBeat] = now;
            s[LastHeight] = 0;
            s[BackHeight] = 0;
        }

        return beat;
    }

    private long Classify(long at, double height, Span<double> s)
    {
        var since = at - s[LastBeat];
        if (since < RefractorySeconds * _rate)
            return -1;
        var threshold = Threshold(s);
        var tWave = since < TWaveSeconds * _rate && height < 0.5 * s[LastHeight];
        if (height > threshold && !tWave)
        {
            Accept(at, height, s);
            return at;
        }

        s[NoiseList + (int)s[NoiseNext]] = height;
        s[NoiseNext] = (s[NoiseNext] + 1) % Peaks;
        if (since >= TWaveSeconds * _rate && height > s[BackHeight])
        {
            s[BackHeight] = height;
            s[BackAt] = at;
        }

        return -1;
    }

    private static void Accept(long at, double height, Span<double> s)
    {
        s[PeakList + (int)s[PeakNext]] = height;
        s[PeakNext] = (s[PeakNext] + 1) % Peaks;
        s[RrList + (int)s[RrNext]] = at - s[LastBeat];
        s[RrNext] = (s[RrNext] + 1) % Peaks;
        s[LastBeat] = at;
        s[LastHeight] = height;
        s[BackHeight] = 0;
    }

    private static double Threshold(ReadOnlySpan<double> s)
    {
        var noise = Median(s.Slice(NoiseList, Peaks));
        return noise + (ThresholdShare * (Median(s.Slice(PeakList, Peaks)) - noise));
    }

    private static double Mean(ReadOnlySpan<double> values)
    {
        var sum = 0d;
        foreach (var v in values)
            sum += v;
        return sum / values.Length;
    }

    private static double Median(ReadOnlySpan<double> values)
    {
        Span<double> sorted = stackalloc double[Peaks];
        values.CopyTo(sorted);
        sorted.Sort();
        return (sorted[(Peaks / 2) - 1] + sorted[Peaks / 2]) / 2;
    }
}
