#!/usr/bin/env bash
# Installs what the demo, the tests and the checks need on Debian and its kin, and only what is
# missing. Says what it installs. Needs root or sudo; without either it prints the line to run and
# fails. Installs nothing silently and skips nothing silently.
#
# Usage: tests/setup.sh [demo|test|polkit|machine|check|fuzz|bench|count]...     (none: all)
set -euo pipefail

usage() {
    echo "usage: tests/setup.sh [demo|test|polkit|machine|check|fuzz|bench|count]..." >&2
    exit 2
}

# The programs (or files) that each purpose needs, and the package that holds each: PROGRAM:PACKAGE.
needs() {
    local common="cc:gcc /usr/include/stdio.h:libc6-dev dbus-daemon:dbus"
    case $1 in
        demo) echo "$common" ;;
        test) echo "$common mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mount:mount script:bsdutils busctl:systemd /usr/lib/systemd/user/dbus.socket:dbus-user-session b3sum:b3sum gnome-keyring-daemon:gnome-keyring /usr/lib/python3/dist-packages/gi/__init__.py:python3-gi minisign:minisign curl:curl openssl:openssl python3:python3" ;;
        machine) echo "$common busctl:systemd /usr/lib/polkit-1/polkitd:polkitd nsenter:util-linux useradd:passwd make:make strip:binutils dpkg-shlibdeps:dpkg-dev deb-systemd-helper:init-system-helpers lintian:lintian" ;;
        polkit) echo "$common /usr/lib/polkit-1/polkitd:polkitd busctl:systemd setpriv:util-linux script:bsdutils /usr/share/polkit-1/actions/org.freedesktop.systemd1.policy:systemd" ;;
        fuzz) echo "$common g++:g++" ;;
        bench) echo "$common rsync:rsync b3sum:b3sum restic:restic /usr/share/dbus-1/services/org.gnome.OnlineAccounts.service:gnome-online-accounts" ;;
        count) echo "$common strace:strace valgrind:valgrind taskset:util-linux" ;;
        check) echo "$common /usr/lib/polkit-1/polkitd:polkitd systemd-analyze:systemd xmllint:libxml2-utils man:man-db zsh:zsh fish:fish" ;;
        *) usage ;;
    esac
}

is_here() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing_packages() {
    local purpose pair packages=()
    for purpose; do
        for pair in $(needs "$purpose"); do
            is_here "${pair%%:*}" || packages+=("${pair#*:}")
        done
    done
    printf '%s\n' "${packages[@]}" | sort -u | xargs
}

install_packages() {
    local packages=$1 root=() update="apt-get update -qq" install
    install="apt-get install -y -qq --no-install-recommends $packages"
    if ! command -v apt-get >/dev/null; then
        echo "setup: missing here: $packages. Install them with this system's package manager." >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        # `sudo -n` fails where a password would be asked and nobody may be there to type it.
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            root=(sudo)
        else
            echo "setup: missing here: $packages. As root, run:" >&2
            echo "  $update && $install" >&2
            exit 1
        fi
    fi
    echo "setup: installing with apt-get: $packages"
    # shellcheck disable=SC2086 -- lists of words
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive $update
    # shellcheck disable=SC2086
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive $install >/dev/null
}

rust() {
    if ! command -v cargo >/dev/null; then
        echo "setup: cargo is missing. Mooring needs Rust 1.89 or later: https://rustup.rs/" >&2
        exit 1
    fi
    local purpose
    for purpose; do
        [ "$purpose" = check ] || continue
        cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && continue
        if ! command -v rustup >/dev/null; then
            echo "setup: rustfmt or clippy is missing. Install the packages of this Rust: rustfmt, rust-clippy." >&2
            exit 1
        fi
        echo "setup: adding rustfmt and clippy to the Rust toolchain"
        rustup component add rustfmt clippy
    done
}

main() {
    [ $# -gt 0 ] || set -- demo test check
    local purpose packages
    for purpose; do needs "$purpose" >/dev/null; done
    packages=$(missing_packages "$@")
    [ -z "$packages" ] || install_packages "$packages"
    rust "$@"
}

main "$@"
