namespace StreamLstm.Simulation;

/// <summary>
/// A home's net load: standby and a cycling fridge, morning and evening activity that depends on the kind of day and on
/// people being there, single appliance runs, and for some homes electric heating (also by a cycling heat pump) or cooling,
/// an electric car, and photovoltaics. Random draws are made per day, cycle or knot of time, so the same home can be read at any interval.
/// </summary>
internal sealed class Household : LoadModel
{
    private const long HolidaySlotDays = 91;
    private const int MostRunsPerDay = 12;

    private readonly CounterRandom _days, _runs, _fridge, _car, _holidays, _noise, _heatPump;
    private readonly CorrelatedNoise _activityNoise, _localClouds;
    private readonly double _standby, _fridgeWatts, _fridgePeriod, _fridgeDuty;
    private readonly double _morningWatts, _morningHour, _morningWidth, _eveningWatts, _eveningHour, _eveningWidth;
    private readonly double _dayWatts, _freeDayFactor, _freeDayDelay, _runsPerDay;
    private readonly double _heatingWattsPerKelvin, _coolingWattsPerKelvin, _carWatts, _carHour, _panelWatts;
    private readonly double _heatPumpWatts, _heatPumpPeriod;

    public Household(CounterRandom random)
    {
        CounterRandom traits = random.Branch(1);
        (_days, _runs, _fridge) = (random.Branch(2), random.Branch(3), random.Branch(4));
        (_car, _holidays, _noise) = (random.Branch(5), random.Branch(6), random.Branch(7));
        _heatPump = random.Branch(10);
        _activityNoise = new CorrelatedNoise(random.Branch(8), 2 * 3600, 0.7);
        _localClouds = new CorrelatedNoise(random.Branch(9), 900, 0.6);

        _standby = traits.Uniform(0, 40, 150);
        _fridgeWatts = traits.Uniform(1, 80, 150);
        _fridgePeriod = traits.Uniform(2, 40, 75) * 60;
        _fridgeDuty = traits.Uniform(3, 0.3, 0.5);
        _morningWatts = traits.Uniform(4, 150, 600);
        _morningHour = traits.Uniform(5, 6.5, 8.0);
        _morningWidth = traits.Uniform(6, 0.6, 1.1);
        _eveningWatts = traits.Uniform(7, 300, 1000);
        _eveningHour = traits.Uniform(8, 18.0, 20.5);
        _eveningWidth = traits.Uniform(9, 1.2, 2.2);
        bool homeByDay = traits.Uniform(10) < 0.35;
        _dayWatts = homeByDay ? traits.Uniform(11, 120, 300) : traits.Uniform(11, 10, 80);
        _freeDayFactor = homeByDay ? traits.Uniform(12, 1.0, 1.5) : traits.Uniform(12, 2.0, 4.0);
        _freeDayDelay = traits.Uniform(13, 0.8, 2.2);
        _runsPerDay = traits.Uniform(14, 2, 7);
        _heatingWattsPerKelvin = traits.Uniform(15) < 0.25 ? traits.Uniform(16, 35, 90) : 0;
        _coolingWattsPerKelvin = traits.Uniform(17) < 0.2 ? traits.Uniform(18, 50, 120) : 0;
        _carWatts = traits.Uniform(19) < 0.2 ? traits.Uniform(20, 6600, 7400) : 0;
        _carHour = traits.Uniform(21, 18.5, 22.5);
        _panelWatts = traits.Uniform(22) < 0.25 ? traits.Uniform(23, 2500, 8000) : 0;
        Quantum = traits.Uniform(24) < 0.6 ? 1 : 10;

        // Half of the electric heatings are heat pumps, which need about a third.
        bool heatPump = _heatingWattsPerKelvin > 0 && traits.Uniform(25) < 0.5;
        _heatPumpWatts = heatPump ? traits.Uniform(26, 1500, 3000) : 0;
        _heatPumpPeriod = traits.Uniform(27, 25, 60) * 60;
        _heatingWattsPerKelvin /= heatPump ? 3 : 1;
    }

    public override double Quantum { get; }

    public override double Watts(in Moment at)
    {
        bool away = IsAway(at.Day);
        double activity = away ? 0.06 : Math.Max(0.2, 1 + (0.3 * _activityNoise.At(at.Middle)));
        double watts = _standby + Fridge(at) + (activity * Habits(at));
        watts += Runs(at, at.Day, at.FreeDay) + Runs(at, at.Day - 1, at.FreeDayBefore);
        double heating = _heatingWattsPerKelvin * Math.Max(0, 16 - at.TemperatureCelsius) * (away ? 0.5 : 1);
        watts += _heatPumpWatts > 0 ? HeatPump(at, heating) : heating;
        watts += away ? 0 : _coolingWattsPerKelvin * Math.Max(0, at.TemperatureCelsius - 23);
        if (_carWatts > 0)
        {
            watts += _carWatts * (Charging(at, at.Day, at.FreeDay) + Charging(at, at.Day - 1, at.FreeDayBefore));
        }

        watts *= 1 + (0.01 * _noise.Normal((long)(at.Start * 1000)));
        if (_panelWatts > 0 && at.Sun > 0)
        {
            watts -= _panelWatts * Photovoltaic(at, at.Clearness + (0.08 * _localClouds.At(at.Middle)));
        }

        return watts;
    }

