namespace StreamLstm.Core.Recurrent;

/// <summary>Sizes of a forecaster: I inputs, H hidden units, K outputs.</summary>
public readonly record struct LstmForecasterShape(int Inputs, int Hidden, int Outputs)
{
    /// <summary>Largest size of any one dimension; keeps every length within an int.</summary>
    public const int MaxDimension = 2048;

    /// <summary>All parameters: 4H·(I + H + 1) of the cell and K·(H + I + 1) of the head.</summary>
    public int ParameterCount => HeadBiasOffset + Outputs;

    // Offsets into the flat array, in its order.
    internal int WeightHhOffset => 4 * Hidden * Inputs;

    internal int BiasOffset => WeightHhOffset + (4 * Hidden * Hidden);

    internal int HeadWeightOffset => BiasOffset + (4 * Hidden);

    internal int SkipWeightOffset => HeadWeightOffset + (Outputs * Hidden);

    internal int HeadBiasOffset => SkipWeightOffset + (Outputs * Inputs);

    internal bool IsValid =>
        Inputs is >= 1 and <= MaxDimension && Hidden is >= 1 and <= MaxDimension && Outputs is >= 1 and <= MaxDimension;

    internal void Validate(string argument)
    {
        if (!IsValid)
        {
            throw new ArgumentException($"Inputs, Hidden and Outputs must each lie in 1…{MaxDimension}, got {this}.", argument);
        }
    }
}
