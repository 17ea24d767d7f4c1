using System.Numerics;
using StreamLstm.Core.Recurrent.Layers;

namespace StreamLstm.Core.Learning.Networks;

/// <summary>
/// Sequences of equal length with their targets: a mini-batch, or a whole data set from which mini-batches are taken.
/// </summary>
/// <param name="Steps">T.</param>
/// <param name="Sequences">B, sequences or streams side by side.</param>
/// <param name="Inputs">[T, B, I].</param>
/// <param name="Targets">
/// [T, B, K] where the last layer returns sequences, else [B, K]. K is that of a linear head, the horizon of a quantile
/// head, and 1 for a softmax head: the index of the class. May be anything where the mask is zero.
/// </param>
/// <param name="Mask">Weights of the targets, shaped like them, at least 0; null for 1 everywhere.</param>
public sealed record SequenceData<T>(int Steps, int Sequences, T[] Inputs, T[] Targets, T[]? Mask = null)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    /// <summary>Checks everything against a network and its loss; throws an <see cref="ArgumentException"/> naming what does not fit.</summary>
    internal void Validate(NetworkOptions options, string argument)
    {
        if (Steps < 1 || Sequences < 1)
        {
            throw new ArgumentException($"{argument}: Steps and Sequences must be at least 1, got {Steps} and {Sequences}.", argument);
        }

        var rows = (Int128)(options.ReturnsSequences ? Steps : 1) * Sequences;
        RequireShape(Inputs, (Int128)Steps * Sequences * options.Inputs, nameof(Inputs), $"[T, B, I] = [{Steps}, {Sequences}, {options.Inputs}]");
        RequireShape(
            Targets, rows * options.Head.Targets, nameof(Targets),
            options.ReturnsSequences ? $"[T, B, K] = [{Steps}, {Sequences}, {options.Head.Targets}]" : $"[B, K] = [{Sequences}, {options.Head.Targets}]");
        if (Mask is not null)
        {
            RequireShape(Mask, Targets.Length, nameof(Mask), "those of Targets");
        }

        RecurrentNetwork<T>.RequireFinite(Inputs, nameof(Inputs));
        for (var i = 0; i < Targets.Length; i++)
        {
            if (Mask is not null && !(Mask[i] >= T.Zero && T.IsFinite(Mask[i])))
            {
                throw new ArgumentException($"Mask must be finite and at least 0, but element {i} is {Mask[i]}.", nameof(Mask));
            }

            if (Mask is not null && Mask[i] == T.Zero)
            {
                continue;
            }

            if (!T.IsFinite(Targets[i]))
            {
                throw new ArgumentException($"Targets must be finite where the mask is not zero, but element {i} is {Targets[i]}.", nameof(Targets));
            }

            if (options.Head is SoftmaxHead softmax
                && !(T.IsInteger(Targets[i]) && Targets[i] >= T.Zero && Targets[i] < T.CreateChecked(softmax.Classes)))
            {
                throw new ArgumentException($"Targets must be classes 0…{softmax.Classes - 1}, but element {i} is {Targets[i]}.", nameof(Targets));
            }
        }

        void RequireShape(T[] values, Int128 expected, string name, string shape)
        {
            ArgumentNullException.ThrowIfNull(values, name);
            if (values.Length != expected)
            {
                throw new ArgumentException($"{argument}: {name} must hold {expected} values, {shape}, got {values.Length}.", name);
            }
        }
    }

    /// <summary>A part: some sequences, and of them the steps from <paramref name="first"/> on.</summary>
    internal SequenceData<T> Part(NetworkOptions options, ReadOnlySpan<int> sequences, int first, int steps)
    {
        var width = options.Head.Targets;
        var rows = options.ReturnsSequences ? steps : 1;
        var from = options.ReturnsSequences ? first : 0;
        var part = new SequenceData<T>(
            steps, sequences.Length, new T[steps * sequences.Length * options.Inputs], new T[rows * sequences.Length * width],
            Mask is null ? null : new T[rows * sequences.Length * width]);
        Copy(Inputs, part.Inputs, first, steps, options.Inputs, sequences);
        Copy(Targets, part.Targets, from, rows, width, sequences);
        if (Mask is not null)
        {
            Copy(Mask, part.Mask!, from, rows, width, sequences);
        }

        return part;

        void Copy(T[] source, T[] target, int start, int count, int columns, ReadOnlySpan<int> chosen)
        {
            for (var t = 0; t < count; t++)
            {
                for (var b = 0; b < chosen.Length; b++)
                {
                    source.AsSpan((((start + t) * Sequences) + chosen[b]) * columns, columns)
                        .CopyTo(target.AsSpan(((t * chosen.Length) + b) * columns));
                }
            }
        }
    }
}
