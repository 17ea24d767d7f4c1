namespace StreamLstm.Simulator.Targets;

/// <summary>Where samples go. Used by one caller at a time.</summary>
internal interface ISampleTarget : IAsyncDisposable
{
    /// <summary>Takes a sample; waits while too many are under way.</summary>
    ValueTask SendAsync(in Sample sample, CancellationToken stopping);

    /// <summary>Returns when everything taken so far has been delivered.</summary>
    ValueTask FlushAsync(CancellationToken stopping);
}

/// <summary>The target can't be reached or refuses samples for good.</summary>
internal sealed class DeliveryException(string message, Exception? inner = null) : Exception(message, inner);
