using StreamLstm.Runtime.Ingress;
using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Output;

/// <summary>Dead letters as the engine writes them, for those who have none between them and their output.</summary>
public static class DeadLetterJson
{
    public static byte[] Of(DeadLetter letter)
    {
        using var writer = new ResultWriter();
        var json = new ByteWriter();
        writer.DeadLetter(json, letter);
        return json.Written.ToArray();
    }
}
