namespace StreamLstm.Worker.Configuration;

public enum ConfigurationType
{
    Text,

    /// <summary>Kept out of logs and messages.</summary>
    Secret,
    Integer,
    Number,
    Boolean,
    Duration,

    /// <summary>One of the allowed words.</summary>
    Choice,

    /// <summary>Words with commas between them.</summary>
    List,

    /// <summary>Numbers with commas between them.</summary>
    Numbers,
    TimeZone,
    Url,
}

/// <summary>One row of the table of everything that can be configured.</summary>
/// <param name="Path">Below the section StreamLstm; <c>*</c> stands for a name that the user chooses.</param>
/// <param name="Type">How the value is written.</param>
/// <param name="Default">As it would be written; null = none. See <see cref="Required"/>.</param>
/// <param name="Meaning">One sentence.</param>
public sealed record ConfigurationKey(string Path, ConfigurationType Type, string? Default, string Meaning)
{
    /// <summary>Smallest allowed value, as it would be written.</summary>
    public string? Min { get; init; }

    public string? Max { get; init; }

    /// <summary>Words allowed for <see cref="ConfigurationType.Choice"/> and <see cref="ConfigurationType.List"/>; empty = any.</summary>
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>Shown where the range isn't a plain interval.</summary>
    public string? Rule { get; init; }

    public bool Required { get; init; }

    /// <summary>Types of source or sink that have this key; empty = all.</summary>
    public IReadOnlyList<string> OnlyFor { get; init; } = [];

    /// <summary>Whether a change takes effect only at the next start.</summary>
    public bool NeedsRestart { get; init; } = true;

    /// <summary>What may be given, for messages.</summary>
    public string Allowed
    {
        get
        {
            var what = Type switch
            {
                ConfigurationType.Integer => "a whole number",
                ConfigurationType.Number => "a number",
                ConfigurationType.Boolean => "true or false",
                ConfigurationType.Duration => "a duration such as 250ms, 30s, 15m, 24h or 7d",
                ConfigurationType.Choice => $"one of {string.Join(", ", Choices)}",
                ConfigurationType.List => Choices.Count > 0 ? $"words out of {string.Join(", ", Choices)} with commas between them" : "words with commas between them",
                ConfigurationType.Numbers => "numbers with commas between them",
                ConfigurationType.TimeZone => "a time zone such as Europe/Amsterdam or UTC",
                ConfigurationType.Url => "a URL",
                _ => "a text",
            };
            if (Min is not null && Max is not null)
                what += $" from {Min} to {Max}";
            else if (Min is not null)
                what += $" of at least {Min}";
            return Rule is null ? what : $"{what}, {Rule}";
        }
    }
}
