namespace StreamLstm.Simulation;

/// <summary>How a beat came about.</summary>
internal enum BeatKind
{
    Normal,
    Fibrillating,
    Atrial,
    Ventricular,
}

/// <summary>
/// The dynamical model of McSharry, Clifford, Tarassenko and Smith, "A dynamical model for generating synthetic
/// electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3), 2003: a point circles on a limit cycle of radius 1 in the plane
/// (x, y), once from R peak to R peak, and is pushed up and down (z) by a Gaussian for each of the waves P, Q, R, S, T:
/// <code>
/// x' = αx − ωy,  y' = αy + ωx,  α = 1 − √(x² + y²)
/// z' = −Σ aᵢ Δθᵢ exp(−Δθᵢ²/2bᵢ²) − (z − z₀(t)),  Δθᵢ = θ − θᵢ,  z₀ = respiratory wander
/// </code>
/// Every lead has its own z. A wave is given by its height A in mV, and its time t and width s in seconds, which make
/// θᵢ = ωtᵢ, bᵢ = ωsᵢ, aᵢ = Aᵢω/bᵢ²: so a wave keeps its form while ω changes with every interval. As in the paper P and T move with
/// the square root of the interval (its fourth root for P). Waves before the R peak belong to the coming beat, those after it to the last.
/// </summary>
internal sealed class HeartModel
{
    private const int Waves = 5;
    private const int P = 0, R = 2, T = 4;

    // Seconds from the R peak and Gaussian widths, at 60 beats per minute. Times of P, R, T are those of the paper's Table I; Q and S lie closer
    // and all are narrower, so that QRS lasts about .09 s.
    private static readonly double[] s_normalTimes = [-0.167, -0.03, 0, 0.03, 0.25];
    private static readonly double[] s_normalWidths = [0.025, 0.01, 0.0115, 0.01, 0.045];

    // A ventricular beat spreads outside the conduction system: QRS beyond .12 s, T against it.
    private static readonly double[] s_ventricularTimes = [-0.167, -0.06, 0, 0.085, 0.30];
    private static readonly double[] s_ventricularWidths = [0.025, 0.02, 0.03, 0.03, 0.055];

    private readonly int _leads;
    private readonly double[][] _normal, _ventricular;
    private readonly double _breathHz, _breathMillivolts;
    private readonly double[] _state, _k1, _k2, _k3, _k4, _trial;
    private Beat _last, _next;
    private double _omega = 2 * Math.PI, _elapsed, _time;

    /// <param name="leads">Names out of <see cref="Independent"/>.</param>
    public HeartModel(IReadOnlyList<string> leads, double breathHz, double breathMillivolts)
    {
        _leads = leads.Count;
        _normal = [.. leads.Select(lead => Amplitudes(lead).Normal)];
        _ventricular = [.. leads.Select(lead => Amplitudes(lead).Ventricular)];
        (_breathHz, _breathMillivolts) = (breathHz, breathMillivolts);
        _state = new double[2 + _leads];
        (_k1, _k2, _k3, _k4, _trial) = (new double[2 + _leads], new double[2 + _leads], new double[2 + _leads], new double[2 + _leads], new double[2 + _leads]);
        _state[0] = 1;
        for (int lead = 0; lead < _leads; lead++)
        {
            // Rest, seen from the R peak that it all begins with.
            _state[2 + lead] = _normal[lead][R];
        }
    }

    /// <summary>The leads the model generates; III and the augmented ones follow from I and II.</summary>
    public static IReadOnlyList<string> Independent { get; } = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"];

    /// <summary>Seconds until the next R peak.</summary>
    public double ToNextBeat => (2 * Math.PI / _omega) - _elapsed;

    /// <summary>[leads] in mV.</summary>
    public ReadOnlySpan<double> Leads => _state.AsSpan(2);

    /// <summary>At an R peak: plans the interval to the next one.</summary>
    /// <param name="seconds">Length of the interval.</param>
    /// <param name="usual">Usual interval of the present rhythm, which P and T adapt to.</param>
    public void Begin(double seconds, double usual, BeatKind last, BeatKind next)
    {
        _omega = 2 * Math.PI / seconds;
        _elapsed = 0;
        _last = new Beat(last, usual);
        _next = new Beat(next, usual);

        // Rounding must not add up over the beats.
        (_state[0], _state[1]) = (1, 0);
    }

