using StreamLstm.Runtime.Alignment;

namespace StreamLstm.Runtime.Tests.Alignment;

/// <summary>A frame with its values as bits, so that equality is bitwise.</summary>
internal sealed record RecordedFrame(long Frame, FrameKind Kind, long Length, string Bits, FrameFlags Flags = FrameFlags.None)
{
    public double Value() => BitConverter.Int64BitsToDouble(Convert.ToInt64(Bits.Split(' ')[0], 16));
}

internal sealed class FrameRecorder : IFrameReceiver
{
    public List<RecordedFrame> Frames { get; } = [];

    public void OnFrame(long frame, FrameKind kind, long length, ReadOnlySpan<double> values, FrameFlags flags) =>
        Frames.Add(new RecordedFrame(frame, kind, length, string.Join(' ', values.ToArray().Select(v => BitConverter.DoubleToInt64Bits(v).ToString("x16", System.Globalization.CultureInfo.InvariantCulture))), flags));

    /// <summary>Kinds and lengths in short: <c>O</c> observed, <c>I</c> imputed, <c>S</c> stale, <c>B7</c> a bridge of seven.</summary>
    public string Pattern => string.Concat(Frames.Select(f => f.Kind == FrameKind.Bridge ? $"B{f.Length}" : f.Kind.ToString()[..1]));
}
