//! A file system that passes everything through to a folder, and fails on command.
//!
//! The kernel keeps nothing of it (no lifetimes, a fresh cache at each opening), so that a failure
//! that was just ordered meets the next call.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, SessionACL, TimeOrNow, WriteFlags,
};

use crate::orders::{Op, Orders};
use crate::power::Power;

const NOW: Duration = Duration::ZERO;

/// A mounted one; unmounted when dropped.
pub struct Fuse {
    session: Option<BackgroundSession>,
    pub orders: Arc<Orders>,
}

impl Fuse {
    /// Shows `folder` at `at`.
    pub fn mount(folder: &Path, at: &Path) -> Self {
        assert!(
            Path::new("/dev/fuse").exists(),
            "/dev/fuse is missing; run: modprobe fuse (or use a kernel that has it)"
        );
        let orders = Arc::new(Orders::default());
        let system = Passing::new(folder, orders.clone());
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("mooring-test".to_owned()),
            MountOption::DefaultPermissions,
        ];
        config.acl = SessionACL::All;
        let session = fuser::spawn_mount(system, at, &config).expect("a FUSE mount");
        Self {
            session: Some(session),
            orders,
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Whoever still stands on it meets an error from then on, which is what a test wants.
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

struct Passing {
    root: PathBuf,
    orders: Arc<Orders>,
    /// Where each inode that the kernel knows was last seen, relative to the root.
    paths: Mutex<HashMap<u64, PathBuf>>,
    /// How often each inode's number was given anew. The folder behind gives the number of what is
    /// gone to what is made next; while anybody holds the old one (a watch, a rule of Landlock), the
    /// kernel would take the new one for it, and nothing can be made in a removed folder.
    births: Mutex<HashMap<u64, u64>>,
    files: Mutex<HashMap<u64, Arc<File>>>,
    next: AtomicU64,
    /// The root's own inode, which FUSE calls 1.
    root_inode: u64,
}

type Answer<T> = Result<T, Errno>;

fn failed(error: io::Error) -> Errno {
    Errno::from_i32(error.raw_os_error().unwrap_or(nix::libc::EIO))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Passing {
    fn new(root: &Path, orders: Arc<Orders>) -> Self {
        let root_inode = fs::metadata(root).expect("the folder behind").ino();
        let paths = HashMap::from([(INodeNo::ROOT.0, PathBuf::new())]);
        Self {
            root: root.to_owned(),
            orders,
            paths: Mutex::new(paths),
            births: Mutex::default(),
            files: Mutex::default(),
            next: AtomicU64::new(1),
            root_inode,
        }
    }

    fn relative(&self, inode: INodeNo) -> Answer<PathBuf> {
        locked(&self.paths)
            .get(&inode.0)
            .cloned()
            .ok_or(Errno::ESTALE)
    }

    fn path(&self, inode: INodeNo) -> Answer<PathBuf> {
        Ok(self.root.join(self.relative(inode)?))
    }

    /// A name in a folder, as it is written there if case does not count.
    fn child(&self, parent: INodeNo, name: &OsStr) -> Answer<PathBuf> {
        let folder = self.relative(parent)?;
        let here = self.root.join(&folder);
        if self.orders.folds_case() && here.join(name).symlink_metadata().is_err() {
            let wanted = name.to_string_lossy().to_lowercase();
            for entry in fs::read_dir(&here).map_err(failed)?.flatten() {
                if entry.file_name().to_string_lossy().to_lowercase() == wanted {
                    return Ok(folder.join(entry.file_name()));
                }
            }
        }
        Ok(folder.join(name))
    }

    fn order(&self, op: Op) -> Answer<()> {
        match self.orders.meets(op) {
            Some(errno) => Err(Errno::from_i32(errno)),
            None => Ok(()),
        }
    }

    fn look(&self, relative: &Path) -> Answer<FileAttr> {
        let meta = fs::symlink_metadata(self.root.join(relative)).map_err(failed)?;
        let attr = self.attr(&meta);
        locked(&self.paths).insert(attr.ino.0, relative.to_owned());
        Ok(attr)
    }

    /// What was just made there.
    fn born(&self, relative: &Path) -> Answer<FileAttr> {
        let attr = self.look(relative)?;
        *locked(&self.births).entry(attr.ino.0).or_default() += 1;
        Ok(attr)
    }

    fn generation(&self, attr: &FileAttr) -> Generation {
        Generation(
            locked(&self.births)
                .get(&attr.ino.0)
                .copied()
                .unwrap_or_default(),
        )
    }

    fn attr(&self, meta: &Metadata) -> FileAttr {
        let time = |seconds: i64, nanos: i64| {
            let since = Duration::new(seconds.max(0) as u64, nanos as u32);
            SystemTime::UNIX_EPOCH + self.orders.coarse(since)
        };
        let inode = if meta.ino() == self.root_inode {
            INodeNo::ROOT
        } else {
            INodeNo(meta.ino())
        };
        FileAttr {
            ino: inode,
            size: meta.size(),
            blocks: meta.blocks(),
            atime: time(meta.atime(), meta.atime_nsec()),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
            crtime: SystemTime::UNIX_EPOCH,
            kind: kind(meta.file_type()),
            perm: self
                .orders
                .shown_mode(meta.is_dir(), (meta.mode() & 0o7777) as u16),
            nlink: meta.nlink() as u32,
            uid: meta.uid(),
            gid: meta.gid(),
            rdev: meta.rdev() as u32,
            blksize: 4096,
            flags: 0,
        }
    }

    /// Tells what keeps apart what is durable.
    fn power(&self, tell: impl FnOnce(&mut Power) -> io::Result<()>) -> Answer<bool> {
        let told = self.orders.power(tell).map_err(failed)?;
        Ok(told.is_some())
    }

    /// Takes a name away, or leaves that to what keeps apart what is durable.
    fn remove(&self, path: &Path) -> Answer<()> {
        self.order(Op::Unlink)?;
        let whole = self.root.join(path);
        let folder = fs::symlink_metadata(&whole).map_err(failed)?.is_dir();
        if folder && fs::read_dir(&whole).map_err(failed)?.next().is_some() {
            return Err(Errno::ENOTEMPTY);
        }
        if self.power(|power| power.remove(path))? {
            return Ok(());
        }
        let removed = if folder {
            fs::remove_dir(whole)
        } else {
            fs::remove_file(whole)
        };
        removed.map_err(failed)
    }

    fn keep(&self, file: File) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.files).insert(handle, Arc::new(file));
        FileHandle(handle)
    }

    fn file(&self, handle: FileHandle) -> Answer<Arc<File>> {
        locked(&self.files)
            .get(&handle.0)
            .cloned()
            .ok_or(Errno::EBADF)
    }

    fn moved(&self, from: &Path, to: &Path) {
        for path in locked(&self.paths).values_mut() {
            if let Ok(rest) = path.strip_prefix(from) {
                *path = if rest.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(rest)
                };
            }
        }
    }

