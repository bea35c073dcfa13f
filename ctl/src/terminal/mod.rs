//! Talking with the person: what is shown where, in which colours, and the questions.
//!
//! Results go to the standard output; with `--json` one document goes there, and what a person
//! reads goes to the standard error, if that is a terminal at all. Questions are asked on the
//! terminal itself, whatever the standard streams are.

mod prompt;

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IsTerminal, Write};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Color;
use crate::exit::{Exit, Failure, Result};
use crate::table::{Align, lay_out};

pub use self::prompt::Choice;
use self::prompt::stopped;

const TTY: &str = "/dev/tty";

/// What a piece of text stands for; the colours follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Strong,
    /// Done, and well.
    Good,
    /// Needs a look.
    Warning,
    /// Stands in the way.
    Bad,
    /// By the way.
    Faint,
}

impl Tone {
    fn sgr(self) -> &'static str {
        match self {
            Self::Strong => "1",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
            Self::Faint => "2",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Stdout,
    Stderr,
    Nowhere,
}

/// The person's side of the program.
pub struct Terminal {
    sink: Sink,
    json: bool,
    color: bool,
    error_color: bool,
    /// The modes of the terminal to ask on; `None` when there is nobody to ask.
    modes: Option<Termios>,
    interrupts: tokio::sync::Mutex<Signal>,
    broken: RefCell<Option<io::Error>>,
}

impl Terminal {
    /// Looks at the standard streams. Takes over Ctrl-C: from here on it is a question.
    ///
    /// # Errors
    /// [`Exit::Failed`] when the signal cannot be caught.
    pub fn new(json: bool, color: Color) -> Result<Self> {
        let sink = match (json, io::stderr().is_terminal()) {
            (false, _) => Sink::Stdout,
            (true, true) => Sink::Stderr,
            (true, false) => Sink::Nowhere,
        };
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: present and not empty.
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        let modes = if io::stdin().is_terminal() {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(TTY)
                .ok()
                .and_then(|t| tcgetattr(&t).ok())
        } else {
            None
        };
        let interrupts = signal(SignalKind::interrupt())
            .map_err(|e| Failure::new(Exit::Failed, format!("Ctrl-C cannot be caught: {e}.")))?;
        Ok(Self {
            sink,
            json,
            color: wanted(match sink {
                Sink::Stdout => io::stdout().is_terminal(),
                _ => io::stderr().is_terminal(),
            }),
            error_color: wanted(io::stderr().is_terminal()),
            modes,
            interrupts: tokio::sync::Mutex::new(interrupts),
            broken: RefCell::new(None),
        })
    }

    /// Whether there is a person to ask.
    pub fn interactive(&self) -> bool {
        self.modes.is_some()
    }

    /// Whether `--json` was given.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether a progress bar has a place to be drawn.
    pub fn shows_bars(&self) -> bool {
        let sink_is_terminal = match self.sink {
            Sink::Stdout => io::stdout().is_terminal(),
            Sink::Stderr => true,
            Sink::Nowhere => false,
        };
        sink_is_terminal && io::stderr().is_terminal()
    }

    /// Text in the colour of its tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        paint(self.color, tone, text)
    }

    /// Shows rows as a table; the first is its head.
    pub fn table(&self, columns: &[Align], rows: &[Vec<String>]) {
        for (i, line) in lay_out(columns, rows).iter().enumerate() {
            match i {
                0 => self.line(&self.paint(Tone::Faint, line)),
                _ => self.line(line),
            }
        }
    }

    /// Shows a line to the person.
    pub fn line(&self, text: &str) {
        match self.sink {
            Sink::Stdout => self.write(&mut io::stdout().lock(), text),
            Sink::Stderr => self.write(&mut io::stderr().lock(), text),
            Sink::Nowhere => {}
        }
    }

    /// Writes text as it is to the standard output, whatever it is.
    pub fn raw(&self, text: &str) {
        let mut out = io::stdout().lock();
        let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.remember(result);
    }

    /// Shows what went wrong, and what to do.
    pub fn failure(&self, failure: &Failure) {
        let label = paint(self.error_color, Tone::Bad, "error:");
        let mut err = io::stderr().lock();
        // There is nowhere left to report that the standard error is closed.
        let _ = writeln!(err, "{label} {}", failure.message);
        if !failure.hint.is_empty() {
            let label = paint(self.error_color, Tone::Faint, "hint:");
            let _ = writeln!(err, "{label} {}", failure.hint);
        }
    }

    /// Prints the one document of `--json`.
    pub fn document(&self, value: &serde_json::Value) {
        let text = crate::json::text(value);
        self.write(&mut io::stdout().lock(), &text);
    }

    /// The first error in writing to a standard stream. A closed pipe is none: whoever reads
    /// `mooringctl | head` has seen enough.
    pub fn write_error(&self) -> Option<io::Error> {
        self.broken.borrow_mut().take()
    }

    fn write(&self, to: &mut impl Write, text: &str) {
        let result = writeln!(to, "{text}").and_then(|()| to.flush());
        self.remember(result);
    }

    fn remember(&self, result: io::Result<()>) {
        if let Err(e) = result
            && e.kind() != ErrorKind::BrokenPipe
        {
            self.broken.borrow_mut().get_or_insert(e);
        }
    }

    /// Completes when the person presses Ctrl-C (or something sends SIGINT).
    pub async fn interrupted(&self) {
        if self.interrupts.lock().await.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for something, and gives up on Ctrl-C.
    ///
    /// # Errors
    /// What the future ends in; [`Exit::Cancelled`] on Ctrl-C.
    pub async fn patient<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            () = self.interrupted() => Err(stopped()),
        }
    }

    /// Turns the terminal's echo off, and Ctrl-C into a key like any other, until
    /// [`Self::restore`].
    fn silence(&self) -> io::Result<()> {
        if let Some(modes) = &self.modes {
            let mut silent = modes.clone();
            silent.local_flags.remove(
                LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG,
            );
            silent.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
            silent.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
            let tty = OpenOptions::new().read(true).open(TTY)?;
            tcsetattr(&tty, SetArg::TCSANOW, &silent)?;
        }
        Ok(())
    }

    /// Puts the terminal back as it was found: a password prompt that was left early may have
    /// turned its echo off.
    pub fn restore(&self) {
        if let Some(modes) = &self.modes
            && let Ok(tty) = OpenOptions::new().read(true).open(TTY)
        {
            // A terminal that is gone has no modes to put back.
            let _ = tcsetattr(&tty, SetArg::TCSANOW, modes);
        }
    }
}

/// Writes a line where only a person reads: on the terminal, or, without one, on the standard
/// error.
pub fn tty_line(text: &str) {
    let on_tty = OpenOptions::new()
        .write(true)
        .open(TTY)
        .and_then(|mut tty| writeln!(tty, "{text}"));
    if on_tty.is_err() {
        // There is nowhere else left to write to.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if color {
        format!("\x1b[{}m{text}\x1b[0m", tone.sgr())
    } else {
        text.to_owned()
    }
}
