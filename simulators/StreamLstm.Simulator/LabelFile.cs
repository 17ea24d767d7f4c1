using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary>Injected faults or a file's annotations as CSV <c>stream,start,end,type</c>, written as they begin.</summary>
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
        _writer.WriteLine($"{Cell(label.Stream)},{Sample.TimeText(label.Start)},{Sample.TimeText(label.End)},{Cell(label.Type)}");
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

    /// <summary>The form has no quoting, and names and annotations of a file can hold anything.</summary>
    private static string Cell(string text) => string.Concat(text.Select(c => c is ',' or '"' || char.IsControl(c) ? ' ' : c));
}