    /// <summary>One holiday of 5 to 14 days in most quarters of a year.</summary>
    private bool IsAway(long day)
    {
        long slot = day / HolidaySlotDays;
        if (_holidays.Uniform(slot * 3) >= 0.55)
        {
            return false;
        }

        int length = _holidays.Integer((slot * 3) + 1, 5, 14);
        long first = (slot * HolidaySlotDays) + _holidays.Integer((slot * 3) + 2, 0, (int)HolidaySlotDays - length);
        return day >= first && day < first + length;
    }

    private double Fridge(in Moment at)
    {
        double share = 0;
        long last = (long)Math.Floor((at.Start + at.Seconds) / _fridgePeriod);
        for (long cycle = (long)Math.Floor(at.Start / _fridgePeriod); cycle <= last; cycle++)
        {
            double on = (cycle + (0.2 * _fridge.Uniform(cycle * 2))) * _fridgePeriod;
            double length = _fridgeDuty * _fridgePeriod * _fridge.Uniform((cycle * 2) + 1, 0.8, 1.2);
            share += at.Share(on, on + length);
        }

        return _fridgeWatts * share;
    }

    /// <summary>A compressor that runs at full power for the share of each cycle that covers the demand.</summary>
    private double HeatPump(in Moment at, double demandWatts)
    {
        double duty = Math.Min(1, demandWatts / _heatPumpWatts), share = 0;
        long last = (long)Math.Floor((at.Start + at.Seconds) / _heatPumpPeriod);
        for (long cycle = (long)Math.Floor(at.Start / _heatPumpPeriod); cycle <= last; cycle++)
        {
            double on = (cycle + ((1 - duty) * _heatPump.Uniform(cycle))) * _heatPumpPeriod;
            share += at.Share(on, on + (duty * _heatPumpPeriod));
        }

        return _heatPumpWatts * share;
    }

    private double Habits(in Moment at)
    {
        CounterRandom day = _days.Branch((ulong)at.Day);
        double morning = _morningWatts * (1 + (0.2 * day.Normal(0)))
            * Bell(at.Hour, _morningHour + (0.3 * day.Normal(1)) + (at.FreeDay ? _freeDayDelay : 0), _morningWidth);
        double evening = _eveningWatts * (1 + (0.2 * day.Normal(2))) * (1 + (0.2 * at.Winter))
            * Bell(at.Hour, _eveningHour + (0.35 * day.Normal(3)), _eveningWidth);
        double daytime = _dayWatts * (at.FreeDay ? _freeDayFactor : 1) * Plateau(at.Hour, 8.5, 17);
        return morning + evening + daytime;
    }

    /// <summary>Mean power of the appliance runs that began on a day: kettle, stove, washing machine, dryer.</summary>
    private double Runs(in Moment at, long day, bool free)
    {
        CounterRandom random = _runs.Branch((ulong)day);
        double expected = _runsPerDay * (free ? 1.3 : 1) * (IsAway(day) ? 0 : 1);
        int count = Math.Min(MostRunsPerDay, (int)(expected * random.Uniform(0, 0.5, 1.5)));
        double watts = 0;
        for (int i = 0; i < count; i++)
        {
            long draw = 1 + (i * 4);
            double when = random.Uniform(draw);
            double hour = when < 0.25 ? 7.5 + (0.9 * random.Normal(draw + 1)) + (free ? _freeDayDelay : 0)
                : when < 0.7 ? 18.8 + (1.6 * random.Normal(draw + 1))
                : random.Uniform(draw + 1, 8, 22.5);
            (double power, double minutes) = random.Integer(draw + 2, 0, 3) switch
            {
                0 => (2000, 4),
                1 => (1600, 30),
                2 => (550, 100),
                _ => (2200, 55),
            };
            double start = (day * Region.SecondsPerDay) + (hour * 3600);
            watts += power * at.Share(start, start + (minutes * 60 * random.Uniform(draw + 3, 0.6, 1.4)));
        }

        return watts;
    }

    private double Charging(in Moment at, long day, bool free)
    {
        CounterRandom random = _car.Branch((ulong)day);
        if (random.Uniform(0) >= (free ? 0.3 : 0.55) || IsAway(day))
        {
            return 0;
        }

        double start = (day * Region.SecondsPerDay) + ((_carHour + (0.8 * random.Normal(1))) * 3600);
        return at.Share(start, start + (random.Uniform(2, 0.8, 4.5) * 3600));
    }
}
