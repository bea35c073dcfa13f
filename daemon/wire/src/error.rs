//! What a worker answers when it cannot do what it was asked.

/// An answer of a worker.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a worker did not do what it was asked. Each carries a sentence for a person.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.mooring1.Worker.Error")]
pub enum Error {
    /// The worker is gone, or the message could not be read.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The storage cannot be reached: not mounted, marker missing, another storage in its place.
    StorageGone(String),
    /// A local folder cannot be reached: not mounted, marker missing.
    HomeGone(String),
    /// What was asked is not allowed or makes no sense: roots inside one another, a second
    /// identity, removal while staying.
    Refused(String),
    /// Another worker holds this account.
    Busy(String),
    /// Nothing was proved in this worker's life, or the proof no longer fits.
    NotVerified(String),
    /// The disk of the storage or of a local folder is full, or a quota is reached.
    NoSpace(String),
    /// A disk, or the way to it, does not do what it is asked: errors of reading or writing, mounted
    /// read-only, a server that went away.
    DiskTrouble(String),
    /// A place is there that was not when the worker fenced itself in: a new worker can reach it.
    Unfenced(String),
    /// `interrupt` was called.
    Cancelled(String),
    /// The account's state on disk is damaged or of another version.
    StateDamaged(String),
    /// Anything else, with the path and the system's error.
    Failed(String),
}

impl Error {
    /// The sentence for a person.
    pub fn message(&self) -> String {
        match self {
            Self::ZBus(e) => format!("the worker does not answer: {e}"),
            Self::StorageGone(m)
            | Self::HomeGone(m)
            | Self::Refused(m)
            | Self::Busy(m)
            | Self::NotVerified(m)
            | Self::NoSpace(m)
            | Self::DiskTrouble(m)
            | Self::Unfenced(m)
            | Self::Cancelled(m)
            | Self::StateDamaged(m)
            | Self::Failed(m) => m.clone(),
        }
    }

    /// That sentence, to be changed; none of what no worker said.
    pub fn message_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::ZBus(_) => None,
            Self::StorageGone(m)
            | Self::HomeGone(m)
            | Self::Refused(m)
            | Self::Busy(m)
            | Self::NotVerified(m)
            | Self::NoSpace(m)
            | Self::DiskTrouble(m)
            | Self::Unfenced(m)
            | Self::Cancelled(m)
            | Self::StateDamaged(m)
            | Self::Failed(m) => Some(m),
        }
    }
}
