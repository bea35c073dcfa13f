#!/usr/bin/env bash
# Checks the files that no compiler reads, as they are installed: units, bus files, introspection,
# configuration samples. A warning is an error.
#
# Usage: tests/verify.sh FOLDER      (with a built mooringd)
set -euo pipefail
cd "$(dirname "$0")/.."
binaries=$(cd "${1:?usage: tests/verify.sh FOLDER}" && pwd)

stage=$(mktemp -d "${TMPDIR:-/tmp}/mooring-verify.XXXXXX")
mkdir -m 0700 "$stage/run"
trap 'rm -rf "$stage"' EXIT

fail() {
    echo "verify: $*" >&2
    exit 1
}

# Installed as they would be, except that the programs are those that were built.
install_staged() {
    make --silent install-units DESTDIR="$stage" PREFIX=/usr bindir="$binaries" NOTIFY_RELOAD="$1"
}

# `verify` may complain and still end with 0: its complaints are what counts.
verify_unit() {
    local complaints
    # A person's service manager needs a runtime folder; this check must not need a session.
    complaints=$(XDG_RUNTIME_DIR=$stage/run HOME=$stage systemd-analyze verify --user --man=no \
        "$stage/usr/lib/systemd/user/mooringd.service" 2>&1) || true
    [ -z "$complaints" ] || fail "mooringd.service: $complaints"
}

units() {
    install_staged no
    verify_unit
    local version
    version=$(systemctl --version | awk 'NR == 1 { print $2 }')
    if [ "$version" -ge 253 ]; then
        install_staged yes
        verify_unit
    else
        echo "verify: systemd $version does not know Type=notify-reload; that drop-in is read by 253 and later"
    fi
}

# What D-Bus starts, what systemd runs and what the daemon asks for must be the same name.
names_agree() {
    local service=$stage/usr/share/dbus-1/services/org.mooring1.service
    grep -qx 'Name=org.mooring1' "$service" || fail "$service names another bus name than org.mooring1"
    grep -qx 'BusName=org.mooring1' "$stage/usr/lib/systemd/user/mooringd.service" ||
        fail "mooringd.service names another bus name than org.mooring1"
    grep -q 'BUS_NAME: &str = "org.mooring1"' daemon/api/src/lib.rs ||
        fail "daemon/api names another bus name than org.mooring1"
    local command
    command=$(sed -n 's/^Exec=//p' "$service")
    [ -x "${command%% *}" ] || fail "$service starts $command, which is not there"
}

xml() {
    local file
    for file in daemon/api/introspection/*.xml tests/demo/bus.conf; do
        # The document types are on the network, and are not needed to see that it is well-formed.
        xmllint --noout --nonet "$file" || fail "$file is not well-formed"
    done
}

# The samples, read by the daemon itself: once as shipped, and once with the examples in force.
configuration() {
    local way
    for way in shipped examples; do
        local folder=$stage/config-$way
        mkdir -p "$folder/mooring"
        cp -r config/. "$folder/mooring"
        if [ "$way" = examples ]; then
            # Examples begin with `#` and no space, prose with `# `.
            find "$folder" -name '*.toml' -exec sed -i 's/^#\([^ #]\)/\1/' {} +
        fi
        XDG_CONFIG_HOME=$folder XDG_STATE_HOME=$stage/state "$binaries/mooringd" --check-config ||
            fail "the configuration samples ($way) are not valid"
    done
}

units
names_agree
xml
configuration
echo "verify: units, bus files, introspection and configuration are in order"
