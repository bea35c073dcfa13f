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

/// The folder in which a mark is made: a process that fences itself in has to reach it.
pub fn marks() -> Option<std::path::PathBuf> {
    if !cfg!(feature = "faults") {
        return None;
    }
    let value = std::env::var_os("MOORING_FAULT")?.into_string().ok()?;
    let (_, mark) = value.rsplit_once('@')?;
    Some(std::path::Path::new(mark).parent()?.to_owned())
}

/// Tries to read a file, as a process would that somebody else has taken over, and writes how that
/// went into the mark: `MOORING_FAULT=worker/read:FILE@MARK`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn try_to_read() {}

/// Tries to read a file, as a process would that somebody else has taken over, and writes how that
/// went into the mark: `MOORING_FAULT=worker/read:FILE@MARK`.
#[cfg(feature = "faults")]
pub fn try_to_read() {
    let Ok(value) = std::env::var("MOORING_FAULT") else {
        return;
    };
    let asked = value.strip_prefix("worker/read:");
    let Some((file, mark)) = asked.and_then(|asked| asked.rsplit_once('@')) else {
        return;
    };
    let said = match std::fs::read(file) {
        Ok(_) => "read".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    // Whole at once, for whoever waits for it; once, for the first life.
    let new = format!("{mark}.new");
    let written = create(new.as_ref()).and_then(|mut file| {
        std::io::Write::write_all(&mut file, said.as_bytes())?;
        std::fs::rename(&new, mark)
    });
    if let Err(error) = written {
        panic!("{mark}: {error}");
    }
}

/// Makes a file that is not there yet. Only to write: a fence lets nothing be read where marks are.
#[cfg(feature = "faults")]
fn create(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
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
    if create(&fault.mark).is_ok() {
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
