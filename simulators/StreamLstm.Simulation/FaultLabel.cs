namespace StreamLstm.Simulation;

/// <summary>One injected fault or event: the ground truth for detection.</summary>
/// <param name="Start">First affected time.</param>
/// <param name="End">First time after it that is unaffected again.</param>
/// <param name="Type">One of the generator's <see cref="StreamSimulator.FaultKinds"/>.</param>
/// <param name="Size">How strong, in the unit the kind states; 0 where there is nothing to choose.</param>
public sealed record FaultLabel(string Stream, DateTimeOffset Start, DateTimeOffset End, string Type, double Size);
