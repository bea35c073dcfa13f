# The stage of the demo: a world of its own, processes that are stopped by their ID, a page that
# prints commands as one would type them, and comparisons. Sourced by `run`.
# shellcheck shell=bash

# Bound on every wait, in seconds.
patience=120
pids=()
daemon_pid=
proofs=()
quiet=
data=
bin=

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --bin) bin=${2:?--bin needs a folder} && shift 2 ;;
            --data) data=${2:?--data needs a folder} && shift 2 ;;
            --quiet) quiet=yes && shift ;;
            *) echo "usage: tests/demo/run --bin FOLDER [--data FOLDER] [--quiet]" >&2 && exit 2 ;;
        esac
    done
    local name
    for name in mooringd mooring-worker mooringctl mooring-samples; do
        [ -x "$bin/$name" ] || stop "$bin/$name is missing; run: make debug"
    done
    command -v dbus-daemon >/dev/null || stop "dbus-daemon is missing; run: apt-get install dbus"
    bin=$(cd "$bin" && pwd)
    if [ -n "$data" ]; then
        [ -d "$data" ] || stop "$data is not a folder"
        data=$(cd "$data" && pwd)
    fi
}

# Before there is a page.
stop() {
    echo "demo: $*" >&2
    exit 1
}

make_world() {
    world=$(mktemp -d "${TMPDIR:-/tmp}/mooring-demo.XXXXXX")
    trap clean_up EXIT
    trap 'fail "this ended with $?: $BASH_COMMAND"' ERR
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    exec 5>&1
    [ -z "$quiet" ] || exec >"$world/page" 2>&1
    storage=$world/disk mark=$world/died
    mkdir -m 0700 "$storage"
    # Nothing of the machine's own session gets in.
    local name
    for name in $(compgen -e | grep -E '^(XDG_|DBUS_|MOORING_)' || true); do unset "$name"; done
    export LC_ALL=C.UTF-8 TERM=dumb MOORING_WORKER=$bin/mooring-worker
    first_device
    start_bus
}

first_device() {
    at_device home run
}

second_device() {
    at_device other-home other-run
    start_bus
}

# HOME RUN: from here on everything happens at the device with these folders.
at_device() {
    home=$world/$1 run=$world/$2
    account=$home/Accounts/$identity state=$home/.local/state/mooring
    mkdir -p -m 0700 "$home" "$run"
    export HOME=$home XDG_RUNTIME_DIR=$run DBUS_SESSION_BUS_ADDRESS=unix:path=$run/bus MOORING_BUS=session
}

start_bus() {
    sed "s|@socket@|$run/bus|" "$here/bus.conf" >"$run/bus.conf"
    dbus-daemon --config-file="$run/bus.conf" --nofork --nopidfile </dev/null >"$run/bus.log" 2>&1 &
    pids+=($!)
    wait_until "the message bus" test -S "$run/bus"
}

has_receipt() {
    compgen -G "$1/*.toml" >/dev/null
}

# Extra words are variables for the daemon's environment.
start_daemon() {
    env "$@" "$bin/mooringd" --session </dev/null >>"$world/mooringd.log" 2>&1 &
    daemon_pid=$!
    pids+=("$daemon_pid")
    wait_until "mooringd" answers
}

answers() {
    kill -0 "$daemon_pid" 2>/dev/null || fail "mooringd ended"
    "$bin/mooringctl" policy show >/dev/null 2>&1
}

stop_daemon() {
    kill -TERM "$daemon_pid"
    wait "$daemon_pid" || fail "mooringd did not stop cleanly"
    forget "$daemon_pid"
}

kill_daemon() {
    kill -KILL "$daemon_pid"
    wait "$daemon_pid" 2>/dev/null || true
    forget "$daemon_pid"
}

# Once waited for, an ID may be anybody's.
forget() {
    local pid kept=()
    for pid in "${pids[@]}"; do [ "$pid" -eq "$1" ] || kept+=("$pid"); done
    pids=("${kept[@]}")
}

# WHAT COMMAND...: until the command succeeds.
wait_until() {
    local what=$1 end=$((SECONDS + patience))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "waited $patience s for $what"
        sleep 0.02
    done
}

# Until the policy in force is the one of this organisation, or none.
wait_for_policy() {
    wait_until "the policy" policy_is "$1"
}

policy_is() {
    "$bin/mooringctl" policy show >"$world/policy" 2>&1 || return 1
    if [ -n "$1" ]; then grep -qF "$1" "$world/policy"; else ! grep -qF 50-audit "$world/policy"; fi
}

# --- the page ---

title() {
    printf '\n\n## %s\n' "$*"
}

say() {
    printf '\n%s\n' "$*" | fold -s -w 96
}

indent() {
    sed 's/^/    /'
}

show() {
    # The home of this page is a folder in the temporary one; to a person it is theirs.
    printf '\n    $ %s\n' "${*//"$home"/\~}"
}

