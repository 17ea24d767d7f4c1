#!/usr/bin/env bash
# Takes the README's picture: the browser test of the demo starts it on a free port, waits for a clear anomaly, and photographs the page.
#   tests/screenshot.sh [OUT.png]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-$root/src/StreamLstm.Worker/Page/screenshot.png}
project=$root/tests/StreamLstm.Integration.Tests
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
dotnet build -c Release -v q -nodeReuse:false "$project"
STREAMLSTM_SCREENSHOTS=$folder timeout 200 dotnet "$project/bin/Release/net10.0/StreamLstm.Integration.Tests.dll" -noLogo -class '*DemoPageTests'
mv "$folder/demo.png" "$out"
ls -l "$out"
