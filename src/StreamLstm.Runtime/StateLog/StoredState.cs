using StreamLstm.Runtime.Storage;

namespace StreamLstm.Runtime.StateLog;

/// <summary>One stream's part of a commit: <c>[kind u8][key][profile][body]</c>, blocks length-prefixed. The kinds and bodies are <see cref="Sharding.Shard"/>'s.</summary>
internal readonly ref struct StoredState
{
    public byte Kind { get; private init; }

    public ReadOnlySpan<byte> Key { get; private init; }

    /// <summary>Its name in UTF-8.</summary>
    public ReadOnlySpan<byte> Profile { get; private init; }

    public ReadOnlySpan<byte> Body { get; private init; }

    /// <exception cref="CorruptLogException">It ends early.</exception>
    public static StoredState Read(ref ByteReader r) => new() { Kind = r.Byte(), Key = r.Block(), Profile = r.Block(), Body = r.Block() };
}
