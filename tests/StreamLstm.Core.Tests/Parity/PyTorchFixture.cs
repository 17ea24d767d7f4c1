using System.Runtime.InteropServices;
using StreamLstm.Core.Learning;
using StreamLstm.Core.Recurrent;

namespace StreamLstm.Core.Tests.Parity;

/// <summary>One file written by Fixtures/generate.py, which documents the layout.</summary>
internal sealed class PyTorchFixture
{
    private readonly float[] _values;
    private int _position;

    public PyTorchFixture(string name)
    {
        var bytes = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Fixtures", name + ".bin"));
        var header = MemoryMarshal.Cast<byte, int>(bytes.AsSpan(0, 28)).ToArray();
        _values = MemoryMarshal.Cast<byte, float>(bytes.AsSpan(28)).ToArray();
        Shape = new LstmForecasterShape(header[0], header[1], header[2]);
        (Steps, Batch, BurnIn) = (header[3], header[4], header[5]);
        var parameters = Shape.ParameterCount;
        var outputs = Steps * Batch * Shape.Outputs;
        var state = Batch * Shape.Hidden;
        Weights = new LstmForecasterWeights(Shape, Next(parameters));
        (Inputs, InitialHidden, InitialCell) = (Next(Steps * Batch * Shape.Inputs), Next(state), Next(state));
        (Targets, Mask) = (Next(outputs), Next(outputs));
        (Outputs, FinalHidden, FinalCell) = (Next(outputs), Next(state), Next(state));
        (Loss, Gradient) = (Next(1)[0], Next(parameters));
        (LearningRate, WeightDecay) = (Next(1)[0], Next(1)[0]);
        (Losses, FinalWeights, AveragedWeights) = (Next(header[6]), Next(parameters), Next(parameters));
        Assert.Equal(_values.Length, _position);
    }

    public LstmForecasterShape Shape { get; }

    public int Steps { get; }

    public int Batch { get; }

    public int BurnIn { get; }

    public LstmForecasterWeights Weights { get; }

    public float[] Inputs { get; }

    public float[] InitialHidden { get; }

    public float[] InitialCell { get; }

    public float[] Targets { get; }

    public float[] Mask { get; }

    public float[] Outputs { get; }

    public float[] FinalHidden { get; }

    public float[] FinalCell { get; }

    public float Loss { get; }

    public float[] Gradient { get; }

    public float LearningRate { get; }

    public float WeightDecay { get; }

    public float[] Losses { get; }

    public float[] FinalWeights { get; }

    public float[] AveragedWeights { get; }

    public TrainingBatch ToBatch()
    {
        var batch = new TrainingBatch(Shape, Steps, Batch, BurnIn);
        Inputs.CopyTo(batch.Inputs);
        Targets.CopyTo(batch.Targets);
        Mask.CopyTo(batch.Mask);
        InitialHidden.CopyTo(batch.InitialHidden);
        InitialCell.CopyTo(batch.InitialCell);
        return batch;
    }

    private float[] Next(int count)
    {
        _position += count;
        return _values.AsSpan(_position - count, count).ToArray();
    }
}
