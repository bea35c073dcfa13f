#!/usr/bin/env bash
# The fetcher of signed policy against a real https server with a CA of its own: what it brings, what
# it asks a second time, and what it refuses to bring.
#
# Usage: tests/policy/fetch.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in curl openssl python3; do
    command -v "$program" >/dev/null || { echo "$program is missing: tests/setup.sh test" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/mooring-fetch.XXXXXX")
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
mkdir "$work/site" "$work/state"

fail() {
    echo "fetch: $*" >&2
    exit 1
}

certificates() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.pem" 2>/dev/null
}
certificates ca
certificates stranger
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 \
    -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
openssl x509 -req -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days 2 \
    -extfile <(echo 'subjectAltName=IP:127.0.0.1') -out "$work/server.pem" 2>/dev/null

mkfifo "$work/port" "$work/life"
python3 tests/policy/server.py "$work/site" "$work/server.pem" "$work/server.key" \
    <"$work/life" >"$work/port" 2>"$work/asked" &
server=$!
exec 9>"$work/life"
read -r port <"$work/port"

# fetch PATH [CA]
fetch() {
    MOORING_POLICY_URL="https://127.0.0.1:$port/$1" MOORING_POLICY_CA="$work/${2:-ca}.pem" \
        STATE_DIRECTORY="$work/state" systemd/libexec/mooring-policy-fetch 2>"$work/said"
}
same() {
    cmp --silent "$work/site/$1" "$work/state/$1" || fail "$1 did not arrive: $(cat "$work/said")"
}
# Nothing that is refused may touch what is there.
refused() {
    local what=$1
    shift
    if fetch "$@"; then fail "$what was fetched"; fi
    cmp --silent "$work/kept" "$work/state/policy.bundle" || fail "$what took the place of the bundle"
    [ -z "$(find "$work/state" -name '.fetch.*')" ] || fail "$what left something behind"
}

echo one >"$work/site/policy.bundle"
echo signature-one >"$work/site/policy.bundle.minisig"
fetch policy.bundle || fail "the first: $(cat "$work/said")"
same policy.bundle
same policy.bundle.minisig

inode=$(stat -c %i "$work/state/policy.bundle")
fetch policy.bundle || fail "again: $(cat "$work/said")"
[ "$(stat -c %i "$work/state/policy.bundle")" = "$inode" ] || fail "what had not changed was written again"
grep -q '^/policy.bundle "' "$work/asked" || fail "it did not ask by ETag"

# The signature that came late still comes, though the bundle has not changed.
echo signature-late >"$work/site/policy.bundle.minisig"
fetch policy.bundle || fail "a late signature"
same policy.bundle.minisig

echo two >"$work/site/policy.bundle"
fetch policy.bundle || fail "a newer one"
same policy.bundle

cp "$work/state/policy.bundle" "$work/kept"
refused "the answer of a server that nobody vouches for" policy.bundle stranger
refused "what is not there" nothing.bundle
refused "a redirection to http" plain.bundle
refused "an answer without an end" endless.bundle
head -c 1048577 /dev/zero >"$work/site/large.bundle"
echo s >"$work/site/large.bundle.minisig"
refused "a bundle that is too large" large.bundle
echo three >"$work/site/alone.bundle"
refused "a bundle without a signature" alone.bundle
if MOORING_POLICY_URL="http://127.0.0.1:$port/policy.bundle" STATE_DIRECTORY="$work/state" \
    systemd/libexec/mooring-policy-fetch 2>/dev/null; then
    fail "http was spoken"
fi
echo "fetch: a bundle and its signature come by https, once, whole, and from whom we trust"
