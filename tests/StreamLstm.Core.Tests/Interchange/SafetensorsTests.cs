using System.Buffers.Binary;
using System.Text;
using StreamLstm.Core.Interchange;
using StreamLstm.Core.Numerics;
using StreamLstm.Core.Recurrent.Layers;
using StreamLstm.Core.Tests.Layers;

namespace StreamLstm.Core.Tests.Interchange;

public class SafetensorsTests
{
    [Fact]
    public void What_is_written_is_read_again()
    {
        var bytes = Safetensors.Write<float>(
            [new("b", new Tensor<float>([2, 2], [1f, -2.5f, float.MaxValue, 0f])), new("a", new Tensor<float>([], [3f])), new("none", new Tensor<float>([0, 4], []))],
            new Dictionary<string, string> { ["who"] = "Ω \"quoted\"" });

        var file = Safetensors.Read<float>(bytes);

        Assert.Equal([1f, -2.5f, float.MaxValue, 0f], file.Tensors["b"].Values);
        Assert.Equal([2, 2], file.Tensors["b"].Shape);
        Assert.Equal([3f], file.Tensors["a"].Values);
        Assert.Empty(file.Tensors["none"].Values);
        Assert.Equal("Ω \"quoted\"", file.Metadata["who"]);
        Assert.Equal(0, (int)(BinaryPrimitives.ReadUInt64LittleEndian(bytes) % 8));
    }

    [Fact]
    public void Half_precisions_are_read()
    {
        var header = """{"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},"d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}}""";

        var file = Safetensors.Read<float>(FileOf(header, [0x00, 0x3e, 0x20, 0xc0, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]));

        Assert.Equal((1.5f, -2.5f, 1.5f), (file.Tensors["h"].Values[0], file.Tensors["b"].Values[0], file.Tensors["d"].Values[0]));
    }

    [Theory]
    [InlineData("", "ends")]
    [InlineData("[]", "StartObject")]
    [InlineData("{", "JSON")]
    [InlineData("{} {}", "JSON")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "'a' twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}""", "overlap")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", "holds 8 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "holes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", "end at 16")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", "needs 12 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", "8 to 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", "at least 0")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}""", "more than fits")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1e3],"data_offsets":[0,8]}}""", "whole numbers")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]}}""", "whole numbers")]
    [InlineData("""{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}""", "dtype 'I64'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2]}}""", "two data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""", "'shape' twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}""", "whole numbers")]
    [InlineData("""{"__metadata__":{"a":1}}""", "String")]
    [InlineData("""{"a":5}""", "StartObject")]
    public void A_hostile_header_is_refused_with_the_reason(string header, string reason)
    {
        var error = Assert.Throws<InvalidDataException>(() => Safetensors.Read<float>(FileOf(header, new byte[8])));

        Assert.Contains(header.Length == 0 ? "JSON" : reason, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_header_length_beyond_the_file_is_refused()
    {
        var bytes = FileOf("{}", []);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, ulong.MaxValue);

        Assert.Contains("18446744073709551615", Assert.Throws<InvalidDataException>(() => Safetensors.Read<float>(bytes)).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidDataException>(() => Safetensors.Read<float>(bytes.AsSpan(0, 5)));
    }

    [Fact]
    public void Every_truncation_and_any_mutation_gives_a_network_or_an_invalid_data_exception()
    {
        var options = NetworkCases.All["Gru-stacked"];
        var good = PyTorchWeights.Export(RecurrentNetwork<float>.Create(options, 1));
        for (var length = 0; length < good.Length; length++)
        {
            Assert.Throws<InvalidDataException>(() => PyTorchWeights.Import<float>(options, good.AsSpan(0, length)));
        }

        var headerLength = 8 + (int)BinaryPrimitives.ReadUInt64LittleEndian(good);
        var refused = 0;
        for (ulong seed = 0; seed < 6000; seed++)
        {
            var random = new CounterRandom(seed);
            var bytes = good.ToArray();
            for (var n = random.Below(4, 0); n >= 0; n--)
            {
                var counter = 8 * ((ulong)n + 1);
                // Mostly the header; the data are just numbers.
                var at = random.Below(random.Below(8, counter) == 0 ? bytes.Length : headerLength, counter + 1);
                switch (random.Below(3, counter + 2))
                {
                    case 0:
                        bytes[at] = (byte)random.Below(256, counter + 3);
                        break;
                    case 1:
                        bytes[at] ^= (byte)(1 << random.Below(8, counter + 3));
                        break;
                    default:
                        var from = random.Below(headerLength, counter + 3);
                        var length = random.Below(Math.Min(24, headerLength - Math.Max(from, Math.Min(at, headerLength - 1))) + 1, counter + 4);
                        bytes.AsSpan(from, length).CopyTo(bytes.AsSpan(Math.Min(at, bytes.Length - length)));
                        break;
                }
            }

            try
            {
                var network = PyTorchWeights.Import<float>(options, bytes);
                Assert.DoesNotContain(network.Parameters.ToArray(), value => !float.IsFinite(value));
            }
            catch (InvalidDataException error)
            {
                refused++;
                Assert.NotEmpty(error.Message);
            }
        }

        Assert.True(refused > 3000, "the mutations do harm");
    }

    private static byte[] FileOf(string header, byte[] data)
    {
        var text = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[8 + text.Length + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)text.Length);
        text.CopyTo(bytes, 8);
        data.CopyTo(bytes, 8 + text.Length);
        return bytes;
    }
}
