using System.Text;

namespace StreamLstm.Connectors.Codecs;

/// <summary>Multiples of the electrical units, brought to the unit itself; every other unit passes through.</summary>
internal sealed class UnitConversion
{
    private static readonly (string Base, string Prefixes)[] s_bases =
    [
        ("W", "mkMGT"), ("Wh", "mkMGT"), ("V", "nµumkM"), ("A", "nµumkM"), ("VA", "kMG"), ("VAh", "kMG"), ("var", "kMG"), ("varh", "kMG"),
    ];

    private static readonly UnitConversion[] s_all = All();

    private readonly byte[] _utf8;

    // Two exact numbers instead of one factor: 0.145 / 1000 is the double nearest to 0.000145, 0.145 * 0.001 need not be.
    private readonly double _multiplier;
    private readonly double _divisor;

    private UnitConversion(string written, string unit, double multiplier, double divisor)
    {
        _utf8 = Encoding.UTF8.GetBytes(written);
        Unit = unit;
        _multiplier = multiplier;
        _divisor = divisor;
    }

    /// <summary>What converted values are in.</summary>
    public string Unit { get; }

    /// <summary>Never null: an unknown unit is its own.</summary>
    public static UnitConversion Of(string written) => Find(Encoding.UTF8.GetBytes(written)) ?? new(written, written, 1, 1);

    /// <summary>Null if the unit passes through.</summary>
    public static UnitConversion? Find(ReadOnlySpan<byte> written)
    {
        foreach (var unit in s_all)
        {
            if (written.SequenceEqual(unit._utf8))
                return unit;
        }

        return null;
    }

    public double Convert(double value) => value * _multiplier / _divisor;

    public bool Is(ReadOnlySpan<byte> written) => written.SequenceEqual(_utf8);

    private static UnitConversion[] All()
    {
        var all = new List<UnitConversion>();
        foreach (var (unit, prefixes) in s_bases)
        {
            all.Add(new(unit, unit, 1, 1));
            foreach (var prefix in prefixes)
                all.Add(Prefixed(prefix, unit));
        }

        // Shelly of the first generation counts watt-minutes; VAr is how IEC writes var.
        all.Add(new("Wmin", "Wh", 1, 60));
        all.Add(new("VAr", "var", 1, 1));
        all.Add(new("kVAr", "var", 1000, 1));
        all.Add(new("VArh", "varh", 1, 1));
        all.Add(new("kVArh", "varh", 1000, 1));
        return [.. all];
    }

    private static UnitConversion Prefixed(char prefix, string unit) => prefix switch
    {
        'n' => new(prefix + unit, unit, 1, 1e9),
        'µ' or 'u' => new(prefix + unit, unit, 1, 1e6),
        'm' => new(prefix + unit, unit, 1, 1e3),
        'k' => new(prefix + unit, unit, 1e3, 1),
        'M' => new(prefix + unit, unit, 1e6, 1),
        'G' => new(prefix + unit, unit, 1e9, 1),
        _ => new(prefix + unit, unit, 1e12, 1),
    };
}
