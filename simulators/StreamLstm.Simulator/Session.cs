using System.Globalization;
using System.Text.Json;
using Spectre.Console;
using StreamLstm.Simulator.Targets;

namespace StreamLstm.Simulator;

/// <summary>One run of a verb: paces samples into the target, shows progress, and tells the outcome.</summary>
internal sealed class Session
{
    private static readonly TimeSpan LongestDelay = TimeSpan.FromDays(1);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    private readonly ISampleTarget _target;
    private readonly Delivery _delivery;
    private readonly TimeProvider _clock;
    private readonly HashSet<string> _streams = new(StringComparer.Ordinal);
    private readonly double? _expected;
    private readonly long _started;
    private DateTimeOffset? _first;
    private DateTimeOffset _latest;
    private long _sent;

    private Session(ISampleTarget target, Delivery delivery, double? expected, TimeProvider clock)
    {
        (_target, _delivery, _expected, _clock) = (target, delivery, expected, clock);
        _started = clock.GetTimestamp();
    }

    /// <summary>Samples that were not sent: drop-outs of a simulation, unreadable cells of a file.</summary>
    public long Skipped { get; set; }

    public long Faults { get; set; }

    /// <summary>Samples are sent together that lie within the same one of these spans, counted from the first sample; zero = each in its own time.</summary>
    public TimeSpan Packet { get; set; }

    private TimeSpan Elapsed => _clock.GetElapsedTime(_started);

    /// <param name="expected">Number of samples, null = not known.</param>
    public static async Task<int> RunAsync(
        string verb, Delivery delivery, double? expected, TimeProvider clock, Func<Session, CancellationToken, Task> work, CancellationToken stopping)
    {
        Session? session = null;
        bool interrupted = false;
        try
        {
            await using ISampleTarget target = await delivery.Target.OpenAsync(delivery.Csv, delivery.Topic, clock, stopping);
            session = new Session(target, delivery, expected, clock);
            try
            {
                // On another thread, as a file target never yields and progress would not be seen.
                await session.ShowProgressAsync(verb, Task.Run(() => work(session, stopping), CancellationToken.None), stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                interrupted = true;
            }

            // What has been handed over is delivered even after an interruption, if the target takes it soon.
            using var grace = new CancellationTokenSource(Grace, clock);
            await target.FlushAsync(interrupted ? grace.Token : stopping);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested || interrupted)
        {
            interrupted = true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException or DeliveryException)
        {
            await Console.Error.WriteLineAsync("error: " + e.Message);
            return ExitCode.Failed;
        }

        session?.Summarise(verb, interrupted);
        return interrupted ? ExitCode.Interrupted : ExitCode.Ok;
    }

    /// <summary>Waits until the sample is due and hands it to the target.</summary>
    public async ValueTask SendAsync(Sample sample, CancellationToken stopping)
    {
        stopping.ThrowIfCancellationRequested();
        _first ??= sample.Time;
        if (_delivery.Speed > 0)
        {
            if (sample.Time > _latest)
            {
                TimeSpan due = sample.Time - _first.Value;
                if (Packet > TimeSpan.Zero)
                {
                    due = Packet * ((due.Ticks / Packet.Ticks) + 1);
                }

                await WaitUntilAsync(due.TotalSeconds / _delivery.Speed, stopping);
            }
        }
        else if (_delivery.Rate > 0)
        {
            await WaitUntilAsync(_sent / _delivery.Rate, stopping);
        }

        if (sample.Time > _latest)
        {
            _latest = sample.Time;
        }

        await _target.SendAsync(sample, stopping);
        _streams.Add(sample.Stream);
        Volatile.Write(ref _sent, _sent + 1);
    }

    private async ValueTask WaitUntilAsync(double dueSeconds, CancellationToken stopping)
    {
        // A timer is good for about a millisecond; shorter waits are made up for by the next longer one.
        double remaining = dueSeconds - Elapsed.TotalSeconds;
        if (remaining < 0.002)
        {
            return;
        }

        await _target.FlushAsync(stopping);
        while ((remaining = dueSeconds - Elapsed.TotalSeconds) > 0)
        {
            await Task.Delay(TimeSpan.FromSeconds(Math.Min(remaining, LongestDelay.TotalSeconds)), _clock, stopping);
        }
    }

    private string State() => string.Create(
        CultureInfo.InvariantCulture, $"{Volatile.Read(ref _sent):N0} samples, {Volatile.Read(ref _sent) / Math.Max(0.001, Elapsed.TotalSeconds):N0}/s");

    private async Task ShowProgressAsync(string verb, Task work, CancellationToken stopping)
    {
        if (Console.IsErrorRedirected)
        {
            while (await Task.WhenAny(work, Task.Delay(TimeSpan.FromSeconds(5), _clock, stopping)) != work && !stopping.IsCancellationRequested)
            {
                await Console.Error.WriteLineAsync($"{verb}: {State()}");
            }

            await work;
            return;
        }

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(Console.Error),
            ColorSystem = string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
        });
        await console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new SpinnerColumn())
            .StartAsync(async context =>
            {
                ProgressTask task = context.AddTask(verb, maxValue: _expected ?? 1);
                task.IsIndeterminate = _expected is null;
                while (await Task.WhenAny(work, Task.Delay(TimeSpan.FromMilliseconds(200), _clock, stopping)) != work && !stopping.IsCancellationRequested)
                {
                    task.Description = $"{verb}: {State()}";
                    task.Value = _expected is null ? 0 : Volatile.Read(ref _sent) + Skipped;
                }

                await work;
            });
    }

    private void Summarise(string verb, bool interrupted)
    {
        if (!_delivery.Json)
        {
            Console.Error.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{verb}: {(interrupted ? "interrupted after" : "sent")} {_sent:N0} samples ({_streams.Count:N0} streams) in {Elapsed.TotalSeconds:F1} s")
                + (_sent > 0 ? $", {Sample.TimeText(_first!.Value)} to {Sample.TimeText(_latest)}" : "")
                + (Skipped > 0 ? string.Create(CultureInfo.InvariantCulture, $"; {Skipped:N0} not sent") : "")
                + (Faults > 0 ? string.Create(CultureInfo.InvariantCulture, $"; {Faults:N0} faults") : "") + ".");
            return;
        }

        using Stream output = Console.OpenStandardOutput();
        using var json = new Utf8JsonWriter(output);
        json.WriteStartObject();
        json.WriteString("verb", verb);
        json.WriteString("target", _delivery.Target.ToString());
        json.WriteNumber("streams", _streams.Count);
        json.WriteNumber("samples", _sent);
        json.WriteNumber("skipped", Skipped);
        json.WriteNumber("faults", Faults);
        if (_sent > 0)
        {
            json.WriteString("first", Sample.TimeText(_first!.Value));
            json.WriteString("last", Sample.TimeText(_latest));
        }

        json.WriteNumber("wall_s", Math.Round(Elapsed.TotalSeconds, 3));
        json.WriteBoolean("interrupted", interrupted);
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }
}
