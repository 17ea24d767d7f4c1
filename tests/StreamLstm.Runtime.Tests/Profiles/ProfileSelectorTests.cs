using System.Text;
using StreamLstm.Runtime.Profiles;

namespace StreamLstm.Runtime.Tests.Profiles;

public sealed class ProfileSelectorTests
{
    [Theory]
    [InlineData("*", "", true)]
    [InlineData("*", "nl/M-42", true)]
    [InlineData("nl/*", "nl/M-42", true)]
    [InlineData("nl/*", "de/M-42", false)]
    [InlineData("*/power", "a/b/power", true)]
    [InlineData("*/power", "a/b/powers", false)]
    [InlineData("a*b*c", "axxbyybzzc", true)]
    [InlineData("a*b*c", "axxbyyczz", false)]
    [InlineData("m?", "mé", true)]
    [InlineData("m?", "m", false)]
    [InlineData("m??", "mé", false)]
    [InlineData("exact", "exact", true)]
    [InlineData("", "x", false)]
    public void A_glob_matches_whole_keys(string glob, string key, bool expected) =>
        Assert.Equal(expected, ProfileSelector.Matches(Encoding.UTF8.GetBytes(glob), Encoding.UTF8.GetBytes(key)));

    [Fact]
    public void The_longest_literal_prefix_wins()
    {
        var selector = Of(("all", "*"), ("nl", "nl/*"), ("one", "nl/M-42"), ("suffix", "*/power"));
        Assert.Equal("one", selector.Select("nl/M-42"u8)?.Name);
        Assert.Equal("nl", selector.Select("nl/M-43"u8)?.Name);
        Assert.Equal("all", selector.Select("de/power"u8)?.Name);
    }

    [Fact]
    public void Equal_prefixes_are_decided_by_name_whatever_the_order()
    {
        Assert.Equal("a", Of(("b", "nl/*"), ("a", "nl/?")).Select("nl/1"u8)?.Name);
        Assert.Equal("a", Of(("a", "nl/?"), ("b", "nl/*")).Select("nl/1"u8)?.Name);
    }

    [Fact]
    public void A_key_that_no_glob_matches_has_no_profile() => Assert.Null(Of(("nl", "nl/*")).Select("de/1"u8));

    private static ProfileSelector Of(params (string Name, string Select)[] profiles) =>
        new(profiles.Select(p => new Profile { Name = p.Name, Select = p.Select }));
}
