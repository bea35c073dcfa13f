//! The receipts kept on this device: one TOML file each, first as a draft, then for good.
//!
//! A receipt that is told of is durable: content, name and folder are fsynced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mooring_core::receipt::{FORGOTTEN, Receipt};

use crate::account::Account;
use crate::broker::Broker;
use crate::bus::error::sayable;
use crate::durable;
use crate::failure::Failure;

/// The longest receipt that is read, in bytes: more than a sign-out writes, which names all that it
/// left.
pub const MAX_RECEIPT_BYTES: u64 = 8 * 1024 * 1024;
/// The most receipts that are listed.
pub const MAX_LISTED: usize = 1000;
/// The most receipts that are read to find the newest among them.
const MAX_READ: usize = 10_000;
/// The longest name of a receipt, in bytes.
const MAX_ID_BYTES: usize = 128;
const FINAL: &str = "toml";
const DRAFT: &str = "toml.draft";
const NEW: &str = "toml.new";

/// The folder of receipts.
#[derive(Debug, Clone)]
pub struct Receipts {
    folder: PathBuf,
    /// The last number given away, whose receipt may not be written yet; none before the folder was
    /// read for it.
    last: Arc<Mutex<Option<u64>>>,
}

/// What is kept of a receipt while many are looked through: not what it left, which can be long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub id: String,
    /// Whose it is.
    pub identity: String,
    /// The storage that was left.
    pub storage_id: String,
    /// When, as it says so.
    pub signed_out_at: String,
    /// Its number, or 0.
    pub sequence: u64,
    /// How many files were removed.
    pub removed: u64,
    /// How many names were left.
    pub left: u64,
    /// The account was forgotten, and not signed out.
    pub forgotten: bool,
    /// Its file.
    pub path: PathBuf,
}

impl Summary {
    fn of(receipt: Receipt, path: PathBuf) -> Self {
        Self {
            removed: receipt.collections.iter().map(|c| c.removed_files).sum(),
            left: receipt.left.len() as u64,
            forgotten: receipt.proof.level == FORGOTTEN,
            // Whatever was written into the file meanwhile.
            id: sayable(receipt.id),
            identity: sayable(receipt.identity),
            storage_id: receipt.storage.id,
            signed_out_at: receipt.signed_out_at,
            sequence: receipt.sequence,
            path,
        }
    }
}