    fn change(&self, inode: INodeNo, wish: &Wish, handle: Option<FileHandle>) -> Answer<FileAttr> {
        let relative = self.relative(inode)?;
        let path = self.root.join(&relative);
        if let Some(mode) = wish.mode {
            self.order(Op::Chmod)?;
            fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
        }
        if wish.uid.is_some() || wish.gid.is_some() {
            self.order(Op::Chmod)?;
            std::os::unix::fs::lchown(&path, wish.uid, wish.gid).map_err(failed)?;
        }
        if let Some(size) = wish.size {
            self.order(Op::Write)?;
            self.power(|power| power.before_write(&path))?;
            let file = OpenOptions::new().write(true).open(&path);
            file.and_then(|file| file.set_len(size)).map_err(failed)?;
        }
        if let Some(modified) = wish.modified {
            self.order(Op::SetTimes)?;
            let since = modified
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let time = SystemTime::UNIX_EPOCH + self.orders.coarse(since);
            let times = fs::FileTimes::new().set_modified(time);
            let file = match handle.and_then(|handle| self.file(handle).ok()) {
                Some(file) => file,
                None => Arc::new(File::open(&path).map_err(failed)?),
            };
            file.set_times(times).map_err(failed)?;
        }
        self.look(&relative)
    }

    fn exchange(&self, from: &Path, to: &Path, flags: RenameFlags) -> Answer<()> {
        self.order(Op::Rename)?;
        let flags = nix::fcntl::RenameFlags::from_bits_truncate(flags.bits());
        let (whole_from, whole_to) = (self.root.join(from), self.root.join(to));
        let exchange = flags.contains(nix::fcntl::RenameFlags::RENAME_EXCHANGE);
        self.power(|power| power.before_rename(to, exchange))?;
        let cwd = nix::fcntl::AT_FDCWD;
        nix::fcntl::renameat2(cwd, &whole_from, cwd, &whole_to, flags)
            .map_err(|e| Errno::from_i32(e as i32))?;
        self.power(|power| power.renamed(from, to))?;
        if exchange {
            let aside = PathBuf::from("\u{1}exchange");
            self.moved(from, &aside);
            self.moved(to, from);
            self.moved(&aside, to);
        } else {
            self.moved(from, to);
        }
        Ok(())
    }
}

