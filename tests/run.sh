#!/usr/bin/env bash
# The test command: checks what is needed, builds, checks style and hygiene, runs every test project.
#   tests/run.sh [--install] [--category NAME]… [--not-category NAME]… [-- xunit options]
# The last line is "N passed, N failed, N skipped"; the exit code is 0 only if something ran and nothing failed.
set -uo pipefail

usage() {
    cat <<'TEXT'
usage: tests/run.sh [--install] [--category NAME]... [--not-category NAME]... [-- xunit options]

  --install            install what is missing with apt-get (needs root or sudo)
  --category NAME      only tests of this category: Broker, Browser, E2E, ... (tests/README.md)
  --not-category NAME  without tests of this category
  -- OPTIONS           handed to every test project, such as -- -class '*MqttSinkTests'
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) && cd "$root" || exit 1
install=false
filters=()
while [ $# -gt 0 ]; do
    case $1 in
        --install) install=true ;;
        --category | --not-category)
            if [ $# -lt 2 ]; then
                usage >&2
                exit 2
            fi
            if [ "$1" = --category ]; then filters+=(-trait "Category=$2"); else filters+=(-trait- "Category=$2"); fi
            shift
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        --)
            shift
            filters+=("$@")
            break
            ;;
        *)
            echo "error: unknown option $1" >&2
            usage >&2
            exit 2
            ;;
    esac
    shift
done

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1
export PATH="$PATH:/usr/sbin:/usr/local/sbin"
passed=0
failed=0
skipped=0
started=$SECONDS


finish() {
    echo
    echo "took $((SECONDS - started)) s"
    echo "$passed passed, $failed failed, $skipped skipped"
    if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then exit 1; fi
    exit 0
}

# A step that isn't a test counts as one failure, so that the last line tells the truth.
fail() {
    echo "FAILED: $1" >&2
    failed=$((failed + 1))
}

step() { printf '\n== %s\n' "$1"; }

# ---- What is needed: a command or a header, and the Debian package that brings it. ----
has() {
    case $1 in
        *.h) printf '#include <%s>\n' "$1" | gcc -E - >/dev/null 2>&1 ;;
        dotnet) command -v dotnet >/dev/null && dotnet --list-sdks 2>/dev/null | grep -q '^10\.' ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

needs="
mosquitto mosquitto
mosquitto_sub mosquitto-clients
promtool prometheus
chromium chromium
npm npm
curl curl
gcc gcc
g++ g++
make make
openssl/ssl.h libssl-dev
zlib.h zlib1g-dev
dotnet dotnet-sdk-10.0"

list_missing() {
    local what package
    while read -r what package; do
        if [ -n "$what" ] && ! has "$what"; then echo "$what $package"; fi
    done <<<"$needs"
}

install_packages() {
    local package known=() as_root=() policy=/usr/sbin/policy-rc.d made_policy=false status=0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "error: --install needs root or sudo." >&2
            return 1
        fi
        as_root=(sudo)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "error: --install knows apt-get only; install the packages above in your system's way." >&2
        return 1
    fi
    # Brokers and Prometheus are started by the tests on free ports; as services they are not wanted.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null && "${as_root[@]}" chmod 755 "$policy" && made_policy=true
    fi
    "${as_root[@]}" apt-get update -qq </dev/null || status=1
    # One unknown name would keep apt-get from installing the others (the .NET SDK isn't in every distribution).
    for package in "$@"; do
        if [ -n "$(apt-cache madison "$package" 2>/dev/null)" ]; then known+=("$package"); else echo "apt-get has no $package" >&2; fi
    done
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${known[@]}" </dev/null >/dev/null || status=1
    if $made_policy; then "${as_root[@]}" rm -f "$policy"; fi
    return $status
}

step "What the tests need"
missing=$(list_missing)
if [ -n "$missing" ]; then
    echo "missing (command or header, package):"
    printf '%s\n' "$missing"
    if $install; then
        mapfile -t packages < <(cut -d' ' -f2 <<<"$missing" | sort -u)
        install_packages "${packages[@]}" || echo "apt-get did not install everything" >&2
        hash -r
        missing=$(list_missing)
    fi
    if [ -n "$missing" ]; then
        if ! has dotnet; then echo "The .NET SDK 10 is at https://dot.net/download" >&2; fi
        fail "missing: $(cut -d' ' -f2 <<<"$missing" | sort -u | tr '\n' ' ')(tests/run.sh --install installs them)"
        finish
    fi
