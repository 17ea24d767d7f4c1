using StreamLstm.Core.Learning;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Scoring;

/// <summary>
/// An LSTM that belongs to one stream alone and learns from it while forecasting 1, 6 and 24 steps ahead: one Adam step every
/// fourth sample on the latest 24 steps and 24 random ones of the last 4,096, each continued from the state stored with them.
/// </summary>
/// <remarks>
/// All state lies in two spans of the caller; the same samples and seed give the same bits. Forecasts are of the change since
/// now, in units of its usual size at that horizon.
/// </remarks>
internal static class SoloForecaster
{
    public const int Horizons = 3;
    public const int LongestHorizon = 24;
    public const int SequenceSteps = 24;

    /// <summary>Steps that only bring a training sequence's state up.</summary>
    public const int BurnIn = 4;

    private const int Inputs = 7;
    private const int Hidden = 16;
    private const int RingSlots = 4096;
    private const int TrainingInterval = 4;
    private const float LearningRate = 3e-3f;
    private const float GateDeviation = 0.5f;
    private const float HeadDeviation = 0.02f;

    // More weight for the step that two of the five scores rest on.
    private const float OneStepLossWeight = 1.5f;
    private const float AheadLossWeight = 0.75f;

    private const double MomentsRate = 1.0 / 1000;
    private const double TrendRate = 1.0 / 48;
    private const double Clip = 5;

    // Until a change's size is known from this many samples it is taken as it comes, later at most 6 deviations of it.
    private const int TrustedChanges = 50;
    private const double ChangeClip = 6;

    private const double FirstIntervalMicros = 300e6;
    private const double WeekMicros = 7.0 * TimeOfDayBaseline.DayMicros;

    // Numbers: scalars, moments, then a ring of the last 32 samples (value, three scales, three forecasts).
    private const int CountOffset = 0;
    private const int TimeOffset = 1;
    private const int TrainingStepsOffset = 2;
    private const int SeedOffset = 3;
    private const int LevelOffset = 5;
    private const int ChangeOffset = LevelOffset + RunningMoments.StateLength;
    private const int TrendOffset = ChangeOffset + (Horizons * RunningMoments.StateLength);
    private const int PendingOffset = TrendOffset + RunningMoments.StateLength;
    private const int PendingSlots = 32;
    private const int PendingWidth = 1 + (2 * Horizons);
    private const int PendingScale = 1;
    private const int PendingForecast = 1 + Horizons;

    // Words: weights and moments, h, c, then a ring of training slots (inputs, targets, h and c before the step).
    private const int SlotTargets = Inputs;
    private const int SlotHidden = SlotTargets + Horizons;
    private const int SlotCell = SlotHidden + Hidden;
    private const int SlotWidth = SlotCell + Hidden;

    public static LstmForecasterShape Shape => new(Inputs, Hidden, Horizons);

    public static int NumbersLength => PendingOffset + (PendingSlots * PendingWidth);

    public static int WordsLength => RingOffset + (RingSlots * SlotWidth);

    private static int HiddenOffset => BpttTrainer.SavedLength(Shape);

    private static int CellOffset => HiddenOffset + Hidden;

    private static int RingOffset => CellOffset + Hidden;

    private static ReadOnlySpan<int> HorizonSteps => [1, 6, LongestHorizon];

    public static void Initialise(Span<double> numbers, Span<float> words, ulong seed)
    {
        numbers[..NumbersLength].Clear();
        words[..WordsLength].Clear();
        numbers[SeedOffset] = (uint)seed;
        numbers[SeedOffset + 1] = (uint)(seed >> 32);
        InitialiseWeights(words[..Shape.ParameterCount], seed);
    }

