//! The rules, as the kernel takes them.
//!
//! Renaming into and out of the staging folder needs `REFER`, which Landlock always denies where it
//! does not know it (before Linux 5.19): there is no fence there, rather than a worker that cannot work.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, make_bitflags,
};
use mooring_wire::Fenced;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::place::{Opened, Rights};

/// Everything that is denied unless a rule allows it: files and folders, devices, TCP, abstract
/// sockets and signals to others.
const DENIED: ABI = ABI::V6;

/// Not links, devices, sockets or programs: none is made, carried or run.
const ALL: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const MAKE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadDir | MakeDir});
const MAKE_AND_REMOVE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadDir | MakeDir | RemoveDir});

/// For points of death, which only test builds have.
const MARK: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | MakeReg | RemoveFile});

/// What the process reads of itself (mounts, watches, the processors that it may use), and where
/// SQLite gets its random numbers.
const SYSTEM: [(&str, BitFlags<AccessFs>); 3] = [
    ("/proc/self", READ),
    ("/sys/fs/cgroup", READ),
    ("/dev/urandom", make_bitflags!(AccessFs::{ReadFile})),
];

/// A folder or file, and what may be done there.
type Allowed = (OwnedFd, BitFlags<AccessFs>);

/// Restricts this thread to what was opened. Answers how far, and what has to stay open for it, or
/// nothing where there is no fence.
///
/// # Errors
/// When the kernel has Landlock and does not do it.
pub fn restrict(opened: Vec<Opened>) -> io::Result<(Fenced, Option<Vec<OwnedFd>>)> {
    let rules = opened.into_iter().filter_map(|opened| opened.rule);
    let rules = rules.map(|(folder, rights)| (folder, accesses(rights)));
    let (places, system): (Vec<_>, Vec<_>) = (rules.collect(), system().collect());
    let status = enforce(places.iter().chain(&system));
    let status = status.map_err(|error| io::Error::other(error.to_string()))?;
    let up = status.ruleset != RulesetStatus::NotEnforced;
    let system = system.into_iter().map(|(file, _)| file);
    Ok((told(&status), up.then(|| system.collect())))
}

fn enforce<'r>(
    rules: impl Iterator<Item = &'r Allowed>,
) -> Result<RestrictionStatus, RulesetError> {
    let rules = rules.map(|(folder, accesses)| Ok(PathBeneath::new(folder, *accesses)));
    Ruleset::default()
        // Without this one, nothing at all.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(DENIED))?
        .handle_access(AccessNet::from_all(DENIED))?
        .scope(Scope::from_all(DENIED))?
        .create()?
        .add_rules::<_, _, _, RulesetError>(rules)?
        .restrict_self()
}

fn accesses(rights: Rights) -> BitFlags<AccessFs> {
    match rights {
        Rights::All => ALL,
        Rights::Read => READ,
        Rights::Make => MAKE,
        Rights::MakeAndRemove => MAKE_AND_REMOVE,
    }
}

/// What the process needs of the system. What is not there is not needed.
fn system() -> impl Iterator<Item = Allowed> {
    let open = |path: &Path| open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok();
    let system = SYSTEM.into_iter();
    let system =
        system.filter_map(move |(path, accesses)| Some((open(Path::new(path))?, accesses)));
    let marks = mooring_wire::fault::marks();
    system.chain(marks.and_then(|marks| Some((open(&marks)?, MARK))))
}

/// How far the fence goes, for a person.
fn told(status: &RestrictionStatus) -> Fenced {
    let unfenced = |why: &str| {
        let message = format!(
            "the worker is not fenced in, and reaches whatever you may: {why}; all else is as usual"
        );
        (false, message)
    };
    let (holds, message) = match (&status.ruleset, &status.landlock) {
        (RulesetStatus::FullyEnforced, _) => (
            true,
            "the worker reaches its accounts' folders and storages, and nothing else of yours"
                .to_owned(),
        ),
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            let (holds, since) = lacks(*effective_abi);
            let message =
                format!("the worker is fenced in, but for what this kernel lacks: {since}");
            (holds, message)
        }
        (_, LandlockStatus::NotEnabled) => {
            unfenced("Landlock is not enabled (`landlock` is missing in /sys/kernel/security/lsm)")
        }
        (_, LandlockStatus::NotImplemented) => {
            unfenced("this kernel has no Landlock, or a sandbox keeps it away")
        }
        (_, LandlockStatus::Available { .. }) => {
            unfenced("this kernel's Landlock is too old (it takes Linux 5.19)")
        }
    };
    Fenced { holds, message }
}

/// What a kernel's Landlock does not keep from the worker, and whether files are safe all the same.
fn lacks(abi: ABI) -> (bool, &'static str) {
    match abi {
        ABI::Unsupported | ABI::V1 | ABI::V2 => (
            false,
            "files elsewhere can be cut (Linux 6.2), and what follows",
        ),
        ABI::V3 => (true, "TCP (Linux 6.7), devices (6.10), signals (6.12)"),
        ABI::V4 => (true, "devices (Linux 6.10), signals (6.12)"),
        _ => (true, "signals and abstract sockets (Linux 6.12)"),
    }
}
