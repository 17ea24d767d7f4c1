#!/bin/sh
# Builds librdkafka 2.15.1, the version Confluent.Kafka 2.15.1 is made for, for machines whose package registry lacks
# librdkafka.redist, and prints the path of the library on standard output. Does nothing if it is already there.
# The sources are those inside the npm package of the same release, fetched with the npm client as it is configured.
set -eu

version=2.15.1
package=@confluentinc/kafka-javascript@1.10.1
sha256=ada7d703bb1d3237e2292bfabf438d663b6160c9f1ac2a2406b5dc4257c81b66
folder="${XDG_CACHE_HOME:-$HOME/.cache}/streamlstm/librdkafka-$version"
library="$folder/librdkafka.so.1"

if [ -f "$library" ]; then
    echo "$library"
    exit 0
fi

if [ "$(uname -s)" != Linux ]; then
    echo "error: this script builds for Linux only; elsewhere install librdkafka and set STREAMLSTM_LIBRDKAFKA to its path." >&2
    exit 1
fi

missing=
for tool in npm gcc g++ make tar sha256sum; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
for header in openssl/ssl.h zlib.h; do
    printf '#include <%s>\n' "$header" | ${CC:-gcc} -E - >/dev/null 2>&1 || missing="$missing $header"
done
if [ -n "$missing" ]; then
    echo "error: missing:$missing. On Debian or Ubuntu: apt-get install npm gcc g++ make libssl-dev zlib1g-dev" >&2
    exit 1
fi

mkdir -p "$folder"
# Beside the result, so that the last step is a rename: whoever sees the library sees all of it.
work=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

echo "Building librdkafka $version; this takes about a minute." >&2
cd "$work"
npm pack --silent --ignore-scripts "$package" >/dev/null
archive=$(ls ./*.tgz)
echo "$sha256  $archive" | sha256sum -c --status || {
    echo "error: $package is not the archive this script was written for (SHA-256 differs)." >&2
    exit 1
}
tar xzf "$archive" package/deps/librdkafka
cd package/deps/librdkafka
# Every library that can be built in or left out is, so that the result needs nothing but libssl and zlib.
if ! { ./configure --disable-gssapi --disable-lz4-ext --disable-curl --disable-zstd &&
       make -C src -j "$(getconf _NPROCESSORS_ONLN)" librdkafka.so.1; } >"$work/log" 2>&1; then
    tail -n 30 "$work/log" >&2
    echo "error: librdkafka $version did not build." >&2
    exit 1
fi
mv src/librdkafka.so.1 "$library"
echo "$library"