    /// <summary>
    /// Small weights, no bias but the forget gate's, and no direct weights, which are not learnt either: a network that may lean on its
    /// state alone forecasts some streams less well, but its errors tell more of what is unusual.
    /// </summary>
    private static void InitialiseWeights(Span<float> weights, ulong seed)
    {
        weights.Clear();
        Fill(weights[..Shape.WeightHhOffset], new CounterRandom(seed, 0), GateDeviation / MathF.Sqrt(Inputs));
        Fill(weights[Shape.WeightHhOffset..Shape.BiasOffset], new CounterRandom(seed, 1), GateDeviation / MathF.Sqrt(Hidden));
        weights.Slice(Shape.BiasOffset + Hidden, Hidden).Fill(1f);
        Fill(weights[Shape.HeadWeightOffset..Shape.SkipWeightOffset], new CounterRandom(seed, 2), HeadDeviation);

        // Uniform within ±√3 deviations.
        static void Fill(Span<float> target, CounterRandom random, float deviation)
        {
            for (var i = 0; i < target.Length; i++)
                target[i] = deviation * MathF.Sqrt(3f) * ((2f * random.Unit((ulong)i)) - 1f);
        }
    }

    /// <summary>Running mean of the values so far; 0 before the first.</summary>
    public static double Level(ReadOnlySpan<double> numbers) => numbers[LevelOffset];

    /// <summary>Compares x with the forecasts made for it, learns, and forecasts on.</summary>
    /// <param name="workspace">Scratch.</param>
    /// <param name="numbers">[<see cref="NumbersLength"/>].</param>
    /// <param name="words">[<see cref="WordsLength"/>].</param>
    /// <param name="timeMicros">Microseconds since 1970, UTC.</param>
    /// <param name="x">Finite, of a magnitude whose square is finite too.</param>
    /// <param name="errors">[3], by horizon: x less its forecast, in x's units; less the value then while there was no forecast, 0 without any.</param>
    public static void Step(SoloWorkspace workspace, Span<double> numbers, Span<float> words, long timeMicros, double x, Span<double> errors)
    {
        var t = (long)numbers[CountOffset];
        Judge(numbers, words, t, x, errors);

        var before = t > 0 ? Pending(numbers, t - 1)[0] : x;
        var interval = t > 0 ? timeMicros - numbers[TimeOffset] : FirstIntervalMicros;
        RunningMoments.Update(numbers.Slice(LevelOffset, RunningMoments.StateLength), x, MomentsRate);
        RunningMoments.Update(numbers.Slice(TrendOffset, RunningMoments.StateLength), x, TrendRate);
        var pending = Pending(numbers, t);
        pending[0] = x;
        var mean = numbers[LevelOffset];
        var scale = Scale(numbers.Slice(LevelOffset, RunningMoments.StateLength), mean);
        for (var k = 0; k < Horizons; k++)
            pending[PendingScale + k] = Scale(Change(numbers, k), mean);

        var slot = Slot(words, t);
        slot[0] = Clipped((x - mean) / scale);
        slot[1] = Clipped((x - before) / pending[PendingScale]);
        slot[2] = Clipped((x - numbers[TrendOffset]) / scale);

        // Of the sample to come, if it comes as the last one did.
        (slot[3], slot[4]) = Elementary.SinCosTurns(Turns(timeMicros + interval, TimeOfDayBaseline.DayMicros));
        (slot[5], slot[6]) = Elementary.SinCosTurns(Turns(timeMicros + interval, WeekMicros));
        slot.Slice(SlotTargets, Horizons).Clear();
        var hidden = words.Slice(HiddenOffset, Hidden);
        var cell = words.Slice(CellOffset, Hidden);
        hidden.CopyTo(slot[SlotHidden..]);
        cell.CopyTo(slot[SlotCell..]);

        if (Forecasts(t) && t % TrainingInterval == 0)
            Train(workspace, numbers, words, t);

        Span<float> forecasts = stackalloc float[Horizons];
        workspace.Kernel.Packed.Pack(words[..Shape.ParameterCount]);
        VectorKernel.Step(workspace.Kernel, slot[..Inputs], hidden, cell, forecasts, batch: 1);
        for (var k = 0; k < Horizons; k++)
            pending[PendingForecast + k] = Moves(Change(numbers, k), mean) ? forecasts[k] * pending[PendingScale + k] : 0;
        numbers[TimeOffset] = timeMicros;
        numbers[CountOffset] = t + 1;
    }

    /// <summary>Whether the sample t had a forecast worth the name: not before the first training.</summary>
    private static bool Forecasts(long t) => t > SequenceSteps + 2;