/// What a setattr asks for.
struct Wish {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    modified: Option<SystemTime>,
}

fn kind(of: fs::FileType) -> FileType {
    match of {
        of if of.is_dir() => FileType::Directory,
        of if of.is_symlink() => FileType::Symlink,
        of if of.is_fifo() => FileType::NamedPipe,
        of if of.is_socket() => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

/// Answers what `$done` came to: its value by `$method`, or the error.
macro_rules! answer {
    ($reply:ident, $done:expr, |$value:pat_param| $then:expr) => {
        match $done {
            Ok($value) => $then,
            Err(errno) => $reply.error(errno),
        }
    };
}

impl Filesystem for Passing {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let done = self.child(parent, name).and_then(|path| self.look(&path));
        answer!(reply, done, |attr| reply.entry(
            &NOW,
            &attr,
            self.generation(&attr)
        ));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        let done = match handle.and_then(|handle| self.file(handle).ok()) {
            // An open file that was unlinked has no path any more.
            Some(file) => file.metadata().map(|meta| self.attr(&meta)).map_err(failed),
            None => self.relative(inode).and_then(|path| self.look(&path)),
        };
        answer!(reply, done, |attr| reply.attr(&NOW, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _flagged: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let modified = modified.map(|time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => SystemTime::now(),
        });
        let wish = Wish {
            mode,
            uid,
            gid,
            size,
            modified,
        };
        answer!(reply, self.change(inode, &wish, handle), |attr| reply
            .attr(&NOW, &attr));
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        let done = self
            .path(inode)
            .and_then(|path| fs::read_link(path).map_err(failed));
        answer!(reply, done, |target| reply
            .data(target.as_os_str().as_encoded_bytes()));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let make = |path: PathBuf| {
            self.order(Op::Create)?;
            let mut builder = fs::DirBuilder::new();
            builder.mode(mode & !umask);
            builder.create(self.root.join(&path)).map_err(failed)?;
            self.power(|power| power.made(&path))?;
            self.born(&path)
        };
        answer!(reply, self.child(parent, name).and_then(make), |attr| reply
            .entry(&NOW, &attr, self.generation(&attr)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let remove = |path: PathBuf| self.remove(&path);
        answer!(reply, self.child(parent, name).and_then(remove), |()| reply
            .ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let remove = |path: PathBuf| self.remove(&path);
        answer!(reply, self.child(parent, name).and_then(remove), |()| reply
            .ok());
    }

    fn symlink(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let make = |path: PathBuf| {
            self.order(Op::Create)?;
            symlink(target, self.root.join(&path)).map_err(failed)?;
            self.power(|power| power.made(&path))?;
            self.born(&path)
        };
        answer!(reply, self.child(parent, name).and_then(make), |attr| reply
            .entry(&NOW, &attr, self.generation(&attr)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.child(parent, name).and_then(|from| {
            let to = self.child(new_parent, new_name)?;
            self.exchange(&from, &to, flags)
        });
        answer!(reply, done, |()| reply.ok());
    }

    fn link(
        &self,
        _: &Request,
        inode: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        let done = self.path(inode).and_then(|path| {
            let new = self.child(new_parent, new_name)?;
            self.order(Op::Create)?;
            fs::hard_link(path, self.root.join(&new)).map_err(failed)?;
            self.power(|power| power.made(&new))?;
            self.look(&new)
        });
        answer!(reply, done, |attr| reply.entry(
            &NOW,
            &attr,
            self.generation(&attr)
        ));
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let done = self.relative(inode).and_then(|path| {
            self.order(Op::Open)?;
            // The kernel has checked rights; whoever opens writes through any handle of the file.
            let write = flags.0 & nix::libc::O_ACCMODE != nix::libc::O_RDONLY;
            let mut options = OpenOptions::new();
            options.read(true).write(write);
            let truncate = flags.0 & nix::libc::O_TRUNC != 0 && write;
            let path = self.root.join(path);
            if truncate {
                self.power(|power| power.before_write(&path))?;
            }
            let file = options.truncate(truncate).open(path).map_err(failed)?;
            Ok(self.keep(file))
        });
        answer!(reply, done, |handle| reply
            .opened(handle, FopenFlags::empty()));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let make = |path: PathBuf| {
            self.order(Op::Create)?;
            let there = self.root.join(&path).symlink_metadata().is_ok();
            let mut options = OpenOptions::new();
            options.read(true).write(true).mode(mode & !umask);
            options
                .create(true)
                .create_new(flags & nix::libc::O_EXCL != 0);
            let file = options.open(self.root.join(&path)).map_err(failed)?;
            self.power(|power| power.made(&path))?;
            let attr = if there {
                self.look(&path)?
            } else {
                self.born(&path)?
            };
            Ok((attr, self.keep(file)))
        };
        answer!(reply, self.child(parent, name).and_then(make), |(
            attr,
            handle,
        )| {
            reply.created(
                &NOW,
                &attr,
                self.generation(&attr),
                handle,
                FopenFlags::empty(),
            )
        });
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let done = self.file(handle).and_then(|file| {
            let path = self.relative(inode).unwrap_or_default();
            self.order(Op::Read)?;
            let mut bytes = vec![0; size as usize];
            let mut got = 0;
            while got < bytes.len() {
                match file.read_at(&mut bytes[got..], offset + got as u64) {
                    Ok(0) => break,
                    Ok(n) => got += n,
                    Err(e) => return Err(failed(e)),
                }
            }
            bytes.truncate(got);
            self.orders.flip(&path, offset, &mut bytes);
            Ok(bytes)
        });
        answer!(reply, done, |bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self.file(handle).and_then(|file| {
            self.order(Op::Write)?;
            self.power(|power| power.before_write_to(&file))?;
            file.write_all_at(data, offset).map_err(failed)?;
            Ok(data.len() as u32)
        });
        answer!(reply, done, |size| reply.written(size));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        locked(&self.files).remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let done = self.order(Op::Fsync).and_then(|()| {
            self.power(|power| {
                power.synced(inode.0);
                Ok(())
            })
        });
        answer!(reply, done, |_| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let inode = if inode == INodeNo::ROOT {
            self.root_inode
        } else {
            inode.0
        };
        let done = self.order(Op::Fsync).and_then(|()| {
            self.power(|power| {
                power.folder_synced(inode);
                Ok(())
            })
        });
        answer!(reply, done, |_| reply.ok());
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let done = self.relative(inode).and_then(|path| {
            self.order(Op::List)?;
            let mut entries: Vec<(u64, FileType, OsString)> = vec![
                (inode.0, FileType::Directory, ".".into()),
                (inode.0, FileType::Directory, "..".into()),
            ];
            for entry in fs::read_dir(self.root.join(path)).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let meta = entry.metadata().map_err(failed)?;
                entries.push((meta.ino(), kind(meta.file_type()), entry.file_name()));
            }
            Ok(entries)
        });
        answer!(reply, done, |entries| {
            for (nr, (inode, kind, name)) in (1..).zip(entries).skip(offset as usize) {
                if reply.add(INodeNo(inode), nr, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let size = 1 << 20;
        reply.statfs(size, size, size, size, size, 4096, 255, 4096);
    }
}
