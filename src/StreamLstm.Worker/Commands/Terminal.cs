using System.Globalization;
using Spectre.Console;

namespace StreamLstm.Worker.Commands;

/// <summary>People's output goes to standard error; standard output is for data.</summary>
internal static class Terminal
{
    private static readonly IAnsiConsole s_error = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });

    /// <summary>A terminal that can redraw lines, and no wish to the contrary (NO_COLOR is honoured by the console library).</summary>
    public static bool IsLive => !Console.IsErrorRedirected && s_error.Profile.Capabilities.Ansi;

    public static IAnsiConsole Error => s_error;

    public static void Line(string text) => Console.Error.WriteLine(text);

    public static int Refuse(IEnumerable<string> errors, string help)
    {
        foreach (var error in errors)
            Line("error: " + error);
        Line(help);
        return ExitCode.Usage;
    }

    /// <summary>A progress bar on a terminal, otherwise a line for every tenth.</summary>
    public static async Task<T> ProgressAsync<T>(string title, Func<Action<double>, Task<T>> work)
    {
        if (IsLive)
        {
            return await s_error.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).StartAsync(async context =>
            {
                var task = context.AddTask(Markup.Escape(title), maxValue: 1);
                return await work(share => task.Value = share);
            });
        }

        var next = 0.1;
        return await work(share =>
        {
            if (share < next)
                return;
            Line(string.Create(CultureInfo.InvariantCulture, $"{title}: {share:P0}"));
            next = share + 0.1;
        });
    }

    public static string Number(double? value, string format = "0.###") => value is { } v && double.IsFinite(v) ? v.ToString(format, CultureInfo.InvariantCulture) : "-";
}
