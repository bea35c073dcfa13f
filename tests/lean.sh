#!/usr/bin/env bash
# Holds the parts to their directions: who may depend on whom inside Mooring, and what the broker,
# which keeps the secrets, must not even be linked with (network, TLS, XML).
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
fail() {
    echo "dependencies: $*" >&2
    status=1
}

# The names of everything that PACKAGE is built from, one a line. Any feature that one can ask for
# counts.
tree() {
    cargo tree --locked --package "$1" --edges "$2" --all-features --prefix none --format '{p}' |
        cut -d' ' -f1 | sort -u
}

# Mooring's own crates that PACKAGE names directly may only be those that follow.
direct() {
    local package=$1 allowed found
    shift
    allowed=$(printf '%s\n' "$package" "$@" | sort)
    found=$(cargo tree --locked --package "$package" --edges normal,build --all-features --depth 1 \
        --prefix none --format '{p}' | cut -d' ' -f1 | grep -E '^(mooring|mooringd|mooringctl)' | sort -u)
    local extra
    extra=$(comm -13 <(echo "$allowed") <(echo "$found") | xargs)
    [ -z "$extra" ] || fail "$package must not depend on $extra"
}

direct mooring-api
direct mooring-core
direct mooring-wire
direct mooring-worker mooring-core mooring-wire
direct mooringd mooring-api mooring-core mooring-wire
direct mooringctl mooring-api

# The broker parses nothing that came from the network and opens no network socket.
forbidden='^(hyper|hyper-util|reqwest|ureq|rustls|openssl|openssl-sys|native-tls|h2|quick-xml|zbus_xml|roxmltree|xml-rs)$'
found=$(tree mooringd normal | grep -E "$forbidden" | xargs || true)
[ -z "$found" ] || fail "mooringd is built from $found"

# The domain is values: no bus, no runtime, no database, no system calls, no command line.
found=$(tree mooring-core normal | grep -E '^(zbus|tokio|rusqlite|nix|rustix|clap)$' | xargs || true)
[ -z "$found" ] || fail "mooring-core is built from $found"

[ "$status" -ne 0 ] || echo "dependencies: in order"
exit "$status"