impl Receipts {
    /// Receipts in this folder, which is there.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            last: Arc::default(),
        }
    }

    /// Makes a draft durable; replaces an earlier one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_draft(&self, id: &str, text: &str) -> Result<(), Failure> {
        self.write(id, DRAFT, text)
    }

    /// Makes a receipt durable, and removes its draft.
    ///
    /// # Errors
    /// When it cannot be written; the draft is there still.
    pub fn write_final(&self, id: &str, text: &str) -> Result<(), Failure> {
        self.write(id, FINAL, text)?;
        let draft = self.file(id, DRAFT);
        match fs::remove_file(&draft) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::at(draft)(error)),
        }
    }

    /// The receipts and their files, the last sign-out first, whatever the clock said; one that
    /// cannot be read is logged and left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>, Failure> {
        let mut receipts = self.readable()?;
        receipts.sort_by(|a, b| newness(b).cmp(&newness(a)));
        receipts.truncate(MAX_LISTED);
        Ok(receipts)
    }

    /// A number for the next receipt, higher than every one before. Given away only once. The
    /// receipts are read for the first one; from then on it counts.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn take_number(&self) -> Result<u64, Failure> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match *last {
            Some(before) => before,
            None => {
                let numbers = self.readable()?.into_iter().map(|receipt| receipt.sequence);
                numbers.max().unwrap_or(0)
            }
        };
        let next = before.saturating_add(1);
        *last = Some(next);
        Ok(next)
    }

    fn readable(&self) -> Result<Vec<Summary>, Failure> {
        let ids = self.ids()?;
        let mut receipts = Vec::with_capacity(ids.len());
        for id in ids {
            let text = match self.read(&id) {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!(%error, id, "a receipt cannot be read");
                    continue;
                }
            };
            match Receipt::from_toml(&text) {
                Ok(receipt) => receipts.push(Summary::of(receipt, self.file(&id, FINAL))),
                Err(error) => tracing::warn!(%error, id, "a receipt cannot be understood"),
            }
        }
        Ok(receipts)
    }

    /// The names of receipts that cannot be read or understood, newest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn unreadable(&self) -> Result<Vec<String>, Failure> {
        let mut ids = self.ids()?;
        ids.retain(|id| {
            !self
                .read(id)
                .is_ok_and(|text| Receipt::from_toml(&text).is_ok())
        });
        Ok(ids)
    }

    /// The names of the receipts, newest first.
    fn ids(&self) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Failure::at(&self.folder))? {
            let name = entry.map_err(Failure::at(&self.folder))?.file_name();
            if let Some(id) = name.to_str().and_then(|n| n.strip_suffix(".toml"))
                && is_id(id)
            {
                ids.push(id.to_owned());
            }
        }
        // Names begin with the time.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(MAX_READ);
        Ok(ids)
    }

    /// The text of a receipt.
    ///
    /// # Errors
    /// [`Failure::InvalidArgument`] for what is no name of a receipt, [`Failure::NotFound`].
    pub fn read(&self, id: &str) -> Result<String, Failure> {
        if !is_id(id) {
            return Err(Failure::InvalidArgument(
                "this is no name of a receipt".to_owned(),
            ));
        }
        let path = self.file(id, FINAL);
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::NotFound(format!("there is no receipt {id} here")));
            }
            Err(error) => return Err(Failure::at(path)(error)),
        };
        let mut text = String::new();
        file.take(MAX_RECEIPT_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(Failure::at(&path))?;
        if text.len() as u64 > MAX_RECEIPT_BYTES {
            return Err(Failure::Internal(format!(
                "the receipt {} is longer than {MAX_RECEIPT_BYTES} bytes",
                path.display()
            )));
        }
        // As a power loss leaves files; no bus carries it.
        if text.contains('\0') {
            return Err(Failure::Internal(format!(
                "the receipt {} is damaged: there are zeros in it",
                path.display()
            )));
        }
        Ok(text)
    }

    fn file(&self, id: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{id}.{extension}"))
    }

    fn write(&self, id: &str, extension: &str, text: &str) -> Result<(), Failure> {
        let new = self.file(id, NEW);
        let path = self.file(id, extension);
        durable::replace(&new, &path, text.as_bytes()).map_err(Failure::at(path))
    }

    fn sync(&self) -> Result<(), Failure> {
        durable::sync_folder(&self.folder).map_err(Failure::at(&self.folder))
    }
}

impl Broker {
    /// The receipts and their files, newest first. The bus goes on meanwhile.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn list_receipts(&self) -> Result<Vec<Summary>, Failure> {
        self.on_receipts(Receipts::list).await
    }

    /// The newest receipt with which this device left an account's storage as the same identity; an
    /// empty ID when it never did, or its receipts are gone.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn left_with(&self, account: &Account) -> Result<String, Failure> {
        let newest_first = self.list_receipts().await?;
        let left = newest_first.into_iter().find(|receipt| {
            receipt.storage_id == account.storage_id
                && receipt.identity == account.identity
                && !receipt.forgotten
        });
        Ok(left.map(|receipt| receipt.id).unwrap_or_default())
    }

    /// A number for the next receipt.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn receipt_number(&self) -> Result<u64, Failure> {
        self.on_receipts(Receipts::take_number).await
    }

    /// The names of receipts that cannot be read or understood, newest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn unreadable_receipts(&self) -> Result<Vec<String>, Failure> {
        self.on_receipts(Receipts::unreadable).await
    }

    async fn on_receipts<T: Send + 'static>(
        &self,
        work: fn(&Receipts) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let receipts = self.receipts.clone();
        match tokio::task::spawn_blocking(move || work(&receipts)).await {
            Ok(done) => done,
            Err(error) => Err(Failure::Internal(format!(
                "receipts cannot be read: {error}"
            ))),
        }
    }
}

/// Orders receipts: by number, and those of before there were numbers by time.
fn newness(receipt: &Summary) -> (u64, &str, &str) {
    (receipt.sequence, &receipt.signed_out_at, &receipt.id)
}

