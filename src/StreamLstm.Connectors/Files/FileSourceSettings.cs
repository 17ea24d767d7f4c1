namespace StreamLstm.Connectors.Files;

/// <summary>Reads tables from files as if they were happening.</summary>
public sealed record FileSourceSettings
{
    public required string Name { get; init; }

    /// <summary>A file, or a folder and a pattern with <c>*</c> and <c>?</c> in the file name; read in ordinal order.</summary>
    public required string Path { get; init; }

    public TabularOptions Tabular { get; init; } = new();

    /// <summary>Event seconds per second; 0 = as fast as possible.</summary>
    public double Speed { get; init; }

    /// <summary>Keep reading rows that are appended to the last file (not for .gz).</summary>
    public bool Follow { get; init; }
}
