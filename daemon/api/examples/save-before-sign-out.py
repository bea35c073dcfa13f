#!/usr/bin/env python3
"""An editor, without its window: saves a text before its account is signed out of this device.

    save-before-sign-out.py alice notes.txt "not saved yet"

Needs PyGObject (Debian: python3-gi), and nothing else. The order matters: listen, then take the
lock; save, then close the lock.
"""

import os
import sys

from gi.repository import Gio, GLib

NAME = "org.mooring1"
ROOT = "/org/mooring1"


def call(bus, path, interface, method, parameters=None):
    flags, no_limit = Gio.DBusCallFlags.NONE, -1
    answer = bus.call_sync(NAME, path, interface, method, parameters, None, flags, no_limit, None)
    return answer.unpack()[0]


def find(bus, identity):
    """The path of the account of an identity, and the folder of its documents."""
    objects = call(bus, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
    for path, interfaces in objects.items():
        if interfaces.get("org.mooring1.Account", {}).get("Identity") != identity:
            continue
        for collection in interfaces["org.mooring1.Account.Files"]["Collections"]:
            if collection["name"] == "documents":
                return path, os.fsdecode(bytes(collection["root"]))
    sys.exit(f"{identity} is not signed in, or keeps no documents")


def inhibit(bus):
    """A lock: an open descriptor, held until it is closed."""
    request = GLib.Variant(
        "(ssss)", ("sign-out", "Example editor", "a text is not saved", "delay")
    )
    _, descriptors = bus.call_with_unix_fd_list_sync(
        NAME, ROOT, "org.mooring1.Manager", "Inhibit", request,
        GLib.VariantType("(h)"), Gio.DBusCallFlags.NONE, -1, None, None,
    )
    return descriptors.get(0)


def save(path, text):
    """The file is there as a whole or not at all."""
    unfinished = path + ".part"
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(unfinished, path)


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: save-before-sign-out.py IDENTITY NAME TEXT")
    identity, name, text = sys.argv[1:]
    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    account, folder = find(bus, identity)
    loop = GLib.MainLoop()
    lock = None

    def signing_out(_bus, _sender, _path, _interface, _signal, parameters):
        # False tells of a sign-out that was given up: nothing to do.
        if parameters.unpack()[0]:
            save(os.path.join(folder, name), text)
            os.close(lock)
            print("saved", flush=True)
            loop.quit()

    bus.signal_subscribe(
        NAME, "org.mooring1.Account", "SigningOut", account, None,
        Gio.DBusSignalFlags.NONE, signing_out,
    )
    lock = inhibit(bus)
    print("ready", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
