"""Changes a person's files while they are being removed, in every way that a program can.

racer.py ROOT FOLDERS FILES ROUNDS NUMBER DECOY... [--bind]

ROOT/race K/NNNN are the files, K one of FOLDERS, NNNN each number below FILES that is K modulo the
number of all folders (8). It says `ready` on the standard error, waits until the first of its files
is gone, attacks them ROUNDS times or until its input ends, and prints what it did (`round KIND COUNT`)
and what it is owed: the last content that each file had (`owed PATH<TAB>CONTENT`). It never destroys
what is not its own, and follows no link. Each file is attacked in one way; its folder, by being
swapped for a decoy.

A file that has no name any more when open() returns was removed a moment earlier (`late`): no
program can tell the one from the other.
"""

import ctypes
import errno
import mmap
import os
import random
import select
import sys

ALL_FOLDERS = 8
# How many files are held open, or mapped, while others are attacked.
HELD = 6
# Tries in a row without anything to attack after which all is over.
MISSES = 4000
# How long a decoy stays, in looks at it.
LOOKS = 60
NOREPLACE, BIND, DETACH, HERE = 1, 4096, 2, -100

libc = ctypes.CDLL(None, use_errno=True)


def check(answer):
    if answer != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def move(source, to):
    """Moves, and never replaces."""
    try:
        check(libc.renameat2(HERE, os.fsencode(source), HERE, os.fsencode(to), NOREPLACE))
        return True
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EBUSY, errno.EXDEV):
            return False
        raise


class Late(Exception):
    """It was removed while it was being opened."""


