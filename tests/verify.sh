#!/usr/bin/env bash
# Checks the files that no compiler reads, as they are installed: units, bus files, introspection,
# configuration samples, manual pages, completions. A warning is an error.
#
# Usage: tests/verify.sh FOLDER      (with the built programs, and the example mooringd-man)
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

# The most that `systemd-analyze security` may say of each (10 is no bounds at all).
declare -rA most_exposed=([mooringd.service]=1.0 [mooring-worker@.service]=2.0)

# The units of system mode: nothing to complain of, and no looser than they are meant to be.
system_units() {
    local unit script complaints exposure units=$stage/usr/lib/systemd/system
    for unit in "${!most_exposed[@]}"; do
        # The worker is not beside the other programs where those that were built are installed.
        sed -i "s|^ExecStart=.*/mooring-worker |ExecStart=$binaries/mooring-worker |" "$units/$unit"
        complaints=$(systemd-analyze verify --man=no "$units/${unit/@./@1000.}" 2>&1) || true
        # Units of this machine that it looks at on the way are not ours.
        complaints=$(grep -i mooring <<<"$complaints" || true)
        [ -z "$complaints" ] || fail "$unit: $complaints"
        exposure=$(systemd-analyze security --offline=true --no-pager "$units/$unit" |
            sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
        [ -n "$exposure" ] || fail "systemd-analyze says nothing about how exposed $unit is"
        awk -v is="$exposure" -v most="${most_exposed[$unit]}" 'BEGIN { exit !(is <= most) }' ||
            fail "$unit is exposed at $exposure, and may be at ${most_exposed[$unit]}"
    done
    systemd-sysusers --root="$stage" "$stage/usr/lib/sysusers.d/mooring.conf" >/dev/null 2>&1 ||
        fail "sysusers.d/mooring.conf is not valid"
    for script in systemd/debian/{build,postinst,prerm,postrm}; do
        bash -n "$script" || fail "$script does not parse"
    done
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
    for file in daemon/api/introspection/*.xml tests/demo/bus.conf systemd/dbus/*.conf systemd/polkit/*.policy; do
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

# Every command that --help shows has its page, and what formats pages has nothing to say of any.
pages() {
    local page command complaints
    make --silent pages install-pages DESTDIR="$stage" PREFIX=/usr BUILT="$binaries" PAGES="$stage/pages" >/dev/null
    for command in $("$binaries/mooringctl" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
        [ "$command" = help ] || [ -s "$stage/usr/share/man/man1/mooringctl-$command.1" ] ||
            fail "mooringctl $command has no manual page"
    done
    for page in man1/mooringctl.1 man5/mooring.toml.5 man5/mooring-policy.5 man5/org.mooring1.5 man8/mooringd.8 man8/mooring-worker.8; do
        [ -s "$stage/usr/share/man/$page" ] || fail "there is no $page"
    done
    local word
    for word in $(sed -n 's/.*<\(method\|property\|signal\) name="\([A-Za-z]*\)".*/\2/p' daemon/api/introspection/*.xml) \
        $(sed -n 's/^    \([A-Z][A-Za-z]*\)(String),$/org.mooring1.Error.\1/p' daemon/api/src/error.rs); do
        grep -q "^\\\\fB$word\\\\fP" "$stage/usr/share/man/man5/org.mooring1.5" || fail "org.mooring1(5) has no $word"
    done
    for page in "$stage"/usr/share/man/man*/*; do
        complaints=$(LC_ALL=C.UTF-8 man --warnings -l "$page" 2>&1 >/dev/null) || true
        [ -z "$complaints" ] || fail "$page: $complaints"
    done
}

completions() {
    local share=$stage/usr/share
    bash -n "$share/bash-completion/completions/mooringctl" || fail "the completions for bash do not parse"
    # The words that bash would offer after `mooringctl sign-o`.
    local offered
    offered=$(bash -c '. "$1"; COMP_WORDS=(mooringctl sign-o); COMP_CWORD=1
        _mooringctl mooringctl sign-o mooringctl 2>/dev/null; echo "${COMPREPLY[*]}"' - \
        "$share/bash-completion/completions/mooringctl")
    [ "$offered" = sign-out ] || fail "bash completes sign-o with: $offered"
    local zsh=$share/zsh/site-functions/_mooringctl fish=$share/fish/vendor_completions.d/mooringctl.fish
    [ -s "$zsh" ] && [ -s "$fish" ] || fail "completions are missing"
    zsh -n "$zsh" || fail "the completions for zsh do not parse"
    fish -n "$fish" || fail "the completions for fish do not parse"
    # The words that fish would offer.
    offered=$(fish -c "source '$fish'; complete -C 'mooringctl sign-o'" | cut -f1)
    [ "$offered" = sign-out ] || fail "fish completes sign-o with: $offered"
}

# The texts to the entries of the audit, read by the journal's own tool into a root of its own.
catalog() {
    local folder=$stage/catalog/usr/lib/systemd/catalog id
    mkdir -p "$folder" "$stage/catalog/var/lib/systemd/catalog"
    cp systemd/catalog/mooring.catalog "$folder"
    journalctl --root="$stage/catalog" --update-catalog || fail "the catalog cannot be read"
    for id in $(sed -n 's/^-- //p' systemd/catalog/mooring.catalog); do
        journalctl --root="$stage/catalog" --dump-catalog "$id" | grep -q '^Subject: ' ||
            fail "the catalog has no text for $id"
    done
}

# As much as a unit may be exposed to, by systemd's own measure: 2.0 of 10.
fetcher() {
    local unit=$stage/mooring-policy-fetch.service version
    sed 's|@workerdir@|/usr/libexec/mooring|g' systemd/system/mooring-policy-fetch.service >"$unit"
    version=$(systemctl --version | awk 'NR == 1 { print $2 }')
    if [ "$version" -lt 250 ]; then
        echo "verify: systemd $version cannot measure a unit that is not loaded"
        return
    fi
    systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >/dev/null ||
        fail "mooring-policy-fetch.service is exposed to more than 2.0"
}

# What polkit reads: the description of the actions by its document type, and both by polkitd itself,
# on a bus and with folders of its own (which takes root; the rest does not).
polkit() {
    local dtd=/usr/share/polkit-1/policyconfig-1.dtd
    xmllint --noout --nonet --dtdvalid "$dtd" systemd/polkit/org.mooring1.policy ||
        fail "org.mooring1.policy is not valid"
    if [ "$(id -u)" -ne 0 ]; then
        echo "verify: not root: polkitd does not read its files here (make polkit, as root, has it do so)"
        return
    fi
    unshare --mount tests/polkit.sh "$PWD/systemd/polkit" || fail "polkitd does not take its files"
}

units
catalog
polkit
fetcher
names_agree
xml
configuration
pages
completions
echo "verify: units, bus files, introspection, configuration, pages and completions are in order"
