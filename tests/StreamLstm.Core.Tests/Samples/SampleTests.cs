using System.Xml.Linq;

namespace StreamLstm.Core.Tests.Samples;

/// <summary>The samples reach what they promise. With STREAMLSTM_PLOTS naming a folder, their plots are written there.</summary>
public class SampleTests(ITestOutputHelper output)
{
    [Fact]
    public void A_sine_wave_is_forecast_to_a_mean_squared_error_of_a_ten_thousandth() =>
        Assert.InRange(Run("sine").Measures["test_mse"], 0, 1e-4);

    [Fact]
    public void Every_cell_learns_both_tasks_with_its_own_number_of_parameters()
    {
        var measures = Run("cells").Measures;

        Assert.True(measures["Lstm_parameters"] > measures["Gru_parameters"] && measures["Gru_parameters"] > measures["SimpleRnn_parameters"]);
        Assert.All(["Lstm", "Gru", "SimpleRnn"], cell => Assert.InRange(measures[$"waves_{cell}_mse"], 0, 0.004));

        // Always answering the mean, 0, has an error of a third.
        Assert.All(["Lstm", "Gru", "SimpleRnn"], cell => Assert.InRange(measures[$"recall_{cell}_mse"], 0, 0.02));
    }

    [Fact]
    public void Shapes_are_classified() => Assert.InRange(Run("classification").Measures["accuracy"], 0.95, 1);

    [Fact]
    public void Several_channels_are_forecast_several_steps_ahead_with_honest_bands()
    {
        var measures = Run("multivariate").Measures;

        Assert.InRange(measures["skill"], 0.8, 1);
        Assert.InRange(measures["coverage"], 0.7, 0.9);
    }

    private SampleResult Run(string name)
    {
        var begin = TimeProvider.System.GetTimestamp();
        var result = Sample.All.Single(sample => sample.Name == name).Run();
        output.WriteLine($"{name}: {TimeProvider.System.GetElapsedTime(begin).TotalSeconds:0.0} s\n{result.Text}");
        var folder = Environment.GetEnvironmentVariable("STREAMLSTM_PLOTS");
        foreach (var (plot, svg) in result.Plots)
        {
            Assert.Equal("svg", XDocument.Parse(svg).Root!.Name.LocalName);
            if (!string.IsNullOrEmpty(folder))
            {
                Directory.CreateDirectory(folder);
                File.WriteAllText(Path.Combine(folder, plot + ".svg"), svg);
            }
        }

        return result;
    }
}
