//! Named points at which a test lets the process die, as if the power had gone, or stand still.
//!
//! Only builds with the feature `faults` have them; in all others [`point`] is empty.
//!
//! `MOORING_FAULT=PROCESS/NAME:N@MARK` kills `PROCESS` (`broker` or `worker`) with SIGKILL when it
//! comes to the point `NAME` for the `N`th time, after making the empty file `MARK`. While `MARK`
//! exists nothing dies any more, so the next start goes through. `N:stop` instead of `N` stops it
//! (SIGSTOP), so that whatever is to happen to it in that moment can be done without haste.

/// The process this is, for [`point`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// `mooringd`.
    Broker,
    /// `mooring-worker`.
    Worker,
}

/// Dies, or stops, here if the environment says so.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_process: Process, _name: &str) {}

/// Dies, or stops, here if the environment says so.
#[cfg(feature = "faults")]
pub fn point(process: Process, name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Fault {
        process: &'static str,
        name: String,
        at: u64,
        stop: bool,
        mark: std::path::PathBuf,
    }
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);

    fn parse(text: &str) -> Option<Fault> {
        let (process, rest) = text.split_once('/')?;
        let (name, rest) = rest.split_once(':')?;
        let (at, mark) = rest.split_once('@')?;
        let (at, stop) = match at.strip_suffix(":stop") {
            Some(at) => (at, true),
            None => (at, false),
        };
        Some(Fault {
            process: if process == "broker" {
                "broker"
            } else {
                "worker"
            },
            name: name.to_owned(),
            at: at.parse().ok()?,
            stop,
            mark: mark.into(),
        })
    }

    let fault = FAULT.get_or_init(|| parse(&std::env::var("MOORING_FAULT").ok()?));
    let Some(fault) = fault else { return };
    let this = match process {
        Process::Broker => "broker",
        Process::Worker => "worker",
    };
    if fault.process != this || fault.name != name {
        return;
    }
    if COUNT.fetch_add(1, Ordering::SeqCst) + 1 != fault.at {
        return;
    }
    // `create_new` decides between a first life, which dies, and the later ones, which do not.
    if std::fs::File::create_new(&fault.mark).is_ok() {
        use nix::sys::signal::Signal::{SIGKILL, SIGSTOP};
        if fault.stop {
            // Sent to this very thread, which goes on from here when it is told to.
            let _ = nix::sys::signal::raise(SIGSTOP);
            return;
        }
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), SIGKILL);
        loop {
            std::thread::park();
        }
    }
}
