namespace StreamLstm.Runtime.Alignment;

/// <summary>What a stream's alignment keeps of one channel.</summary>
internal struct LastReading
{
    /// <summary>Event time of the last reading before the interval to be closed next, or long.MinValue.</summary>
    public long Time;

    public double Value;

    /// <summary>What a register has counted that no closed interval contains: gaps, and readings that came too late.</summary>
    public double Unplaced;

    /// <summary>The latest value of a frame, for profiles that fill gaps with it; NaN = none yet.</summary>
    public double Framed;

    public static LastReading None { get; } = new() { Time = long.MinValue, Value = double.NaN, Framed = double.NaN };
}
