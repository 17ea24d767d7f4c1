using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Runtime.Output;

/// <summary>Dead letters as the engine writes them, for those who have none between them and their output.</summary>
public static class DeadLetterJson
{
    public static byte[] Of(DeadLetter letter)
    {
        using var writer = new ResultWriter();
        return writer.DeadLetter(letter).ToArray();
    }
}
