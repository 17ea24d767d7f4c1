namespace StreamLstm.Benchmarks;

internal static class Machine
{
    public static string Processor
    {
        get
        {
            const string info = "/proc/cpuinfo";
            if (File.Exists(info))
            {
                foreach (var line in File.ReadLines(info))
                {
                    if (line.StartsWith("model name", StringComparison.Ordinal))
                    {
                        return line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
                    }
                }
            }

            return System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();
        }
    }
}
