//! A sync that looks only where a watch told of changes leaves nothing for a look at everything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mooring_core::collection::Collection;
use mooring_worker::account::Account;
use mooring_worker::files::real::RealFiles;
use mooring_worker::sync::{Looked, numbers};
use mooring_worker::watch::{Folders, Watch};
use mooring_worker::{plan, signin};
use stage::real::{Real, contents};

const PATIENCE: Duration = Duration::from_secs(30);

/// A device whose both sides are watched, after a look at everything.
struct Device {
    real: Real,
    account: Account<RealFiles>,
    looked: Looked,
    watch: Watch,
    changed: Receiver<()>,
}

impl Device {
    fn new(before: impl FnOnce(&Path)) -> Self {
        let real = Real::new();
        real.sign_in(false).unwrap();
        before(real.photos());
        let account = real.account();
        // Files of rules come to the storage, which would end a watch.
        signin::sync_now(&account, false).unwrap();
        let (tell, changed) = channel();
        let roots = vec![real.photos().to_owned(), real.copies()];
        let watch = Watch::start(roots, Box::new(move || tell.send(()).is_ok())).unwrap();
        let (ledger, looked) = signin::sync_answering(&account, true, None).unwrap();
        assert_eq!(ledger.waiting.total, 0);
        Self {
            real,
            account,
            looked,
            watch,
            changed,
        }
    }

    /// What the watch tells next, of both sides together.
    fn told(&self) -> BTreeMap<Collection, Folders> {
        self.changed
            .recv_timeout(PATIENCE)
            .expect("a change is told");
        let told = self.watch.take_told();
        let mut folders = told.below(self.real.photos()).expect("not too much");
        folders.extend(&told.below(&self.real.copies()).expect("not too much"));
        BTreeMap::from([(Collection::Photos, folders)])
    }

    /// Makes changes, syncs where they are told, and checks that both sides are the same then and
    /// that a look at everything finds nothing to do.
    fn change(&mut self, what: &str, work: impl FnOnce(&Path, &Path)) {
        work(self.real.photos(), &self.real.copies());
        let told = self.told();
        let ledger = signin::sync_told(&self.account, true, &told, &mut self.looked).unwrap();
        assert_eq!(ledger.waiting.total, 0, "{what}: {:?}", ledger.waiting);
        let sides = [self.real.photos().to_owned(), self.real.copies()].map(|s| {
            let mut all = contents(&s);
            all.retain(|path, _| {
                !path.starts_with("ignored") && path.extension() != Some("tmp".as_ref())
            });
            all
        });
        assert_eq!(sides[0], sides[1], "{what}");
        self.nothing_is_left(what);
    }

    fn nothing_is_left(&self, what: &str) {
        let state = |account| {
            let collection = Collection::Photos;
            // Conflict copies that a look made are counted by the next.
            let [unsynced, held, _, skipped] = numbers(account, collection).unwrap();
            (
                [unsynced, held, skipped],
                account.state.tally(collection).unwrap(),
                account.state.folders_deepest_first(collection).unwrap(),
            )
        };
        let told = state(&self.account);
        // Another process: its numbers are counted anew.
        let account = self.real.account();
        let (ledger, _) = signin::sync_answering(&account, true, None).unwrap();
        let done = [
            ledger.uploaded,
            ledger.downloaded,
            ledger.moved,
            ledger.adopted,
            ledger.deleted,
            ledger.held_here,
            ledger.held_there.total,
            ledger.read_back,
        ];
        assert_eq!(done, [0; 8], "{what}: a look at everything found more");
        assert_eq!(told, state(&account), "{what}");
    }
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_look_where_it_was_told_is_as_good_as_one_at_everything() {
    let mut device = Device::new(|photos| {
        write(photos.join(".mooringignore"), "ignored/\n*.tmp\n");
        write(photos.join("ignored/here"), "stays");
        for nr in 0..8 {
            write(photos.join(format!("a/b/{nr}.jpg")), &format!("photo {nr}"));
            write(photos.join(format!("c/{nr}.jpg")), &format!("picture {nr}"));
        }
    });
    device.change("files on both sides", |here, there| {
        write(here.join("a/b/0.jpg"), "changed here");
        write(there.join("c/0.jpg"), "changed there");
        write(here.join("new/deep/er/file"), "new here");
        write(there.join("also/new"), "new there");
        write(here.join("a/b/x.tmp"), "ignored");
        symlink("nowhere", here.join("a/b/link")).unwrap();
    });
    device.change("moves", |here, there| {
        fs::rename(here.join("a/b"), here.join("c/moved")).unwrap();
        fs::rename(there.join("c/1.jpg"), there.join("also/1.jpg")).unwrap();
        fs::rename(here.join("new/deep/er/file"), here.join("top")).unwrap();
    });
    device.change("deletions", |here, there| {
        fs::remove_dir_all(here.join("new")).unwrap();
        fs::remove_file(there.join("c/2.jpg")).unwrap();
        fs::remove_file(here.join("c/moved/link")).unwrap();
        fs::remove_file(here.join("c/moved/x.tmp")).unwrap();
        fs::remove_dir(here.join("a")).unwrap();
    });
    device.change(
        "a folder that goes and comes back otherwise",
        |here, there| {
            fs::remove_dir_all(here.join("also")).unwrap();
            write(here.join("also/later/new"), "another folder now");
            fs::rename(there.join("c"), there.join("d")).unwrap();
        },
    );
    device.change("both sides of one file", |here, there| {
        write(here.join("d/3.jpg"), "changed here, and there");
        write(there.join("d/3.jpg"), "changed there, and here");
    });
    device.change("after a conflict", |here, _| {
        write(here.join("d/new"), "new")
    });
    let [.., copies, skipped] = numbers(&device.account, Collection::Photos).unwrap();
    assert_eq!((copies, skipped), (1, 1));
}

#[test]
fn a_look_where_it_was_told_sees_nothing_else() {
    let mut device = Device::new(|photos| {
        for nr in 0..50 {
            write(photos.join(format!("{nr}/file")), &format!("photo {nr}"));
        }
    });
    write(device.real.photos().join("7/file"), "changed");
    let told = device.told();
    let ledger = signin::sync_told(&device.account, true, &told, &mut device.looked).unwrap();
    assert_eq!((ledger.seen, ledger.uploaded, ledger.read_back), (1, 1, 1));
    let facts = plan::from_state(&device.account).unwrap();
    assert_eq!((facts[0].items.files, facts[0].verified), (50, 50));
}
