using StreamLstm.Connectors.Mqtt;

namespace StreamLstm.Integration.Tests.Mqtt;

public class MqttHeldIdsTests
{
    private const string Session = "my client@mqtt://h:1883";

    [Fact]
    public void Ids_are_written_as_ranges_and_only_when_they_changed()
    {
        var held = new MqttHeldIds(Session, null);
        Assert.False(held.TryGetChange(out _));
        foreach (var id in new[] { 1, 2, 3, 63, 64, 65, 200, 65535 })
            Assert.True(held.Hold(Message(id)));
        Assert.True(held.TryGetChange(out var position));
        Assert.Equal(Session + " 1-3,63-65,200,65535", position);
        Assert.False(held.Hold(Message(64)));
        held.Release(5);
        Assert.False(held.TryGetChange(out _));
        held.Clear();
        Assert.True(held.TryGetChange(out position));
        Assert.Equal(Session + " ", position);
        held.Clear();
        Assert.False(held.TryGetChange(out _));
    }

    [Fact]
    public void Ids_of_another_session_do_not_count()
    {
        foreach (var position in new[] { "other@mqtt://h:1883 1-9", "my client@mqtt://elsewhere:1883 1-9", "4711", "" })
            Assert.True(new MqttHeldIds(Session, position).Hold(Message(5, duplicate: true)));
        Assert.False(new MqttHeldIds(Session, Session + " 1-9").Hold(Message(5, duplicate: true)));
    }

    [Fact]
    public void An_id_that_comes_unmarked_over_a_later_connection_is_another_message()
    {
        var held = new MqttHeldIds(Session, Session + " 5");
        Assert.False(held.Hold(Message(5, duplicate: true)));
        Assert.True(held.Hold(Message(5)));
        Assert.False(held.Hold(Message(5)));
        Assert.True(held.Hold(Message(5, connection: 2)));
        Assert.False(held.TryGetChange(out _));
    }

    /// <summary>Seeded: against a plain set, written down and read again now and then as by a crash.</summary>
    [Fact]
    public void Random_histories_agree_with_a_plain_set()
    {
        var random = new Random(2718);
        var held = new MqttHeldIds(Session, null);
        var position = (string?)null;
        var expected = new HashSet<int>();
        for (var step = 0; step < 20_000; step++)
        {
            var id = random.Next(10) == 0 ? random.Next(1, 65536) : random.Next(1, 300);
            if (random.Next(2) == 0)
            {
                Assert.Equal(expected.Add(id), held.Hold(Message(id, duplicate: true)));
            }
            else
            {
                held.Release((ushort)id);
                expected.Remove(id);
            }

            if (random.Next(50) == 0)
            {
                if (held.TryGetChange(out var changed))
                    position = changed;
                held = new MqttHeldIds(Session, position);
            }
        }

        Assert.All(Enumerable.Range(1, 65535), id => Assert.Equal(!expected.Contains(id), held.Hold(Message(id, duplicate: true))));
    }

    private static MqttMessage Message(int id, bool duplicate = false, int connection = 1) =>
        new() { Topic = "t", Payload = default, PayloadBytes = 0, Qos = 2, PacketId = (ushort)id, Duplicate = duplicate, Connection = connection };
}
