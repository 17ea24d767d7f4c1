using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.Tests.Storage;

public sealed class ByteWriterTests
{
    private const int MiB = 1 << 20;

    [Fact]
    public void Room_that_is_used_every_time_is_kept_however_often_it_is_cleared()
    {
        var writer = new ByteWriter();
        writer.Bytes(new byte[7 * MiB]);
        writer.Clear();
        var room = Room(writer);
        for (var turn = 0; turn < 5; turn++)
        {
            writer.Clear();
            writer.Bytes(new byte[(7 - turn) * MiB]);
            writer.Clear();
        }

        Assert.Equal(room, Room(writer));
    }

    [Fact]
    public void Room_for_a_peak_is_given_back_with_smaller_use()
    {
        var writer = new ByteWriter();
        writer.Bytes(new byte[64 * MiB]);
        writer.Clear();
        Assert.InRange(Room(writer), 64 * MiB, int.MaxValue);
        for (var turn = 0; turn < 5; turn++)
        {
            writer.Bytes(new byte[MiB]);
            writer.Clear();
        }

        Assert.InRange(Room(writer), MiB, 4 * MiB);
    }

    private static int Room(ByteWriter writer) => writer.GetSpan().Length;
}
