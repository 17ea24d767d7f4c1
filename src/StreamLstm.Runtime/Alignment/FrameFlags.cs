namespace StreamLstm.Runtime.Alignment;

/// <summary>What a reader of a frame's value should know about how it came about.</summary>
[Flags]
internal enum FrameFlags : ushort
{
    None = 0,

    /// <summary>A register started again from zero.</summary>
    Reset = 1,

    /// <summary>A register passed its largest number.</summary>
    Rollover = 2,

    /// <summary>A register fell a little: the reading was ignored.</summary>
    Dip = 4,

    /// <summary>A register rose faster than is possible (or below zero): what it counted belongs to no interval.</summary>
    Implausible = 8,

    /// <summary>Two readings of a register lie too far apart to share out what it counted between them.</summary>
    Gap = 16,

    /// <summary>Readings cover only part of the interval, at least half of it.</summary>
    Partial = 32,

    /// <summary>No reading in the interval: its value follows from the readings around it, or the one before still holds.</summary>
    Held = 64,

    /// <summary>No reading: filled as the profile says.</summary>
    Filled = 128,

    /// <summary>A reading lay outside the valid range.</summary>
    SensorFault = 256,
}
