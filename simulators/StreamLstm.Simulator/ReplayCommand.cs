using System.CommandLine;
using StreamLstm.Connectors.Files;
using StreamLstm.Runtime.Ingress;

namespace StreamLstm.Simulator;

/// <summary><c>replay</c>: the rows of a file as a feed, in the order of the file.</summary>
internal sealed class ReplayCommand : Verb
{
    private readonly TimeProvider _clock;
    private readonly Argument<string?> _file = new("FILE") { Description = "CSV, TSV or NDJSON, plain or .gz, in wide or long form.", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> _stream = Named("--stream", "NAME", "Send only this stream; for a file that names none, the stream's name.");
    private readonly Option<string?> _limit = Named("--limit", "N", "Send at most so many samples.");

    public ReplayCommand(TimeProvider clock)
        : base("replay", "Sends the samples of a file, paced by their own times.")
    {
        _clock = clock;
        Add(_file);
        Add(_stream);
        Add(_limit);
    }

    public override IReadOnlyList<string> Check(ParseResult parsed) => Read(parsed).Errors;

    protected override async Task<int> RunAsync(ParseResult parsed, CancellationToken stopping)
    {
        Settings settings = Read(parsed);
        return await Session.RunAsync(
            "replay", settings.Delivery, settings.Limit == long.MaxValue ? null : settings.Limit, _clock,
            (session, token) => SendRowsAsync(settings, session, token), stopping);
    }

    private static async Task SendRowsAsync(Settings settings, Session session, CancellationToken stopping)
    {
        using TabularReader reader = TabularReader.Open(settings.File);
        TabularReject? firstReject = null;
        string fileName = TabularReader.StreamNameOf(settings.File);
        bool mayBeUnnamed = reader.Shape.Form is "single" or "ndjson";
        long sent = 0;
        foreach (TabularRow row in reader.Read(reject =>
        {
            firstReject ??= reject;
            session.Skipped++;
        }))
        {
            // The reader calls a stream without a name after the file.
            string stream = mayBeUnnamed && row.Stream == fileName ? settings.Stream ?? fileName : row.Stream;
            if (settings.Stream is not null && stream != settings.Stream)
            {
                continue;
            }

            if (sent++ >= settings.Limit)
            {
                break;
            }

            await session.SendAsync(new Sample(stream, UnixMicros.ToDateTimeOffset(row.TimeMicros), row.Value, row.Channels), stopping);
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

        return new Settings(file!, delivery, options.Text(_stream), options.Whole(_limit, long.MaxValue, 1, long.MaxValue), options.Errors);
    }

    private sealed record Settings(string File, Delivery Delivery, string? Stream, long Limit, IReadOnlyList<string> Errors);
}
