using System.Numerics;

namespace StreamLstm.Core.Learning.Networks;

/// <summary>Moves weights by a gradient, in the order of operations of PyTorch's single-tensor optimisers.</summary>
internal abstract class Optimizer<T>
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static Optimizer<T> Create(OptimizerOptions options, int parameters) => options switch
    {
        SgdOptions sgd => new Sgd(sgd, parameters),
        RmsPropOptions rmsProp => new RmsProp(rmsProp, parameters),
        _ => new Adam((AdamOptions)options, parameters),
    };

    /// <param name="weights">All parameters.</param>
    /// <param name="gradient">Of the same length; overwritten.</param>
    public abstract void Update(Span<T> weights, Span<T> gradient, double learningRate);

    private static T Of(double value) => T.CreateChecked(value);

    private static void AddDecay(Span<T> gradient, ReadOnlySpan<T> weights, double decay)
    {
        if (decay != 0)
        {
            var factor = Of(decay);
            for (var i = 0; i < gradient.Length; i++)
            {
                gradient[i] += factor * weights[i];
            }
        }
    }

    private sealed class Sgd(SgdOptions options, int parameters) : Optimizer<T>
    {
        private readonly T[] _velocity = new T[options.Momentum > 0 ? parameters : 0];

        public override void Update(Span<T> weights, Span<T> gradient, double learningRate)
        {
            AddDecay(gradient, weights, options.WeightDecay);
            if (options.Momentum > 0)
            {
                // The velocity starts at zero, so the first one is the gradient itself, as in PyTorch without dampening.
                var momentum = Of(options.Momentum);
                for (var i = 0; i < weights.Length; i++)
                {
                    _velocity[i] = (momentum * _velocity[i]) + gradient[i];
                    gradient[i] = options.Nesterov ? gradient[i] + (momentum * _velocity[i]) : _velocity[i];
                }
            }

            var rate = Of(learningRate);
            for (var i = 0; i < weights.Length; i++)
            {
                weights[i] -= rate * gradient[i];
            }
        }
    }

    private sealed class RmsProp(RmsPropOptions options, int parameters) : Optimizer<T>
    {
        private readonly T[] _square = new T[parameters];
        private readonly T[] _velocity = new T[options.Momentum > 0 ? parameters : 0];

        public override void Update(Span<T> weights, Span<T> gradient, double learningRate)
        {
            AddDecay(gradient, weights, options.WeightDecay);
            var (alpha, rest, epsilon) = (Of(options.Alpha), Of(1 - options.Alpha), Of(options.Epsilon));
            var (momentum, rate) = (Of(options.Momentum), Of(learningRate));
            for (var i = 0; i < weights.Length; i++)
            {
                _square[i] = (alpha * _square[i]) + (rest * gradient[i] * gradient[i]);
                var step = gradient[i] / (T.Sqrt(_square[i]) + epsilon);
                if (_velocity.Length > 0)
                {
                    step = _velocity[i] = (momentum * _velocity[i]) + step;
                }

                weights[i] -= rate * step;
            }
        }
    }

    private sealed class Adam(AdamOptions options, int parameters) : Optimizer<T>
    {
        private readonly T[] _first = new T[parameters];
        private readonly T[] _second = new T[parameters];

        // β^n as a running product: the platform's own Pow differs between C libraries.
        private double _power1 = 1;
        private double _power2 = 1;

        public override void Update(Span<T> weights, Span<T> gradient, double learningRate)
        {
            _power1 *= options.Beta1;
            _power2 *= options.Beta2;
            var step = Of(learningRate / (1 - _power1));
            var root = Of(Math.Sqrt(1 - _power2));
            var keep = T.One;
            if (options.Decoupled)
            {
                keep = Of(1 - (learningRate * options.WeightDecay));
            }
            else
            {
                AddDecay(gradient, weights, options.WeightDecay);
            }

            var (beta1, rest1, beta2, rest2) = (Of(options.Beta1), Of(1 - options.Beta1), Of(options.Beta2), Of(1 - options.Beta2));
            var epsilon = Of(options.Epsilon);
            for (var i = 0; i < weights.Length; i++)
            {
                _first[i] = (beta1 * _first[i]) + (rest1 * gradient[i]);
                _second[i] = (beta2 * _second[i]) + (rest2 * gradient[i] * gradient[i]);
                weights[i] = (keep * weights[i]) - (step * (_first[i] / ((T.Sqrt(_second[i]) / root) + epsilon)));
            }
        }
    }
}
