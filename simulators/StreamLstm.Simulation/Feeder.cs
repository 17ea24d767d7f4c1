namespace StreamLstm.Simulation;

/// <summary>
/// A low-voltage feeder with 20 to 200 homes and some small businesses: the smooth sum that remains when single
/// appliances average out, with relative noise that falls with the square root of the number of homes.
/// </summary>
internal sealed class Feeder : LoadModel
{
    private readonly CounterRandom _days, _noise;
    private readonly CorrelatedNoise _level;
    private readonly int _homes;
    private readonly double _base, _morning, _morningHour, _evening, _eveningHour, _daytime, _freeDayFactor, _business;
    private readonly double _heatingWattsPerKelvin, _coolingWattsPerKelvin, _cars, _panelWatts, _levelNoise, _frameNoise;

    public Feeder(CounterRandom random)
    {
        CounterRandom traits = random.Branch(1);
        (_days, _noise) = (random.Branch(2), random.Branch(3));
        _level = new CorrelatedNoise(random.Branch(4), 3600, 0.8);

        // Watts per home, except where said.
        _homes = traits.Integer(0, 20, 200);
        _base = traits.Uniform(1, 150, 220);
        _morning = traits.Uniform(2, 150, 290);
        _morningHour = traits.Uniform(3, 7.0, 7.8);
        _evening = traits.Uniform(4, 320, 520);
        _eveningHour = traits.Uniform(5, 18.6, 19.8);
        _daytime = traits.Uniform(6, 80, 160);
        _freeDayFactor = traits.Uniform(7, 1.25, 1.6);
        _business = traits.Uniform(8) < 0.5 ? traits.Uniform(9, 60, 220) : 0;
        _heatingWattsPerKelvin = traits.Uniform(10, 4, 18);
        _coolingWattsPerKelvin = traits.Uniform(11, 2, 14);
        _cars = traits.Uniform(12, 0, 160);
        _panelWatts = traits.Uniform(13) < 0.5 ? traits.Uniform(14, 0.05, 0.3) * 4500 : 0;
        _levelNoise = 0.015 + (0.12 / Math.Sqrt(_homes));
        _frameNoise = 0.003 + (0.05 / Math.Sqrt(_homes));
        Quantum = _homes < 80 ? 10 : 100;
    }

    public override double Quantum { get; }

    public override double Watts(in Moment at)
    {
        CounterRandom day = _days.Branch((ulong)at.Day);
        double watts = _base
            + (_morning * Bell(at.Hour, _morningHour + (at.FreeDay ? 1.6 : 0), at.FreeDay ? 1.7 : 1.2))
            + (_evening * (1 + (0.15 * at.Winter)) * (1 + (0.04 * day.Normal(0))) * Bell(at.Hour, _eveningHour, 2.2))
            + (_daytime * (at.FreeDay ? _freeDayFactor : 1) * Plateau(at.Hour, 8, 17.5))
            + (_business * (at.FreeDay ? 0.15 : 1) * Plateau(at.Hour, 7.5, 18))
            + (_cars * (at.FreeDay ? 0.6 : 1) * Bell(at.Hour, 20.8, 2.4))
            + (_heatingWattsPerKelvin * Math.Max(0, 15 - at.TemperatureCelsius))
            + (_coolingWattsPerKelvin * Math.Max(0, at.TemperatureCelsius - 22));
        watts *= 1 + (_levelNoise * _level.At(at.Middle)) + (_frameNoise * _noise.Normal((long)(at.Start * 1000)));
        return _homes * (watts - (_panelWatts * Photovoltaic(at, at.Clearness)));
    }
}
