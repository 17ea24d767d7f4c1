using StreamLstm.Core.Forecasting;

namespace StreamLstm.Core.Signals;

/// <summary>One beat or window of a signal and what is to be thought of it. NaN = not known.</summary>
public readonly record struct SignalFinding
{
    /// <summary>Its place among the input samples; what isn't a beat lies between two samples, so that it shares its time with no beat.</summary>
    public double Sample { get; init; }

    /// <summary>Of a beat: seconds since the one before. Of a window: share of the alpha band in the power.</summary>
    public double Value { get; init; }

    public double Expected { get; init; }

    /// <summary>Bounds beyond which the value alone would be an anomaly.</summary>
    public double Lower { get; init; }

    public double Upper { get; init; }

    /// <summary>1 = threshold; 0 while there is no basis.</summary>
    public float Score { get; init; }

    public AnomalyKind Kind { get; init; }

    public int Direction { get; init; }

    /// <summary>Nothing is known yet of what is usual.</summary>
    public bool IsCold { get; init; }

    /// <summary>Channels without a signal that had one.</summary>
    public int Off { get; init; }
}

/// <summary>One channel's part in a finding. NaN = not known.</summary>
public readonly record struct ChannelFinding
{
    /// <summary>Of a beat's lead: correlation with its usual form. Of a window's electrode: power in dB.</summary>
    public double Value { get; init; }

    public double Expected { get; init; }

    public double Lower { get; init; }

    public double Upper { get; init; }

    /// <summary>Of the score, all channels' together 1.</summary>
    public float Share { get; init; }

    public bool IsOff { get; init; }
}

/// <summary>Takes findings in the order in which they are made.</summary>
public interface ISignalReceiver
{
    /// <param name="finding">The beat or window.</param>
    /// <param name="channels">[channels]; only valid during the call.</param>
    void OnFinding(in SignalFinding finding, ReadOnlySpan<ChannelFinding> channels);
}

/// <summary>
/// Reads a signal of several channels at a constant rate and gives a finding per beat or window. One pass; what it finds is a function of the
/// samples; its whole state lies in four arrays of constant size, so that a copy of them goes on with the same bits.
/// </summary>
public abstract class SignalMonitor
{
    public abstract Span<double> Numbers { get; }

    public abstract Span<double> MoreNumbers { get; }

    public abstract Span<float> Words { get; }

    public abstract Span<float> MoreWords { get; }

    /// <summary>Samples taken.</summary>
    public abstract long Samples { get; }

    /// <param name="values">[channels] of one instant; NaN = missing.</param>
    public abstract void Push(ReadOnlySpan<float> values, ISignalReceiver receiver);

    /// <summary>Time has passed of which nothing is known.</summary>
    public abstract void Break();

    /// <summary>Forgets everything.</summary>
    public abstract void Reset();
}