    /// <summary>One step of the classical Runge–Kutta method, at most to the next R peak.</summary>
    public void Step(double h)
    {
        Derive(_state, 0, _k1);
        Move(_k1, h / 2);
        Derive(_trial, h / 2, _k2);
        Move(_k2, h / 2);
        Derive(_trial, h / 2, _k3);
        Move(_k3, h);
        Derive(_trial, h, _k4);
        for (int i = 0; i < _state.Length; i++)
        {
            _state[i] += h / 6 * (_k1[i] + (2 * (_k2[i] + _k3[i])) + _k4[i]);
        }

        _elapsed += h;
        _time += h;
    }

    private void Move(double[] slope, double h)
    {
        for (int i = 0; i < _state.Length; i++)
        {
            _trial[i] = _state[i] + (h * slope[i]);
        }
    }

    private void Derive(double[] state, double ahead, double[] slope)
    {
        (double x, double y) = (state[0], state[1]);
        double alpha = 1 - Math.Sqrt((x * x) + (y * y));
        slope[0] = (alpha * x) - (_omega * y);
        slope[1] = (alpha * y) + (_omega * x);

        // The angle modulo 2π, on the turn that the time since the R peak says.
        double theta = Math.Atan2(y, x);
        theta += 2 * Math.PI * Math.Round((((_elapsed + ahead) * _omega) - theta) / (2 * Math.PI));
        double rest = _breathMillivolts * Math.Sin(2 * Math.PI * _breathHz * (_time + ahead));
        for (int lead = 0; lead < _leads; lead++)
        {
            slope[2 + lead] = rest - state[2 + lead];
        }

        Push(slope, _last, theta);
        Push(slope, _next, theta - (2 * Math.PI));
    }

    private void Push(double[] slope, in Beat beat, double theta)
    {
        bool wide = beat.Kind == BeatKind.Ventricular;
        double[] times = wide ? s_ventricularTimes : s_normalTimes, widths = wide ? s_ventricularWidths : s_normalWidths;
        double root = Math.Sqrt(beat.Usual);
        for (int wave = 0; wave < Waves; wave++)
        {
            double stretch = wave == T ? root : wave == P ? Math.Sqrt(root) : 1;
            double width = widths[wave] * _omega * (wave is P or T ? Math.Min(stretch, 1) : 1);
            double delta = theta - (times[wave] * stretch * _omega);
            if (Math.Abs(delta) > 6 * width)
            {
                continue;
            }

            double push = -_omega * delta / (width * width) * Math.Exp(-delta * delta / (2 * width * width));
            double share = wave != P ? 1 : beat.Kind switch { BeatKind.Normal => 1, BeatKind.Atrial => -0.6, _ => 0 };
            for (int lead = 0; lead < _leads; lead++)
            {
                slope[2 + lead] += push * share * (wide ? _ventricular : _normal)[lead][wave];
            }
        }
    }

    /// <summary>Heights of P, Q, R, S, T in mV, as they are typical of adults.</summary>
    private static (double[] Normal, double[] Ventricular) Amplitudes(string lead) => lead switch
    {
        "I" => ([0.08, -0.05, 0.60, -0.10, 0.20], [0, -0.1, 0.9, -0.3, -0.25]),
        "II" => ([0.15, -0.10, 1.10, -0.20, 0.30], [0, -0.2, 1.7, -0.6, -0.45]),
        "V1" => ([0.06, 0, 0.25, -1.00, -0.05], [0, 0.1, -1.3, 0.3, 0.35]),
        "V2" => ([0.07, 0, 0.50, -1.30, 0.40], [0, 0.1, -1.6, 0.4, 0.45]),
        "V3" => ([0.08, -0.02, 0.80, -0.90, 0.45], [0, 0.1, -1.2, 0.5, 0.35]),
        "V4" => ([0.08, -0.05, 1.30, -0.50, 0.45], [0, -0.1, 1.4, -0.7, -0.40]),
        "V5" => ([0.08, -0.08, 1.20, -0.25, 0.35], [0, -0.2, 1.6, -0.6, -0.45]),
        "V6" => ([0.08, -0.10, 1.00, -0.12, 0.25], [0, -0.2, 1.4, -0.5, -0.35]),
        _ => throw new ArgumentException($"'{lead}' is not one of {string.Join(", ", Independent)}.", nameof(lead)),
    };

    private readonly record struct Beat(BeatKind Kind, double Usual);
}
