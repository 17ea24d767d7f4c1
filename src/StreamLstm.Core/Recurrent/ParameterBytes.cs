using System.Buffers.Binary;
using System.Text;
using StreamLstm.Core.Numerics;

namespace StreamLstm.Core.Recurrent;

/// <summary>
/// The byte form of weights and of training state, little-endian:
/// magic (4 ASCII) | version int32 | I, H, K int32 | step int64 | n groups of ParameterCount float32 | CRC-32C of all before.
/// </summary>
internal static class ParameterBytes
{
    public const string WeightsMagic = "SLLW";
    public const string TrainingMagic = "SLLT";

    /// <summary>Weights, both moments, averaged weights.</summary>
    public const int TrainingGroups = 4;

    private const int Version = 1;
    private const int HeaderLength = 28;

    public static byte[] WriteWeights(LstmForecasterShape shape, ReadOnlySpan<float> values)
    {
        var bytes = Begin(WeightsMagic, shape, 0, 1);
        Finish(bytes, Append(bytes, HeaderLength, values));
        return bytes;
    }

    public static byte[] WriteTraining(
        LstmForecasterShape shape, long step,
        ReadOnlySpan<float> weights, ReadOnlySpan<float> first, ReadOnlySpan<float> second, ReadOnlySpan<float> averaged)
    {
        var bytes = Begin(TrainingMagic, shape, step, TrainingGroups);
        var position = Append(bytes, HeaderLength, weights);
        position = Append(bytes, position, first);
        position = Append(bytes, position, second);
        Finish(bytes, Append(bytes, position, averaged));
        return bytes;
    }

    /// <summary>Shape, step and the groups one after another. All values are finite.</summary>
    public static (LstmForecasterShape Shape, long Step, float[] Values) Read(string magic, int groups, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderLength + sizeof(uint))
        {
            throw new InvalidDataException($"Model bytes are truncated: {bytes.Length} bytes, fewer than a header of {HeaderLength}.");
        }

        var found = Encoding.ASCII.GetString(bytes[..4]);
        if (found != magic)
        {
            throw new InvalidDataException($"Not the expected kind of model bytes: they begin with '{found}', expected '{magic}'.");
        }

        var version = BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]);
        if (version != Version)
        {
            throw new InvalidDataException($"Model bytes have version {version}; this program reads version {Version}.");
        }

        var shape = new LstmForecasterShape(
            BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]));
        var step = BinaryPrimitives.ReadInt64LittleEndian(bytes[20..]);
        if (!shape.IsValid || step < 0)
        {
            throw new InvalidDataException($"Model bytes have an impossible header: {shape}, step {step}.");
        }

        var expected = HeaderLength + ((long)groups * shape.ParameterCount * sizeof(float)) + sizeof(uint);
        if (bytes.Length != expected)
        {
            throw new InvalidDataException($"Model bytes for {shape} must be {expected} long, but are {bytes.Length}.");
        }

        var body = bytes[..^sizeof(uint)];
        var stored = BinaryPrimitives.ReadUInt32LittleEndian(bytes[body.Length..]);
        var actual = Checksum.Crc32C(body);
        if (stored != actual)
        {
            throw new InvalidDataException($"Model bytes are corrupt: checksum {actual:x8}, stored {stored:x8}.");
        }

        var values = new float[groups * shape.ParameterCount];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = BinaryPrimitives.ReadSingleLittleEndian(body[(HeaderLength + (i * sizeof(float)))..]);
            if (!float.IsFinite(values[i]))
            {
                throw new InvalidDataException($"Model bytes hold {values[i]} at value {i}; all must be finite.");
            }
        }

        return (shape, step, values);
    }

    private static byte[] Begin(string magic, LstmForecasterShape shape, long step, int groups)
    {
        var bytes = new byte[HeaderLength + (groups * shape.ParameterCount * sizeof(float)) + sizeof(uint)];
        Encoding.ASCII.GetBytes(magic, bytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(8), shape.Inputs);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), shape.Hidden);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(16), shape.Outputs);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(20), step);
        return bytes;
    }

    private static int Append(byte[] bytes, int position, ReadOnlySpan<float> values)
    {
        foreach (var value in values)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes.AsSpan(position), value);
            position += sizeof(float);
        }

        return position;
    }

    private static void Finish(byte[] bytes, int position) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(position), Checksum.Crc32C(bytes.AsSpan(0, position)));
}