fi
echo "all there"

# ---- The library of Kafka's protocol, cached outside the tree. ----
if [ -x tests/tools/build-librdkafka.sh ]; then
    step "librdkafka"
    if library=$(timeout 600 tests/tools/build-librdkafka.sh </dev/null); then
        export STREAMLSTM_LIBRDKAFKA=$library
        echo "$library"
    else
        fail "tests/tools/build-librdkafka.sh"
    fi
fi

step "Build"
at=$SECONDS
if ! timeout 900 dotnet build StreamLstm.sln -c Release -v q -nodeReuse:false -p:UseSharedCompilation=false -clp:NoSummary </dev/null; then
    fail "build"
    finish
fi
echo "built in $((SECONDS - at)) s"

step "Hygiene"
at=$SECONDS
if ! timeout 300 dotnet format whitespace StreamLstm.sln --no-restore --verify-no-changes </dev/null; then fail "dotnet format whitespace"; fi
if ! timeout 300 dotnet format style StreamLstm.sln --no-restore --verify-no-changes </dev/null; then fail "dotnet format style"; fi
# Paths of one machine and hosts of package registries have no place in the tree. ([/] keeps this line from finding itself.)
forbidden='(^|[^[:alnum:]_.])[/](work|root|home/[a-z]+)/|api[.]nuget[.]org|registry[.]npmjs[.]org|registry[.]yarnpkg[.]com|deb[.]debian[.]org'
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    found=$(git grep -nIE "$forbidden" -- .)
else
    found=$(grep -rnIE "$forbidden" . --exclude-dir=bin --exclude-dir=obj --exclude-dir=node_modules --exclude-dir=.git)
fi
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    fail "absolute paths or registry hosts in the tree"
fi
echo "checked in $((SECONDS - at)) s"

# ---- Tests: one project after the other; a project without a summary (crash, time limit) is a failure. ----
summary=()
run_tests() { # name, label, then variables for env and, after --, options for xunit
    local name=$1 label=$2 environment=() at=$SECONDS log status line took bad skip good
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    if [ $# -gt 0 ]; then shift; fi
    step "$label"
    log=$(mktemp)
    env "${environment[@]}" timeout --kill-after=20 840 dotnet "tests/$name/bin/Release/net10.0/$name.dll" -noLogo -noColor "$@" </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    line=$(grep -E "^ *$name +Total: " "$log" | tail -n 1)
    rm -f "$log"
    took=$((SECONDS - at))
    if [[ $line =~ Total:\ ([0-9]+),\ Errors:\ ([0-9]+),\ Failed:\ ([0-9]+),\ Skipped:\ ([0-9]+),\ Not\ Run:\ ([0-9]+) ]]; then
        bad=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
        skip=${BASH_REMATCH[4]}
        good=$((BASH_REMATCH[1] - BASH_REMATCH[3] - skip - BASH_REMATCH[5]))
        if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    elif [ "$status" -eq 0 ] && [ ${#filters[@]} -gt 0 ] && [[ $line =~ Total:\ 0\ *$ ]]; then
        good=0 skip=0 bad=0 # none of those asked for is in this project
    else
        good=0 skip=0 bad=1
        if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then echo "stopped after $took s" >&2; else echo "ended without a summary, exit code $status" >&2; fi
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
    summary+=("$(printf '%-40s %5d passed %4d failed %4d skipped %5d s' "$label" "$good" "$bad" "$skip" "$took")")
}

for project in tests/*.Tests; do
    name=$(basename "$project")
    run_tests "$name" "$name" -- "${filters[@]}"
done
# The kernels once more with narrower vectors: their results must not depend on the machine's width.
if [ ${#filters[@]} -eq 0 ]; then
    for width in 256 128; do
        run_tests StreamLstm.Core.Tests "StreamLstm.Core.Tests, $width bit" "STREAMLSTM_SIMD=$width" -- -namespace StreamLstm.Core.Tests.Kernels
    done
fi

step "Summary"
printf '%s\n' "${summary[@]}"
finish