/// Opens a regular file; never waits, whatever lies there.
fn open(path: &Path) -> io::Result<File> {
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this is no regular file",
        ))
    }
}

/// The name of a new receipt: when, who, and something random. Safe as a file's name.
pub fn new_id(now: u64, identity: &str, random: [u8; 4]) -> String {
    let when: String = mooring_core::receipt::timestamp(now)
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    // What a person can type, and at most as long as a name may be.
    let who: String = identity
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(64)
        .collect();
    format!("{when}-{who}-{}", mooring_core::identity::hex(&random))
}

fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_sort_by_time_and_are_safe() {
        let id = new_id(1_795_446_000, "älice@x/..", [0x1a, 0x2b, 0x3c, 0x4d]);
        assert_eq!(id, "20261123T150000Z-_lice_x___-1a2b3c4d");
        assert!(is_id(&id));
        for bad in ["", ".", "..", "a/b", "a.toml", "a\0", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_final_receipt_takes_the_place_of_its_draft() {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::new(folder.path().to_owned());
        receipts.write_draft("r1", "draft").unwrap();
        assert!(matches!(receipts.read("r1"), Err(Failure::NotFound(_))));
        receipts.write_final("r1", "final").unwrap();
        receipts.write_final("r1", "final").unwrap();
        assert_eq!(receipts.read("r1").unwrap(), "final");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
    }

    /// A receipt as an earlier version wrote it, when it has no number.
    fn receipt(id: &str, at: u64, sequence: u64) -> String {
        let when = mooring_core::receipt::timestamp(at);
        let number = match sequence {
            0 => String::new(),
            number => format!("sequence = {number}"),
        };
        format!(
            r#"
            version = 1
            id = "{id}"
            identity = "alice"
            provider = "local"
            device = "laptop"
            signed-out-at = "{when}"
            authorised-by = "password"
            policy = ""
            {number}
            [storage]
            path = "/mnt"
            id = "07"
            [proof]
            level = "read-back"
            writers-excluded = true
            base = "b"
            base-blake3 = "00"
            [revocation]
            state = "not-needed"
            detail = ""
            "#
        )
    }

    #[test]
    fn the_last_sign_out_comes_first_also_within_a_second_and_after_the_clock_was_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::new(folder.path().to_owned());
        let noon = 1_795_446_000;
        let write = |id: &str, at: u64, sequence: u64| {
            receipts
                .write_final(id, &receipt(id, at, sequence))
                .unwrap();
        };
        // From before there were numbers.
        write("z-old", noon, 0);
        write("a-older", noon - 1, 0);
        for (id, at) in [("y", noon), ("b", noon), ("c", noon - 86_400)] {
            write(id, at, receipts.take_number().unwrap());
        }
        let listed = receipts.list().unwrap();
        let ids: Vec<&str> = listed.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "y", "z-old", "a-older"]);
        // Two that are given away before either is written, and a start anew.
        assert_eq!(
            (
                receipts.take_number().unwrap(),
                receipts.take_number().unwrap()
            ),
            (4, 5)
        );
        assert_eq!(
            Receipts::new(folder.path().to_owned())
                .take_number()
                .unwrap(),
            4
        );
        // The folder is read once: from then on it counts, whatever comes of the folder.
        drop(folder);
        assert_eq!(receipts.take_number().unwrap(), 6);
    }

    #[test]
    fn hostile_files_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let receipts = Receipts::new(folder.path().to_owned());
        let long = File::create(folder.path().join("long.toml")).unwrap();
        long.set_len(MAX_RECEIPT_BYTES + 1).unwrap();
        nix::unistd::mkfifo(
            &folder.path().join("fifo.toml"),
            nix::sys::stat::Mode::S_IRWXU,
        )
        .unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.toml")).unwrap();
        fs::create_dir(folder.path().join("folder.toml")).unwrap();
        for id in ["long", "fifo", "link", "folder"] {
            assert!(receipts.read(id).is_err(), "{id}");
        }
        assert!(receipts.read("../x").is_err());
        assert!(receipts.list().unwrap().is_empty());
    }
}