class Racer:
    def __init__(self, root, folders, files, number, decoys, bind):
        self.root, self.folders, self.files = root, folders, files
        self.name, self.decoys, self.bind = number, decoys, bind
        self.number, self.nothing = 0, os.open("/dev/null", os.O_RDONLY)
        self.owed, self.rounds, self.held = {}, {}, []
        random.seed(int(number))
        self.numbers = [nr for nr in range(files) if nr % ALL_FOLDERS in folders]
        self.ways = [self.append, self.rewrite, self.mapped, self.replaced, self.linked, self.read,
                     self.opened, self.link_in_place, self.arrives]

    def unused(self, what):
        self.number += 1
        return f"{what} {self.name}-{self.number}"

    def folder(self, nr):
        return f"{self.root}/race {nr % ALL_FOLDERS}"

    def path(self, nr):
        return f"{self.folder(nr)}/{nr:04}"

    def wait(self):
        """Until the first file is gone: the removal has begun."""
        expected = {folder: len(os.listdir(self.folder(folder))) for folder in self.folders}
        while not self.told_to_stop():
            for folder in self.folders:
                try:
                    if len(os.listdir(self.folder(folder))) < expected[folder]:
                        return
                except FileNotFoundError:
                    return

    def told_to_stop(self):
        poll = select.poll()
        poll.register(0, select.POLLIN | select.POLLHUP)
        return bool(poll.poll(0))

    def run(self, rounds):
        self.wait()
        done = misses = 0
        while done < rounds and misses < MISSES and not self.told_to_stop():
            nr = random.choice(self.numbers)
            way = self.ways[nr // ALL_FOLDERS % len(self.ways)]
            swaps = random.randrange(12) == 0
            if swaps:
                way = self.bound if self.bind and random.randrange(2) else self.swapped
            try:
                way(nr)
                what = way.__name__
            except Late:
                what = "late"
            except BlockingIOError:
                # Somebody holds a lease, and knows now that we want to write.
                what = "asked"
            except OSError as error:
                # Not there, or a link that was put back where it was taken from.
                if error.errno not in (errno.ENOENT, errno.ELOOP):
                    raise
                misses += 1
                continue
            self.rounds[what] = self.rounds.get(what, 0) + 1
            done, misses = done + 1, 0
        while self.held:
            self.held.pop()()

    def hold(self, let_go):
        self.held.append(let_go)
        if len(self.held) > HELD:
            self.held.pop(random.randrange(len(self.held)))()

    def open(self, nr, flags=os.O_RDWR):
        # Half of them wait for the end of a lease.
        flags |= os.O_NONBLOCK if random.randrange(2) else 0
        fd = os.open(self.path(nr), flags | os.O_NOFOLLOW)
        if os.fstat(fd).st_nlink == 0:
            os.close(fd)
            raise Late
        return fd

    def whole(self, fd):
        return os.pread(fd, 1 << 20, 0)

    def append(self, nr):
        fd = self.open(nr, os.O_RDWR | os.O_APPEND)
        os.write(fd, self.unused(" more").encode())
        self.owed[self.path(nr)] = self.whole(fd)
        os.close(fd)

    def rewrite(self, nr):
        """As long as before, and as old as before."""
        fd = self.open(nr)
        before = os.fstat(fd)
        content = self.unused("rewritten").encode().ljust(before.st_size, b".")
        os.pwrite(fd, content, 0)
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.owed[self.path(nr)] = self.whole(fd)
        os.close(fd)

    def mapped(self, nr):
        """Through a shared mapping, with no descriptor left: mmap keeps one, which is taken away."""
        fd = self.open(nr)
        own = os.dup(fd)
        os.close(own)
        there = mmap.mmap(fd, 0)
        # Its number stays taken, by nothing, for close() to close.
        os.dup2(self.nothing, own)
        os.close(fd)
        path, content = self.path(nr), self.unused("mapped").encode()[:len(there)]
        looked_at = there[0]
        there[:len(content)] = content[:len(there)]

        def let_go():
            last = self.unused("M").encode()[:len(there)]
            there[:len(last)] = last
            self.owed[path] = there[:]
            there.close()

        # Either at once, or later.
        let_go() if looked_at % 2 else self.hold(let_go)

    def replaced(self, nr):
        content, new = self.unused("new"), f"{self.folder(nr)}/{self.unused('beside')}"
        with open(new, "x") as file:
            file.write(content)
        self.owed[new] = content.encode()
        try:
            os.rename(new, self.path(nr))
        except FileNotFoundError:
            # The removal has it in its hands, and puts it back.
            return
        del self.owed[new]
        self.owed[self.path(nr)] = content.encode()

    def linked(self, nr):
        link = f"{self.folder(nr)}/{self.unused('link')}"
        os.link(self.path(nr), link)
        fd = os.open(link, os.O_RDONLY | os.O_NOFOLLOW)
        self.owed[link] = self.whole(fd)
        os.close(fd)

    def read(self, nr):
        fd = os.open(self.path(nr), os.O_RDONLY | os.O_NOFOLLOW)
        before = self.whole(fd)

        def let_go():
            assert self.whole(fd) == before, "a file changed under its reader"
            os.close(fd)

        self.hold(let_go)

    def opened(self, nr):
        fd, path = self.open(nr, os.O_RDWR | os.O_APPEND), self.path(nr)

        def let_go():
            os.write(fd, self.unused(" later").encode())
            self.owed[path] = self.whole(fd)
            os.close(fd)

        self.hold(let_go)

    def arrives(self, nr):
        new = f"{self.folder(nr)}/{self.unused('arrived')}"
        with open(new, "x") as file:
            file.write(new)
        self.owed[new] = new.encode()

    def link_in_place(self, nr):
        """A link to a decoy under a file's name, and the file again."""
        path, aside = self.path(nr), f"{self.folder(nr)}/{self.unused('aside')}"
        if not move(path, aside):
            raise FileNotFoundError(errno.ENOENT, "it is gone")
        try:
            os.symlink(f"{random.choice(self.decoys)}/{nr:04}", path)
        except FileExistsError:
            # Something was put back there; the file stays aside.
            return
        self.look_at(path)
        self.take_link_away(path)
        move(aside, path)

    def swapped(self, nr):
        """A link to decoys under a folder's name, and the folder again."""
        folder, aside = self.folder(nr), f"{self.root}/{self.unused('aside')}"
        if not move(folder, aside):
            raise FileNotFoundError(errno.ENOENT, "it is gone")
        try:
            os.symlink(random.choice(self.decoys), folder)
            self.look_at(folder)
            self.take_link_away(folder)
        except FileExistsError:
            pass
        if move(aside, folder):
            return
        # A file was put back meanwhile, and so the folder is there again.
        for name in os.listdir(aside):
            assert move(f"{aside}/{name}", f"{folder}/{self.unused('back')}")
        os.rmdir(aside)

    def bound(self, nr):
        """Decoys mounted on a folder."""
        folder = os.fsencode(self.folder(nr))
        decoy = os.fsencode(random.choice(self.decoys))
        check(libc.mount(decoy, folder, None, BIND, None))
        self.look_at(self.folder(nr))
        check(libc.umount2(folder, DETACH))

    def look_at(self, path):
        for _ in range(LOOKS):
            os.lstat(path) if os.path.lexists(path) else None

    def take_link_away(self, path):
        """Of what has the name now only a link goes: anything else was put there by others."""
        away = f"{self.root}/{self.unused('was')}"
        if move(path, away) and os.path.islink(away):
            os.unlink(away)


def main():
    bind = sys.argv[-1] == "--bind"
    root, folders, files, rounds, number, *decoys = sys.argv[1:-1] if bind else sys.argv[1:]
    folders = [int(folder) for folder in folders.split(",")]
    racer = Racer(root, folders, int(files), number, decoys, bind)
    print("ready", file=sys.stderr, flush=True)
    racer.run(int(rounds))
    for way, count in racer.rounds.items():
        print("round", way, count)
    for path, content in racer.owed.items():
        print("owed", path + "\t" + content.decode())


main()