# Shows a command, runs it just so, and prints what it says.
run() {
    local code=0
    show "$1"
    bash -c "$1" >"$world/said" 2>&1 || code=$?
    indent <"$world/said"
    return "$code"
}

# Shows a call as it would be typed: the password comes from a descriptor, never from an argument.
show_ctl() {
    local password=$1 line=mooringctl word
    shift
    for word; do line+=" $(printf '%q' "$word")"; done
    [ -z "$password" ] || line+=" --password-fd 3 3<<<'$password'"
    show "$line"
}

# CODE PASSWORD ARGUMENTS...: shows the call, makes it, prints what it said, and holds it to its code.
ctl() {
    local want=$1 password=$2 code=0
    shift 2
    show_ctl "$password" "$@"
    last_output=$world/output
    # A session of its own has no terminal: the page is then all that there is to read.
    if [ -n "$password" ]; then
        setsid -w "$bin/mooringctl" "$@" --password-fd 3 3<<<"$password" </dev/null >"$last_output" 2>&1 || code=$?
    else
        setsid -w "$bin/mooringctl" "$@" </dev/null >"$last_output" 2>&1 || code=$?
    fi
    indent <"$last_output"
    [ "$want" -eq 0 ] || printf '    (exit code %s)\n' "$code"
    [ "$code" -eq "$want" ] || fail "mooringctl $1 ended with $code, not $want"
}

proved() {
    proofs+=("$*")
}

fail() {
    trap - ERR INT TERM HUP
    if [ -n "$quiet" ]; then cat "$world/page" >&5; fi
    {
        printf '\nDEMO FAILED: %s\n' "$*"
        if [ -s "$world/mooringd.log" ]; then
            printf 'The last lines of the journal:\n'
            tail -n 30 "$world/mooringd.log" | indent
        fi
    } >&5
    exit 1
}

the_end() {
    local proof
    exec >&5
    printf '\n\n'
    for proof in "${proofs[@]}"; do printf 'Proved: %s.\n' "$proof"; done
    printf 'DEMO PASSED in %s s.\n' "$SECONDS"
}

clean_up() {
    local code=$? pid
    trap - EXIT INT TERM HUP
    [ "$code" -lt 128 ] || printf '\nDEMO STOPPED (signal %s)\n' "$((code - 128))" >&5
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    # A worker sees that its daemon is gone, and ends: nobody may write into what is being removed.
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    wait_for_workers
    chmod -R u+rwX "$world" 2>/dev/null || true
    rm -rf "$world"
    exit "$code"
}

# The workers of this world hold its journal open.
wait_for_workers() {
    local turn
    for turn in $(seq 250); do
        workers_here || return 0
        sleep 0.02
    done
    echo "demo: a worker is still running after $turn looks; its folder is $world" >&5
}

workers_here() {
    local link
    for link in /proc/[0-9]*/fd/2; do
        [ "$(readlink "$link" 2>/dev/null)" != "$world/mooringd.log" ] || return 0
    done
    return 1
}

# --- files ---

fill_folders() {
    if [ -z "$data" ]; then
        run "$bin/mooring-samples ~/Accounts/$identity" || fail "the sample files cannot be written"
        run "du -h -d 1 --exclude='.mooring-*' ~/Accounts/$identity | sort -k 2"
        say "Photos, a video, contacts and texts, some with names, permissions and times that programs" \
            "tend to lose."
    else
        show "cp -a $(printf '%q' "$data")/. ~/Accounts/$identity/Documents"
        mkdir "$world/copy"
        # Regular files and folders: links and devices stay on a device, and are not part of this story.
        (cd "$data" && find . -mindepth 1 \( -type f -o -type d \) -print0 |
            tar --null --no-recursion --hard-dereference -T - -cf -) | tar -xpf - -C "$world/copy"
        cp -a "$world/copy/." "$account/Documents"
    fi
    half=$(find_files "$account" | count)
    half=$(((half + 1) / 2))
}

# NUL after each: a name may hold a newline. What Mooring itself keeps there is not a person's file.
find_files() {
    find "$1" -name .mooring -prune -o -type f ! -name '.mooring-*' -print0
}

count() {
    tr -dc '\0' | wc -c
}

# One line a name, newlines in it as \001: of a file kind, permissions, size, time, and again with its
# SHA-256; of a folder name and permissions.
manifest() {
    (
        cd "$1"
        find . -mindepth 1 ! -name '.mooring-*' \
            \( -type d -printf '%y %m - - %P\0' -o -printf '%y %m %s %T@ %P\0' \) | sort -z
        find . -type f ! -name '.mooring-*' -print0 | sort -z | xargs -0 -r sha256sum -z --
    ) | tr '\n\0' '\001\n'
}

# Not a file of the account has changed since the first look.
untouched() {
    manifest "$account" | cmp -s - "$before" || fail "files changed that should not have"
}

# Whether all that `diff -r` found is what Mooring itself keeps in a folder.
only_markers() {
    ! grep -qv '^Only in .*: \.mooring-' "$1"
}
