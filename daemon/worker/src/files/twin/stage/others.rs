//! Other programs, operations that fail, and time.

use std::io;
use std::path::Path;

use crate::files::twin::TwinFiles;
use crate::files::twin::disk::Usage;
use crate::files::twin::world::{Fault, Hook};

impl TwinFiles {
    /// Another program opens a file for writing, and keeps it open. Against a lease it waits: the
    /// lease is broken at once, and the program has the file when the lease ends.
    pub fn open_writer(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.using(path.as_ref(), |usage| {
            if usage.leases.is_empty() {
                usage.outside_writers += 1;
            } else {
                usage.waiting = true;
            }
        })
    }

    /// All other programs close a file.
    pub fn close_writers(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.using(path.as_ref(), |usage| {
            usage.outside_writers = 0;
            usage.waiting = false;
        })
    }

    /// Another program will want to write right after the next lease on a file was given.
    pub fn break_next_lease(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.using(path.as_ref(), |usage| usage.break_next = true)
    }

    /// A file belongs to another user: it cannot be leased.
    pub fn deny_lease(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.using(path.as_ref(), |usage| usage.foreign = true)
    }

    fn using(&self, path: &Path, change: impl FnOnce(&mut Usage)) -> io::Result<()> {
        let mut world = self.lock();
        let at = world.resolve(path, true)?;
        change(world.usage(at));
        Ok(())
    }

    /// Lets the `nth` operation of a name from now on (the next is 1) fail with `errno`, once.
    ///
    /// Names of effects are those of the fuse's log: `create`, `write`, `write-meta`, `sync-file`,
    /// `sync-dir`, `sync-all`, `rename`, `exchange`, `unlink`, `make-dir`, `remove-dir`. Others:
    /// `open-root`, `open-dir`, `open`, `read`, `list`, `stat`, `lease`, `abilities`, `extras`.
    pub fn fail(&self, name: &str, nth: u64, errno: i32) {
        self.add_fault(name, nth, errno, false);
    }

    /// Lets the `nth` operation of a name fail, and all after it.
    pub fn fail_from(&self, name: &str, nth: u64, errno: i32) {
        self.add_fault(name, nth, errno, true);
    }

    fn add_fault(&self, name: &str, nth: u64, errno: i32, always: bool) {
        let fault = Fault {
            name: name.to_owned(),
            left: nth.max(1),
            errno,
            always,
        };
        self.lock().faults.push(fault);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Lets something happen just before the `nth` operation of a name from now on: how another
    /// program comes in between.
    pub fn before(&self, name: &str, nth: u64, act: impl FnOnce(&Self) + Send + 'static) {
        let hook = Hook {
            name: name.to_owned(),
            left: nth.max(1),
            act: Box::new(act),
        };
        self.lock().hooks.push(hook);
    }

    /// Lets time pass, in nanoseconds.
    pub fn advance(&self, nanoseconds: i64) {
        let mut world = self.lock();
        world.now = world.now.saturating_add(nanoseconds);
    }

    /// How fine the stamps of files are, in nanoseconds: within one step two writes look alike.
    pub fn set_granularity(&self, nanoseconds: i64) {
        self.lock().granularity = nanoseconds.max(1);
    }
}
