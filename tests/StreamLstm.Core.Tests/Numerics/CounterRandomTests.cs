using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Tests.Numerics;

public class CounterRandomTests
{
    [Fact]
    public void The_same_seed_stream_and_counter_give_the_same_number_for_ever()
    {
        // Recorded once: a change here would re-initialise every model differently.
        Assert.Equal([6235967106033911276UL, 15762792775298711209UL, 8746872562865359319UL], new ulong[] { new CounterRandom(0).Bits(0), new CounterRandom(1, 2).Bits(3), new CounterRandom(ulong.MaxValue, 7).Bits(1UL << 40) });
    }

    [Fact]
    public void Streams_and_seeds_are_unrelated()
    {
        var draws = new HashSet<ulong>();
        for (ulong seed = 0; seed < 10; seed++)
        {
            for (ulong stream = 0; stream < 10; stream++)
            {
                for (ulong counter = 0; counter < 100; counter++)
                {
                    Assert.True(draws.Add(new CounterRandom(seed, stream).Bits(counter)));
                }
            }
        }
    }

    [Fact]
    public void Units_fill_the_interval_evenly()
    {
        var random = new CounterRandom(5);
        var counts = new int[16];
        for (ulong i = 0; i < 160_000; i++)
        {
            var unit = random.Unit(i);
            Assert.InRange(unit, 0f, 0.99999995f);
            counts[(int)(unit * 16)]++;
        }

        Assert.All(counts, count => Assert.InRange(count, 9_600, 10_400));
    }

    [Fact]
    public void Bounded_integers_reach_every_value_below_the_bound()
    {
        var random = new CounterRandom(6);
        var seen = new int[7];
        for (ulong i = 0; i < 7_000; i++)
        {
            seen[random.Below(7, i)]++;
        }

        Assert.All(seen, count => Assert.InRange(count, 850, 1_150));
        Assert.Throws<ArgumentOutOfRangeException>(() => random.Below(0, 0));
    }
}
