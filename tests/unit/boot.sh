#!/usr/bin/env bash
# The first process of a machine in namespaces: `boot.sh FOLDER`. Lays FOLDER/stage over this
# system's own files, in memory, and becomes systemd.
#
# A real root (pivot_root, shared mounts), because a plain chroot breaks what systemd does with mounts.
set -euo pipefail
world=${1:?usage: boot.sh FOLDER}

mount -t tmpfs tmpfs "$world/memory"
mkdir "$world"/memory/{upper,work,root}
root=$world/memory/root
cp -a "$world/stage/." "$world/memory/upper"
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
mkdir dev/shm dev/pts
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir before
pivot_root . before
umount -l /before
mount --make-rshared /
exec env -i container=mooring-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-target=console systemd.unit=multi-user.target
