using System.CommandLine;
using StreamLstm.Connectors.Files;
using StreamLstm.Core.Signals;
using StreamLstm.Runtime.Ingress;
using StreamLstm.Simulation;

namespace StreamLstm.Simulator;

/// <summary><c>replay</c>: the samples of a file as a feed, in the order of the file.</summary>
internal sealed class ReplayCommand : Verb
{
    private static readonly TimeSpan SignalPacket = TimeSpan.FromSeconds(0.1);

    private readonly TimeProvider _clock;
    private readonly Argument<string?> _file = new("FILE") { Description = "CSV, TSV or NDJSON, plain or .gz, in wide or long form; a WFDB header (.hea); or an EDF or EDF+ file (.edf).", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _stream = Named("--stream", "NAME", "Send only this stream; for a file that names none, the stream's name.");
    private readonly Option<bool> _split = new("--split") { Description = "WFDB and EDF: every signal is a stream NAME/SIGNAL, instead of a channel." };
    private readonly Option<string?> _start = Named("--start", "ISO|now", "Time of the first sample; the others keep their distance from it. Default: the file's own times; 2026-01-05T00:00:00Z where a WFDB record has none.");
    private readonly Option<string?> _labels = Named("--labels", "FILE", "EDF+: write the file's annotations as CSV: stream,start,end,type.");
    private readonly Option<string?> _limit = Named("--limit", "N", "Send at most so many samples.");

    public ReplayCommand(TimeProvider clock)
        : base("replay", "Sends the samples of a file, paced by their own times.")
    {
        _clock = clock;
        Add(_file);
        foreach (Option option in new Option[] { _stream, _split, _start, _labels, _limit })
        {
            Add(option);
        }
    }

    public override IReadOnlyList<string> Check(ParseResult parsed) => Read(parsed).Errors;

    protected override async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Settings settings = Read(parsed);
        if (SignalFile.Is(settings.File))
        {
            await Console.Error.WriteLineAsync(SignalCaveat.Text);
        }

        return await Session.RunAsync(
            "replay", settings.Delivery, settings.Limit == long.MaxValue ? null : settings.Limit, _clock,
            (session, token) => SendAsync(settings, session, token), stopping);
    }

    private static async Task SendAsync(Settings settings, Session session, CancellationToken stopping)
    {
        bool signals = SignalFile.Is(settings.File);
        session.Packet = signals ? SignalPacket : TimeSpan.Zero;
        TabularReject? firstReject = null;
        TimeSpan? shift = settings.Start is null ? TimeSpan.Zero : null;
        using LabelFile? labels = settings.Labels is { } path ? new LabelFile(path) : null;
        var pending = new List<FaultLabel>();
        long sent = 0;
        foreach (Sample sample in signals ? SignalFile.Read(settings.File, settings.Split, labels is null ? null : pending.Add) : Rows(settings, reject =>
        {
            firstReject ??= reject;
            session.Skipped++;
        }))
        {
            if (settings.Stream is not null && sample.Stream != settings.Stream)
            {
                continue;
            }

            if (sample.Channels is null && double.IsNaN(sample.Value))
            {
                session.Skipped++;
                continue;
            }

            if (sent++ >= settings.Limit)
            {
                break;
            }

            shift ??= (settings.Start ?? sample.Time) - sample.Time;
            foreach (FaultLabel label in pending.Where(label => settings.Stream is null || label.Stream == settings.Stream))
            {
                labels!.Add(label with { Start = label.Start + shift.Value, End = label.End + shift.Value });
                session.Faults++;
            }

            if (pending.Count > 0)
            {
                labels!.Flush();
                pending.Clear();
            }

            await session.SendAsync(sample with { Time = sample.Time + shift.Value }, stopping);
        }

        if (firstReject is not null)
        {
            await Console.Error.WriteLineAsync($"First of {session.Skipped} cells that can't be used: {settings.File}:{firstReject.Row}: {firstReject.Detail}");
        }

        if (sent == 0)
        {
            throw new InvalidDataException(settings.Stream is null
                ? $"{settings.File} has no usable row."
                : $"{settings.File} has no usable row of stream '{settings.Stream}'.");
        }
    }

    private static IEnumerable<Sample> Rows(Settings settings, Action<TabularReject> onReject)
    {
        using TabularReader reader = TabularReader.Open(settings.File);
        string fileName = TabularReader.StreamNameOf(settings.File);
        bool mayBeUnnamed = reader.Shape.Form is "single" or "ndjson";
        foreach (TabularRow row in reader.Read(onReject))
        {
            // The reader calls a stream without a name after the file.
            string stream = mayBeUnnamed && row.Stream == fileName ? settings.Stream ?? fileName : row.Stream;
            yield return new Sample(stream, UnixMicros.ToDateTimeOffset(row.TimeMicros), row.Value, row.Channels);
        }
    }

    private Settings Read(ParseResult parsed)
    {
        var options = new OptionReader(parsed);
        Delivery delivery = ReadDelivery(options, parsed.GetValue(Json));
        string? file = parsed.GetValue(_file);
        if (file is null)
        {
            options.Errors.Add("FILE is missing.");
        }
        else if (!File.Exists(file))
        {
            options.Errors.Add($"There is no file '{file}'.");
        }
        else if (options.IsSet(_split) && !SignalFile.Is(file))
        {
            options.Errors.Add("--split applies to WFDB (.hea) and EDF (.edf) files only.");
        }

        if (file is not null && options.Text(_labels) is not null && !file.EndsWith(".edf", StringComparison.OrdinalIgnoreCase))
        {
            options.Errors.Add("--labels applies to EDF (.edf) files only.");
        }

        DateTimeOffset? start = options.Text(_start) == "now" ? _clock.GetUtcNow() : options.Time(_start);
        if (start is { Year: < 1900 or > 9900 })
        {
            options.Errors.Add("--start must lie between the years 1900 and 9900.");
        }

        return new Settings(
            file!, delivery, options.Text(_stream), options.IsSet(_split), start, options.Text(_labels), options.Whole(_limit, long.MaxValue, 1, long.MaxValue), options.Errors);
    }

    private sealed record Settings(
        string File, Delivery Delivery, string? Stream, bool Split, DateTimeOffset? Start, string? Labels, long Limit, IReadOnlyList<string> Errors);
}
