using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text.Json.Serialization;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Kernels;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Benchmarks;

/// <summary>
/// The recurrent kernels against the machine's own peak. All rows and the peak take turns in short bursts, round after round,
/// each row warming its own caches first, and a row's percentage is the median over rounds of its ratio to the peak of the same round: a slower clock or a busy
/// neighbour slows both.
/// </summary>
internal static class KernelBenchmark
{
    /// <summary>Streams whose state lies in random slots.</summary>
    private const int Streams = 10_000;

    private const int TrainingSteps = 64;

    private static readonly Dictionary<StackedShape, StateRecords> Arenas = [];

    private static readonly (int Inputs, int Hidden, int Layers)[] Shapes = [(4, 32, 1), (8, 64, 2), (16, 128, 2)];

    public static KernelReport Run(string filter, double seconds)
    {
        var rows = new List<Row>();
        foreach (var width in new[] { VectorWidth.Bits512, VectorWidth.Bits256, VectorWidth.Bits128 })
        {
            if (width > KernelWidth.Widest)
            {
                continue;
            }

            foreach (var cell in new[] { CellKind.Lstm, CellKind.Gru })
            {
                foreach (var (inputs, hidden, layers) in Shapes)
                {
                    foreach (var batch in new[] { 1, 64, 512 })
                    {
                        var shape = new StackedShape(inputs, hidden, layers, cell);
                        rows.Add(new InferenceRow(shape, width, batch));
                        rows.Add(new TrainingRow(shape, width, batch));
                    }
                }
            }
        }

        rows.RemoveAll(row => !row.Name.Contains(filter, StringComparison.Ordinal));
        foreach (var row in rows)
        {
            row.Prepare();
        }

        var peaks = new List<double>();
        var clock = Stopwatch.StartNew();
        do
        {
            foreach (var row in rows)
            {
                peaks.Add(row.Measure());
            }
        }
        while (clock.Elapsed.TotalSeconds < seconds);
        return new KernelReport(Machine.Processor, Median(peaks) / 1e9, [.. rows.Select(row => row.Result())]);
    }

    /// <summary>One arena per shape, whatever the width and batch.</summary>
    private static StateRecords Arena(StackedShape shape)
    {
        if (!Arenas.TryGetValue(shape, out var records))
        {
            records = new StateRecords(shape, Streams);
            Arenas[shape] = records;
        }

        return records;
    }

