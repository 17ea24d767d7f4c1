using FsCheck;
using FsCheck.Fluent;
using Microsoft.FSharp.Core;

namespace StreamLstm.Runtime.Tests;

internal static class Property
{
    /// <summary>Tries generated cases; the seed is fixed, so that a failure is the same one tomorrow.</summary>
    public static void Holds<T>(Gen<T> cases, Action<T> assertion, int tries = 200) =>
        Check.One(
            Config.QuickThrowOnFailure.WithMaxTest(tries).WithReplay(FSharpOption<Replay>.Some(new Replay(new Rnd(20260105), FSharpOption<int>.None))),
            Prop.ForAll(cases.ToArbitrary(), assertion));
}
