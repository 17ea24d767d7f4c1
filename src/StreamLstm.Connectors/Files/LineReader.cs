namespace StreamLstm.Connectors.Files;

/// <summary>Splits a byte stream into lines without copying them; the span is valid until the next call.</summary>
internal sealed class LineReader(Stream stream, bool leaveTailUnread = false) : IDisposable
{
    // A line longer than this is not a table row; it is delivered cut so that memory stays bounded.
    private const int MaxLineBytes = 16 * 1024 * 1024;

    private byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _end;
    private bool _bomChecked;

    /// <returns>
    /// False at the end. With <c>leaveTailUnread</c> a last line without line end is kept for later, as its writer may not be done.
    /// </returns>
    public bool TryRead(out ReadOnlySpan<byte> line)
    {
        var searched = 0;
        while (true)
        {
            var newline = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            if (newline >= 0)
            {
                line = Take(searched + newline, 1);
                return true;
            }

            searched = _end - _start;
            if (searched >= MaxLineBytes)
            {
                line = Take(searched, 0);
                return true;
            }

            if (!Fill())
            {
                if (searched == 0 || leaveTailUnread)
                {
                    line = default;
                    return false;
                }

                line = Take(searched, 0);
                return true;
            }
        }
    }

    public void Dispose() => stream.Dispose();

    private ReadOnlySpan<byte> Take(int length, int lineEnd)
    {
        var line = _buffer.AsSpan(_start, length);
        _start += length + lineEnd;
        if (!_bomChecked)
        {
            _bomChecked = true;
            if (line.StartsWith("\uFEFF"u8))
                line = line[3..];
        }

        return line.EndsWith("\r"u8) ? line[..^1] : line;
    }

    private bool Fill()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
            Array.Resize(ref _buffer, _buffer.Length * 2);
        var n = stream.Read(_buffer, _end, _buffer.Length - _end);
        _end += n;
        return n > 0;
    }
}