    private static double Median(List<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    private abstract class Row(string kind, StackedShape shape, VectorWidth width, int batch, int steps)
    {
        protected StackedShape Shape => shape;

        protected int Batch => batch;

        private readonly List<double> _rates = [];
        private readonly List<double> _ratios = [];
        private long _bytes;
        private long _calls;

        public string Name { get; } =
            FormattableString.Invariant($"{kind} {shape.Cell} {Bits(width)} I={shape.Inputs} H={shape.Hidden} L={shape.Layers} B={batch} ").ToLowerInvariant();

        /// <summary>Operations of one stream-step (inference) or one step of one sequence (training).</summary>
        protected abstract long Flops { get; }

        /// <summary>Calls that take about three milliseconds.</summary>
        protected abstract int Calls { get; }

        public abstract void Prepare();

        /// <summary>
        /// Brings back into the caches what other rows have pushed out: in a service this row would run all the time.
        /// </summary>
        protected abstract void WarmUp();

        /// <returns>The peak measured beside it.</returns>
        public double Measure()
        {
            var calls = Calls;
            WarmUp();
            var peak = Peak.Measure();
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            var start = Stopwatch.GetTimestamp();
            for (var i = 0; i < calls; i++)
            {
                Call();
            }

            var elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
            _bytes += GC.GetAllocatedBytesForCurrentThread() - allocated;
            _calls += calls;
            var rate = (double)calls * batch * steps / elapsed;
            _rates.Add(rate);
            peak = (peak + Peak.Measure()) / 2;
            _ratios.Add(rate * Flops / peak);
            return peak;
        }

        public KernelResult Result() => new(
            kind, shape.Cell == CellKind.Lstm ? "lstm" : "gru", Bits(width), shape.Inputs, shape.Hidden, shape.Layers, batch, steps,
            Median(_rates), Median(_rates) * Flops / 1e9, 100 * Median(_ratios), (double)_bytes / (_calls * batch * steps));

        protected abstract void Call();

        private static int Bits(VectorWidth width) => 128 << (int)width;
    }

    private sealed class InferenceRow(StackedShape shape, VectorWidth width, int batch) : Row("infer", shape, width, batch, 1)
    {
        private readonly StackedKernel _kernel = new(shape, width);
        private readonly StackedWeights _weights = StackedWeights.Create(shape, 1);
        private readonly StateRecords _records = Arena(shape);
        private readonly int[] _slots = new int[Streams];
        private readonly float[] _inputs = new float[batch * shape.Inputs];
        private int _position;

        protected override long Flops => Shape.StepFlops;

        protected override int Calls => Math.Max(1, (int)(3e-3 * 1.5e11 / Shape.StepFlops / Batch));

        public override void Prepare()
        {
            var random = new CounterRandom(7);
            for (var i = 0; i < Streams; i++)
            {
                _slots[i] = i;
            }

            for (var i = Streams - 1; i > 0; i--)
            {
                var other = random.Below(i + 1, (ulong)i);
                (_slots[i], _slots[other]) = (_slots[other], _slots[i]);
            }

            for (var i = 0; i < _inputs.Length; i++)
            {
                _inputs[i] = (2 * random.Unit((ulong)(Streams + i))) - 1;
            }

            WarmUp();
        }

        protected override void WarmUp()
        {
            for (var i = 0; i < (Batch == 1 ? Streams / 4 : Streams); i += Batch)
            {
                Call();
            }
        }

        protected override void Call()
        {
            if (_position + Batch > Streams)
            {
                _position = 0;
            }

            _kernel.Step(_weights, _records, _slots.AsSpan(_position, Batch), _inputs);
            _position += Batch;
        }
    }

    /// <summary>
    /// Forward, loss, backward and one Adam step on B sequences in blocks of <see cref="StackedTrainer.MaxBlock"/>, states carried on.
    /// Loss: half the squared difference of h of the last layer from a target, at every step.
    /// </summary>
    private sealed class TrainingRow : Row, IHiddenLoss
    {
        private readonly StackedTrainer _trainer;
        private readonly int _blocks;
        private readonly float[] _targets;

        public TrainingRow(StackedShape shape, VectorWidth width, int batch)
            : base("train", shape, width, batch, TrainingSteps)
        {
            var block = Math.Min(batch, StackedTrainer.MaxBlock);
            _blocks = batch / block;
            _trainer = new StackedTrainer(StackedWeights.Create(shape, 1), TrainingSteps, block, width);
            _targets = new float[block * shape.Hidden];
        }

        protected override long Flops => Shape.TrainingFlops;

        protected override int Calls => Math.Max(1, (int)(3e-3 * 1.5e11 / Shape.TrainingFlops / Batch / TrainingSteps));

        public override void Prepare()
        {
            var random = new CounterRandom(9);
            for (var t = 0; t < TrainingSteps; t++)
            {
                for (var b = 0; b < _trainer.Batch; b++)
                {
                    var x = _trainer.Inputs(t, b);
                    for (var i = 0; i < x.Length; i++)
                    {
                        x[i] = (2 * random.Unit((ulong)((((t * 64) + b) * 64) + i))) - 1;
                    }
                }
            }

            for (var i = 0; i < _targets.Length; i++)
            {
                _targets[i] = 0.1f * random.Unit((ulong)i);
            }

            Call();
        }

        protected override void WarmUp()
        {
            _trainer.Forward();
            _trainer.Backward(this);
            _trainer.Update(1e-4f);
        }

        protected override void Call()
        {
            for (var block = 0; block < _blocks; block++)
            {
                _trainer.Forward();
                _trainer.Backward(this);
                _trainer.CarryState();
            }

            _trainer.Update(1e-4f, 1f / (Batch * TrainingSteps));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Gradient(int step, ReadOnlySpan<float> hidden, Span<float> gradient)
        {
            ref var from = ref MemoryMarshal.GetReference(hidden);
            ref var to = ref MemoryMarshal.GetReference(gradient);
            ref var target = ref MemoryMarshal.GetReference(_targets.AsSpan());
            var units = Shape.Hidden;
            for (var b = 0; b < _trainer.Batch; b++)
            {
                for (var i = 0; i < units; i += 8)
                {
                    (Vector256.LoadUnsafe(ref from, (nuint)i) - Vector256.LoadUnsafe(ref target, (nuint)i)).StoreUnsafe(ref to, (nuint)i);
                }

                from = ref Unsafe.Add(ref from, _trainer.HiddenPitch);
                to = ref Unsafe.Add(ref to, _trainer.HiddenGradientPitch);
                target = ref Unsafe.Add(ref target, units);
            }
        }
    }
}

internal sealed record KernelResult(
    string Kind, string Cell, int Width,
    [property: JsonPropertyName("I")] int I,
    [property: JsonPropertyName("H")] int H,
    [property: JsonPropertyName("L")] int L,
    [property: JsonPropertyName("B")] int B,
    [property: JsonPropertyName("T")] int T,
    double StepsPerS, double GflopPerS, double PercentOfPeak, double BytesPerStep);

internal sealed record KernelReport(string Cpu, double PeakGflops, IReadOnlyList<KernelResult> Rows);
