namespace StreamLstm.Core.Signals;

/// <summary>What everything that reads or makes physiological signals says first.</summary>
public static class SignalCaveat
{
    public const string Text =
        "StreamLstm is research and operations software. It is not a medical device, has not been evaluated by any regulator, and must not be used "
        + "for diagnosis, treatment, patient monitoring or alarm generation. ECG/EEG profiles exist for research and simulation on recorded data.";
}
