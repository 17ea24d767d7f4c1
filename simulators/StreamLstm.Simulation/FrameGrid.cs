namespace StreamLstm.Simulation;

/// <summary>The regular times of a generator's frames.</summary>
internal readonly struct FrameGrid
{
    private readonly long _startTicks, _ticksPerFrame;
    private readonly double _exactTicksPerFrame;

    public FrameGrid(DateTimeOffset start, TimeSpan interval) =>
        (_startTicks, _ticksPerFrame, _exactTicksPerFrame) = (start.UtcTicks, interval.Ticks, interval.Ticks);

    /// <param name="rate">Frames per second; its period need not be a whole number of ticks.</param>
    public FrameGrid(DateTimeOffset start, double rate)
    {
        (_startTicks, _exactTicksPerFrame) = (start.UtcTicks, TimeSpan.TicksPerSecond / rate);
        _ticksPerFrame = _exactTicksPerFrame == Math.Floor(_exactTicksPerFrame) ? (long)_exactTicksPerFrame : 0;
    }

    public double FramesPerDay => TimeSpan.TicksPerDay / _exactTicksPerFrame;

    public DateTimeOffset Time(long frame) => new(_startTicks + Ticks(frame), TimeSpan.Zero);

    public long AtOrAfter(DateTimeOffset time)
    {
        long ticks = time.UtcTicks - _startTicks;
        long frame = (long)(ticks / _exactTicksPerFrame) - 1;
        while (Ticks(frame) < ticks)
        {
            frame++;
        }

        return frame;
    }

    private long Ticks(long frame) => _ticksPerFrame > 0 ? frame * _ticksPerFrame : (long)Math.Round(frame * _exactTicksPerFrame);
}
