//! What can happen to an account that several devices share, and how it is made up.

use proptest::prelude::*;

/// Where something is done: on a device, or in the storage itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Device(usize),
    Storage,
}

/// A name of the small world, by its number in [`NAMES`]: collisions are the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name(pub usize);

/// Names below the homes' and the storage's collections.
pub const NAMES: &[&[u8]] = &[
    b"Photos/a.jpg",
    b"Photos/b.jpg",
    b"Photos/A.jpg",
    b"Photos/.hidden",
    b"Photos/x/a.jpg",
    b"Photos/x/y/c",
    b"Photos/x",
    b"Photos/z/d",
    b"Photos/a (conflict laptop 2023-11-14 01234567).jpg",
    b"Photos/new\nline",
    b"Photos/\xff\xfe",
    b"Photos/recovered",
    b"Photos/z/.mooring-collection",
    b"Contacts/bob.vcf",
    b"Contacts/x/eve.vcf",
];

/// Folders that are made and removed.
pub const FOLDERS: &[&[u8]] = &[
    b"Photos/x",
    b"Photos/x/y",
    b"Photos/z",
    b"Photos/empty",
    b"Contacts/x",
    MANY,
];
/// Where [`Act::WriteMany`] writes, and how many files.
pub const MANY: &[u8] = b"Photos/many";
pub const HOW_MANY: usize = 22;

/// What one file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// What nobody wrote before.
    New,
    /// One of a few texts that others write too.
    Known(u8),
    Nothing,
}

/// One step of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    // People, and other programs.
    Write(At, Name, Words),
    /// So many files that deleting them all is a question.
    WriteMany(At),
    Touch(At, Name, u8),
    Chmod(At, Name, u8),
    Delete(At, Name),
    Rename(At, Name, Name),
    MakeFolder(At, usize),
    RemoveFolder(At, usize),
    RenameFolder(At, usize, usize),
    Link(At, Name),
    /// Time passes, in hours.
    Wait(u16),
    /// The clock is set forward or back, in hours, and no time passes.
    SetClock(i32),
    // Mooring.
    Sync(usize),
    SignIn(usize),
    SignOut(usize, Keep),
    /// The question about deletions is answered: carry them over, or bring the files back.
    Answer(usize, bool),
    Undelete(usize, u8),
    /// The next thing that Mooring does ends at its nth effect; the seed says what the power takes.
    Doom(u16, u64),
}

/// What a sign-out leaves in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Photos,
    Everything,
}

/// The most devices.
pub const DEVICES: usize = 4;

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        3 => Just(At::Device(0)),
        3 => Just(At::Device(1)),
        1 => (2..DEVICES).prop_map(At::Device),
        2 => Just(At::Storage),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![2 => (0..3_usize).prop_map(Name), 3 => (0..NAMES.len()).prop_map(Name)]
}

fn words() -> impl Strategy<Value = Words> {
    prop_oneof![6 => Just(Words::New), 2 => (0..2_u8).prop_map(Words::Known), 1 => Just(Words::Nothing)]
}

fn device() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..2_usize, 1 => 0..DEVICES]
}

fn person() -> impl Strategy<Value = Act> {
    let folder = || 0..FOLDERS.len();
    prop_oneof![
        8 => (at(), name(), words()).prop_map(|(at, n, w)| Act::Write(at, n, w)),
        1 => at().prop_map(Act::WriteMany),
        1 => (at(), name(), any::<u8>()).prop_map(|(at, n, t)| Act::Touch(at, n, t)),
        1 => (at(), name(), any::<u8>()).prop_map(|(at, n, m)| Act::Chmod(at, n, m)),
        5 => (at(), name()).prop_map(|(at, n)| Act::Delete(at, n)),
        2 => (at(), name(), name()).prop_map(|(at, a, b)| Act::Rename(at, a, b)),
        1 => (at(), folder()).prop_map(|(at, f)| Act::MakeFolder(at, f)),
        1 => (at(), folder()).prop_map(|(at, f)| Act::RemoveFolder(at, f)),
        1 => at().prop_map(|at| Act::RemoveFolder(at, FOLDERS.len() - 1)),
        1 => (at(), folder(), folder()).prop_map(|(at, a, b)| Act::RenameFolder(at, a, b)),
        1 => (at(), name()).prop_map(|(at, n)| Act::Link(at, n)),
        1 => (1..800_u16).prop_map(Act::Wait),
        1 => prop_oneof![-9_000..9_000_i32, -30..30_i32].prop_map(Act::SetClock),
    ]
}

fn mooring() -> impl Strategy<Value = Act> {
    let keep = prop_oneof![
        3 => Just(Keep::Nothing),
        1 => Just(Keep::Photos),
        2 => Just(Keep::Everything)
    ];
    let seed = prop_oneof![Just(0_u64), Just(1), 2..1_000_u64];
    prop_oneof![
        10 => device().prop_map(Act::Sync),
        2 => device().prop_map(Act::SignIn),
        2 => (device(), keep).prop_map(|(d, k)| Act::SignOut(d, k)),
        1 => (device(), any::<bool>()).prop_map(|(d, y)| Act::Answer(d, y)),
        1 => (device(), any::<u8>()).prop_map(|(d, n)| Act::Undelete(d, n)),
        4 => (prop_oneof![1..12_u16, 1..80_u16], seed).prop_map(|(n, s)| Act::Doom(n, s)),
    ]
}

/// Programs of at most so many steps.
pub fn programs(most: usize) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(prop_oneof![person(), mooring()], 1..most)
}

/// What the disks can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disks {
    Good,
    /// As NFS and FAT: no leases, no swapping of entries, every file fsynced, coarse time.
    Weak,
}

pub fn disks() -> impl Strategy<Value = Disks> {
    prop_oneof![3 => Just(Disks::Good), 1 => Just(Disks::Weak)]
}
