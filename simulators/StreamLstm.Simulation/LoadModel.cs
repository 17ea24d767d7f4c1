namespace StreamLstm.Simulation;

/// <summary>One metered load: its fault-free mean power as a pure function of the moment.</summary>
internal abstract class LoadModel
{
    /// <summary>Resolution of the meter in watts.</summary>
    public abstract double Quantum { get; }

    /// <summary>Mean power over the moment's span in watts; negative while more is fed in than used.</summary>
    public abstract double Watts(in Moment at);

    /// <summary>Bell of height 1 around an hour of the day, wrapped at midnight.</summary>
    protected static double Bell(double hour, double centre, double width)
    {
        double distance = Math.Abs(hour - centre) % 24;
        distance = Math.Min(distance, 24 - distance) / width;
        return Math.Exp(-0.5 * distance * distance);
    }

    /// <summary>Smooth plateau of height 1 between two hours of the day; half an hour of transition on either side.</summary>
    protected static double Plateau(double hour, double from, double to) =>
        1 / ((1 + Math.Exp((from - hour) * 2)) * (1 + Math.Exp((hour - to) * 2)));

    /// <summary>Photovoltaic output per watt of peak power.</summary>
    protected static double Photovoltaic(in Moment at, double clearness) =>
        at.Sun <= 0 ? 0 : 0.9 * Math.Pow(at.Sun, 1.15) * Math.Clamp(clearness, 0.05, 1);
}
