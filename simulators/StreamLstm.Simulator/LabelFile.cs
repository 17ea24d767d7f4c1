using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary>The injected faults as CSV <c>stream,start,end,type</c>, written as they begin.</summary>
internal sealed class LabelFile : IDisposable
{
    private readonly StreamWriter _writer;
    private bool _dirty = true;

    public LabelFile(string path)
    {
        _writer = new StreamWriter(path) { NewLine = "\n" };
        _writer.WriteLine("stream,start,end,type");
    }

    public void Add(FaultLabel label)
    {
        _writer.WriteLine($"{label.Stream},{Sample.TimeText(label.Start)},{Sample.TimeText(label.End)},{label.Type}");
        _dirty = true;
    }

    public void Flush()
    {
        if (_dirty)
        {
            _writer.Flush();
            _dirty = false;
        }
    }

    public void Dispose() => _writer.Dispose();
}
