#!/usr/bin/env bash
# The first process of a machine in namespaces: `boot.sh FOLDER`. Lays FOLDER/stage over this
# system's own files, in memory, and becomes systemd.
#
# A real root (pivot_root, shared mounts), because a plain chroot breaks what systemd does with mounts.
#
# Of whoever wants more of it: what is mounted at FOLDER/memory already is kept, and with it what the
# machine wrote at an earlier boot; FOLDER/provision runs in the new root, once, before systemd does;
# FOLDER/notify is a socket (sd_notify(3)) that is told when the machine is up.
set -euo pipefail
world=${1:?usage: boot.sh FOLDER}

mountpoint -q "$world/memory" || mount -t tmpfs tmpfs "$world/memory"
new=
if [ ! -e "$world/memory/upper" ]; then
    new=yes
    mkdir "$world"/memory/{upper,work,root}
    cp -a "$world/stage/." "$world/memory/upper"
fi
root=$world/memory/root
mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$world/memory/upper,workdir=$world/memory/work" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
# What PrivateDevices= makes its own /dev from.
mkdir dev/shm dev/pts dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
tell=()
if [ -S "$world/notify" ]; then
    touch run/mooring-test-notify
    mount --bind "$world/notify" run/mooring-test-notify
    tell=(NOTIFY_SOCKET=/run/mooring-test-notify)
fi
if [ -n "$new" ] && [ -x "$world/provision" ]; then
    cp "$world/provision" tmp/provision
    chroot . /tmp/provision
fi
mkdir -p before
pivot_root . before
umount -l /before
mount --make-rshared /
exec env -i container=mooring-test PATH=/usr/sbin:/usr/bin:/sbin:/bin "${tell[@]}" \
    /lib/systemd/systemd --log-target=console systemd.unit=multi-user.target
