using System.Text;
using StreamLstm.Runtime.Sharding;

namespace StreamLstm.Runtime.Tests.Sharding;

public sealed class VirtualPartitionTests
{
    // From the tests of Kafka's own Utils.murmur2.
    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void The_hash_is_Kafkas(string key, int expected) => Assert.Equal(expected, (int)VirtualPartition.Murmur2(Encoding.UTF8.GetBytes(key)));

    [Theory]
    [InlineData("21", 44)]
    [InlineData("foobar", 62)]
    [InlineData("abc", 27)]
    public void The_partition_is_the_hash_without_sign_modulo_64(string key, int expected) => Assert.Equal(expected, VirtualPartition.Of(Encoding.UTF8.GetBytes(key)));
}
