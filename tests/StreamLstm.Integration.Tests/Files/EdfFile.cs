using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace StreamLstm.Integration.Tests.Files;

/// <summary>Writes EDF and EDF+ files after the published layout.</summary>
internal sealed class EdfFile
{
    private readonly List<byte[][]> _records = [];

    public string Version { get; set; } = "0";

    public string Start { get; set; } = "24.12.9910.20.30";

    /// <summary>EDF+C, EDF+D or nothing.</summary>
    public string Reserved { get; set; } = "";

    public string Duration { get; set; } = "1";

    public string? Records { get; set; }

    public string? HeaderBytes { get; set; }

    /// <summary>Label, unit, physical minimum and maximum, digital minimum and maximum, samples per record.</summary>
    public List<(string Label, string Unit, string PhysicalMin, string PhysicalMax, string DigitalMin, string DigitalMax, int Samples)> Signals { get; } = [];

    public static byte[] Samples(params int[] values)
    {
        var bytes = new byte[2 * values.Length];
        for (var i = 0; i < values.Length; i++)
            BinaryPrimitives.WriteInt16LittleEndian(bytes.AsSpan(2 * i), (short)values[i]);
        return bytes;
    }

    /// <summary>Text with <c>;</c> for 0x14, <c>~</c> for 0x15 and <c>|</c> for 0x00, filled with zeros.</summary>
    public static byte[] Lists(string text, int samples)
    {
        var bytes = new byte[2 * samples];
        Encoding.UTF8.GetBytes(text.Replace(';', '\u0014').Replace('~', '\u0015').Replace('|', '\0')).CopyTo(bytes, 0);
        return bytes;
    }

    public void Annotations(int samples) => Signals.Add(("EDF Annotations", "", "-1", "1", "-32768", "32767", samples));

    public void Add(params byte[][] record) => _records.Add(record);

    public byte[] Bytes()
    {
        var header = new StringBuilder();
        void Field(string text, int width) => header.Append(text.PadRight(width)[..width]);
        Field(Version, 8);
        Field("X X X X", 80);
        Field("Startdate 24-DEC-1999 X X X", 80);
        Field(Start, 16);
        Field(HeaderBytes ?? (256 * (Signals.Count + 1)).ToString(CultureInfo.InvariantCulture), 8);
        Field(Reserved, 44);
        Field(Records ?? _records.Count.ToString(CultureInfo.InvariantCulture), 8);
        Field(Duration, 8);
        Field(Signals.Count.ToString(CultureInfo.InvariantCulture), 4);
        Signals.ForEach(s => Field(s.Label, 16));
        Signals.ForEach(_ => Field("AgAgCl \u00B0", 80));
        Signals.ForEach(s => Field(s.Unit, 8));
        Signals.ForEach(s => Field(s.PhysicalMin, 8));
        Signals.ForEach(s => Field(s.PhysicalMax, 8));
        Signals.ForEach(s => Field(s.DigitalMin, 8));
        Signals.ForEach(s => Field(s.DigitalMax, 8));
        Signals.ForEach(_ => Field("HP:0.1Hz", 80));
        Signals.ForEach(s => Field(s.Samples.ToString(CultureInfo.InvariantCulture), 8));
        Signals.ForEach(_ => Field("", 32));
        return [.. Encoding.Latin1.GetBytes(header.ToString()), .. _records.SelectMany(record => record.SelectMany(part => part))];
    }
}