    private static void Judge(Span<double> numbers, Span<float> words, long t, double x, Span<double> errors)
    {
        for (var k = 0; k < Horizons; k++)
        {
            var origin = t - HorizonSteps[k];
            errors[k] = 0;
            if (origin < 0)
                continue;
            var pending = Pending(numbers, origin);
            var change = x - pending[0];
            errors[k] = Forecasts(origin) ? change - pending[PendingForecast + k] : change;
            Slot(words, origin)[SlotTargets + k] = Clipped(change / pending[PendingScale + k]);

            var usual = Change(numbers, k);
            var limit = usual[2] > TrustedChanges ? ChangeClip * RunningMoments.Deviation(usual) : double.PositiveInfinity;
            RunningMoments.Update(usual, Math.Clamp(change, -limit, limit), MomentsRate);
        }
    }

    private static void Train(SoloWorkspace workspace, Span<double> numbers, Span<float> words, long t)
    {
        var batch = workspace.Batch;
        var seed = (ulong)numbers[SeedOffset] | ((ulong)numbers[SeedOffset + 1] << 32);
        var latest = t - SequenceSteps;
        var past = (int)Math.Min(t, RingSlots - 1) - SequenceSteps;
        Fill(batch, words, sequence: 0, latest, t);
        Fill(batch, words, sequence: 1, latest - new CounterRandom(seed, stream: 16).Below(past, (ulong)t), t);

        var saved = words[..BpttTrainer.SavedLength(Shape)];
        workspace.Trainer.RestoreFrom(saved, (long)numbers[TrainingStepsOffset]);
        workspace.Trainer.Step(batch, LearningRate);
        workspace.Trainer.SaveTo(saved);
        numbers[TrainingStepsOffset] = workspace.Trainer.StepCount;
    }

    private static void Fill(TrainingBatch batch, Span<float> words, int sequence, long start, long now)
    {
        var first = Slot(words, start);
        first.Slice(SlotHidden, Hidden).CopyTo(batch.InitialHidden.Slice(sequence * Hidden, Hidden));
        first.Slice(SlotCell, Hidden).CopyTo(batch.InitialCell.Slice(sequence * Hidden, Hidden));
        for (var step = 0; step < SequenceSteps; step++)
        {
            var slot = Slot(words, start + step);
            slot[..Inputs].CopyTo(batch.InputsAt(step, sequence));
            slot.Slice(SlotTargets, Horizons).CopyTo(batch.TargetsAt(step, sequence));
            var mask = batch.MaskAt(step, sequence);
            for (var k = 0; k < Horizons; k++)
                mask[k] = start + step + HorizonSteps[k] > now ? 0 : k == 0 ? OneStepLossWeight : AheadLossWeight;
        }
    }

    /// <summary>The deviation, or where a stream has stood still something small beside its mean.</summary>
    private static double Scale(ReadOnlySpan<double> moments, double mean) =>
        Moves(moments, mean) ? RunningMoments.Deviation(moments) : Math.Max(1e-9, 1e-6 * Math.Abs(mean));

    /// <summary>Whether there is any deviation beyond rounding. What stands still is forecast to do so: a network's guess would only be noise.</summary>
    private static bool Moves(ReadOnlySpan<double> moments, double mean) =>
        RunningMoments.Deviation(moments) > 1e-9 * (Math.Abs(mean) + 1e-12);

    private static float Clipped(double x) => (float)Math.Clamp(x, -Clip, Clip);

    private static float Turns(double timeMicros, double period) => (float)((timeMicros % period) / period);

    private static Span<double> Change(Span<double> numbers, int horizon) =>
        numbers.Slice(ChangeOffset + (horizon * RunningMoments.StateLength), RunningMoments.StateLength);

    private static Span<double> Pending(Span<double> numbers, long t) =>
        numbers.Slice(PendingOffset + ((int)(t % PendingSlots) * PendingWidth), PendingWidth);

    private static Span<float> Slot(Span<float> words, long t) =>
        words.Slice(RingOffset + ((int)(t % RingSlots) * SlotWidth), SlotWidth);
}
