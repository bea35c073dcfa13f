#!/usr/bin/env bash
# Has the real polkitd read the files of polkit, and nothing else's: `polkit.sh FOLDER`, in a mount
# namespace of its own (unshare --mount), as root. Fails if it does not know an action of theirs, or
# complains of anything.
set -euo pipefail
files=${1:?usage: unshare --mount tests/polkit.sh FOLDER}
# How long polkitd may take to be there, in tenths of a second.
patience=300

[ "$(readlink /proc/self/ns/mnt)" != "$(readlink "/proc/$PPID/ns/mnt")" ] || {
    echo "polkit: not in a mount namespace of its own; run: unshare --mount $0 $files" >&2
    exit 1
}
# The files are read before anything is laid over their folders.
policy=$(cat "$files/org.mooring1.policy")
rules=$(cat "$files/org.mooring1.rules")
mount --make-rprivate /
for place in /run /etc/polkit-1 /usr/share/polkit-1; do
    mount -t tmpfs -o mode=0755 tmpfs "$place"
done
mkdir -p /run/dbus /run/systemd/{seats,sessions,users,machines} /etc/polkit-1/rules.d \
    /usr/share/polkit-1/{actions,rules.d}
echo "$policy" >/usr/share/polkit-1/actions/org.mooring1.policy
echo "$rules" >/usr/share/polkit-1/rules.d/org.mooring1.rules
cat >/run/bus.conf <<'EOF'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
EOF
started=()
trap 'kill "${started[@]}" 2>/dev/null || true' EXIT
coproc bus { exec dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile --print-address=1 2>/dev/null; }
started+=("$bus_PID")
read -r _ <&"${bus[0]}"
/usr/lib/polkit-1/polkitd >/run/polkitd.log 2>&1 &
started+=("$!")
for ((i = 0; ; i++)); do
    known=$(pkaction 2>/run/pkaction.log) && break
    [ "$i" -lt "$patience" ] || {
        cat /run/pkaction.log /run/polkitd.log >&2
        exit 1
    }
    sleep 0.1
done
described=$(sed -n 's/.*<action id="\([^"]*\)">.*/\1/p' <<<"$policy")
[ "$(sort <<<"$known")" = "$(sort <<<"$described")" ] || {
    echo "polkit: polkitd knows: $(xargs <<<"$known")" >&2
    exit 1
}
if grep -i error /run/polkitd.log >&2 || ! grep -q 'executing 1 rules' /run/polkitd.log; then
    cat /run/polkitd.log >&2
    exit 1
fi
