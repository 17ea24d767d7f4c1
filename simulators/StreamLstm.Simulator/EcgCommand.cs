using System.CommandLine;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>ecg</c>: simulated electrocardiograms.</summary>
internal sealed class EcgCommand : SignalCommand
{
    private readonly Option<string?> _heartRate = Named("--heart-rate", "BPM", "Mean heart rate, 30 to 180. Default: each person's own, 55 to 85.");
    private readonly Option<string?> _ratio = Named("--lf-hf", "X", "Power of the heart rate's variation around .1 Hz over that around .25 Hz, .01 to 100. Default: each person's own, .5 to 3.");
    private readonly Option<string?> _beats = Named("--beats", "FILE", "Write the generated beats as CSV: stream,time,type with N, V or A.");
    private StreamWriter? _beatFile;

    public EcgCommand(TimeProvider clock)
        : base(
            "ecg", "Simulated electrocardiograms in mV, with labelled arrhythmias and artefacts.", new EcgSimulationOptions(), "--leads",
            EcgSimulator.Leads, EcgEvents.All, clock)
    {
        Add(_heartRate);
        Add(_ratio);
        Add(_beats);
    }

    protected override SimulationOptions ReadOwn(OptionReader options, SimulationOptions common) =>
        (EcgSimulationOptions)base.ReadOwn(options, common) with
        {
            HeartRate = options.Number(_heartRate, 30, 180),
            LfHfRatio = options.Number(_ratio, 0.01, 100),
        };

    protected override StreamSimulator Create(SimulationOptions simulation) => new EcgSimulator((EcgSimulationOptions)simulation);

    protected override void Begin(ParseResult parsed, StreamSimulator simulator, SimulationOptions simulation)
    {
        if (parsed.GetValue(_beats) is { } path)
        {
            _beatFile = new StreamWriter(path) { NewLine = "\n" };
            _beatFile.WriteLine("stream,time,type");
            ((EcgSimulator)simulator).BeatGenerated = beat => _beatFile.WriteLine($"{beat.Stream},{Sample.TimeText(beat.Time)},{beat.Type}");
        }
    }

    protected override void End() => _beatFile?.Dispose();
}
