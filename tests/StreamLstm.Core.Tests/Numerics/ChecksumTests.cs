using System.Text;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Tests.Numerics;

public class ChecksumTests
{
    [Fact]
    public void Crc32C_gives_the_published_check_values()
    {
        Assert.Equal(0xE3069283u, Checksum.Crc32C(Encoding.ASCII.GetBytes("123456789")));
        Assert.Equal(0x8A9136AAu, Checksum.Crc32C(new byte[32]));
        Assert.Equal(0u, Checksum.Crc32C([]));
    }
}
