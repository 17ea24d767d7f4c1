using StreamLstm.Core.Forecasting;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Scoring;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Sharding;

/// <summary>
/// What tier solo adds to a stream: for every channel a <see cref="SoloScorer"/>, whose forecasters are networks of the channel's own, trained in the
/// order of its frames. Part of the stream's snapshots; between them frames repeat it through the same code.
/// </summary>
internal sealed class SoloState
{
    /// <summary>Observed frames before scores count: a range means little while it is narrow (as long as the Numenta benchmark waits at most).</summary>
    public const int QuietFrames = 750;

    private const int BlockWords = 256;

    private readonly double[][] _numbers;
    private readonly float[][] _words;
    private readonly int[] _observed;
    private readonly ulong _seed;

    /// <param name="channels">D.</param>
    /// <param name="seed">Of the weights and of what is trained on; a function of the stream's key.</param>
    public SoloState(int channels, ulong seed)
    {
        _seed = seed;
        _numbers = [.. Enumerable.Range(0, channels).Select(_ => new double[SoloScorer.NumbersLength])];
        _words = [.. Enumerable.Range(0, channels).Select(_ => new float[SoloScorer.WordsLength])];
        _observed = new int[channels];
        Initialise();
    }

    /// <summary>Bytes per channel.</summary>
    public static int ChannelBytes => (SoloScorer.NumbersLength * sizeof(double)) + (SoloScorer.WordsLength * sizeof(float)) + sizeof(int);

    public void Initialise()
    {
        Array.Clear(_observed);
        for (var c = 0; c < _numbers.Length; c++)
            SoloScorer.Initialise(_numbers[c], _words[c], new CounterRandom(_seed, stream: 29).Bits((ulong)c));
    }

    /// <summary>Scores an observed value and learns from it: the channel's score is the larger of the one it has and S/S*.</summary>
    public FrameScore Update(SoloWorkspace workspace, int channel, long timeMicros, double value, in FrameScore score, in AlarmRule rule)
    {
        var parts = SoloScorer.Update(workspace, _numbers[channel], _words[channel], timeMicros, value);
        if (++_observed[channel] <= QuietFrames || !score.HasForecast)
            return score;
        var solo = (float)(parts.Score / CollectiveScore.Threshold);
        var side = value >= score.Expected ? 1 : -1;
        var (kind, direction) = parts.Score == parts.Value ? (side > 0 ? AnomalyKind.Spike : AnomalyKind.Dip, side)
            : parts.Score == parts.Seasonal ? (AnomalyKind.LevelShift, side)
            : (AnomalyKind.Variance, 0);
        if (!rule.Admits(direction) || (direction != 0 && Math.Abs(value - score.Expected) < rule.Least(score.Expected)))
            solo = Math.Min(solo, 1);
        if (solo <= score.Score)
            return score with { Solo = solo };
        return score with { Solo = solo, Score = solo, Kind = solo > 1 ? kind : AnomalyKind.None, Direction = solo > 1 ? direction : score.Direction };
    }

    /// <summary>Per channel <c>[observed i32][numbers f64…]</c>, then the words in blocks of 256: <c>[0 u8]</c> = all zero, else <c>[1 u8][f32…]</c>. What a young stream hasn't filled costs next to nothing.</summary>
    public void Write(ByteWriter w)
    {
        for (var c = 0; c < _numbers.Length; c++)
        {
            w.Int32(_observed[c]);
            foreach (var number in _numbers[c])
                w.Double(number);
            for (var at = 0; at < _words[c].Length; at += BlockWords)
            {
                var block = _words[c].AsSpan(at, Math.Min(BlockWords, _words[c].Length - at));
                var isZero = System.Runtime.InteropServices.MemoryMarshal.Cast<float, int>(block).IndexOfAnyExcept(0) < 0;
                w.Byte(isZero ? (byte)0 : (byte)1);
                if (!isZero)
                    w.Floats(block);
            }
        }
    }

    public void Read(ref ByteReader r)
    {
        for (var c = 0; c < _numbers.Length; c++)
        {
            _observed[c] = r.Int32();
            foreach (ref var number in _numbers[c].AsSpan())
                number = r.Double();
            for (var at = 0; at < _words[c].Length; at += BlockWords)
            {
                var block = _words[c].AsSpan(at, Math.Min(BlockWords, _words[c].Length - at));
                if (r.Byte() == 0)
                    block.Clear();
                else
                    r.Floats(block);
            }
        }
    }
}
