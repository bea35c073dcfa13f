//! Talking with the person: what is shown where, in which colours, and the questions.
//!
//! Results go to the standard output; with `--json` one document goes there, and what a person
//! reads goes to the standard error, if that is a terminal at all. Questions are asked on the
//! terminal itself, whatever the standard streams are.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use crate::cli::Color;
use crate::exit::{Exit, Failure, Result};
use crate::secret::Password;

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

/// What a person chose by a letter.
pub struct Choice {
    /// The letter.
    pub key: char,
    /// What it does.
    pub meaning: &'static str,
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

    /// Puts the terminal back as it was found: a password prompt that was left early may have
    /// turned its echo off.
    pub fn restore(&self) {
        if let Some(modes) = &self.modes
            && let Ok(tty) = OpenOptions::new().read(true).open(TTY)
        {
            // The program ends here; there is nobody to tell.
            let _ = tcsetattr(&tty, SetArg::TCSANOW, modes);
        }
    }

    /// Asks a yes-or-no question; Enter alone means no.
    ///
    /// # Errors
    /// [`Exit::Usage`] without a terminal, [`Exit::Cancelled`] on Ctrl-C.
    pub async fn confirm(&self, question: &str) -> Result<bool> {
        let answer = self.ask(&format!("{question} [y/N] ")).await?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// Lets the person choose by a letter; asks again until one fits.
    ///
    /// # Errors
    /// As [`Self::confirm`].
    pub async fn choose(&self, choices: &[Choice]) -> Result<char> {
        for choice in choices {
            self.line(&format!("  [{}] {}", choice.key, choice.meaning));
        }
        let keys: Vec<String> = choices.iter().map(|c| c.key.to_string()).collect();
        loop {
            let answer = self.ask(&format!("{}? ", keys.join("/"))).await?;
            if let Some(c) = choices
                .iter()
                .find(|c| answer.trim().eq_ignore_ascii_case(&c.key.to_string()))
            {
                return Ok(c.key);
            }
        }
    }

    /// Asks for a line on the terminal.
    ///
    /// # Errors
    /// As [`Self::confirm`]; the end of the input counts as Ctrl-C.
    pub async fn ask(&self, prompt: &str) -> Result<String> {
        self.need_person("to ask on")?;
        let prompt = prompt.to_owned();
        let reading = tokio::task::spawn_blocking(move || read_line(&prompt));
        tokio::select! {
            line = reading => match line {
                Ok(Ok(Some(line))) => Ok(line),
                Ok(Ok(None)) => Err(stopped()),
                Ok(Err(e)) => Err(Failure::new(Exit::Failed, format!("The terminal cannot be read: {e}."))),
                Err(e) => Err(Failure::new(Exit::Failed, format!("The terminal cannot be read: {e}."))),
            },
            () = self.interrupted() => {
                self.line("");
                Err(stopped())
            }
        }
    }

    /// Asks for a password without echo. `None` when nothing was typed.
    ///
    /// # Errors
    /// [`Exit::Usage`] without a terminal, [`Exit::Cancelled`] on Ctrl-C.
    pub async fn password(&self, prompt: &str) -> Result<Option<Password>> {
        self.need_person("to ask for the password")?;
        let prompt = prompt.to_owned();
        let typed = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt)).await;
        // The newline was typed without echo.
        tty_line("");
        match typed {
            Ok(Ok(text)) => {
                let password = Zeroizing::new(text.into_bytes());
                if password.len() > mooring_api::MAX_SECRET_BYTES {
                    let max = mooring_api::MAX_SECRET_BYTES;
                    return Err(Failure::usage(format!(
                        "A password has at most {max} bytes."
                    )));
                }
                Ok((!password.is_empty()).then_some(password))
            }
            Ok(Err(e)) if e.kind() == ErrorKind::Interrupted => {
                // The prompt turned the key into a signal that is still on its way here.
                self.interrupted().await;
                Err(stopped())
            }
            Ok(Err(e)) if e.kind() == ErrorKind::UnexpectedEof => Err(stopped()),
            Ok(Err(e)) => Err(Failure::new(
                Exit::Failed,
                format!("The terminal cannot be read: {e}."),
            )),
            Err(e) => Err(Failure::new(
                Exit::Failed,
                format!("The terminal cannot be read: {e}."),
            )),
        }
    }

    fn need_person(&self, what: &str) -> Result<()> {
        if self.interactive() {
            return Ok(());
        }
        Err(Failure::usage(format!("There is no terminal {what}.")))
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

fn read_line(prompt: &str) -> io::Result<Option<String>> {
    let mut tty = OpenOptions::new().read(true).write(true).open(TTY)?;
    tty.write_all(prompt.as_bytes())?;
    tty.flush()?;
    let mut line = Vec::new();
    let n = BufReader::new(tty).read_until(b'\n', &mut line)?;
    Ok((n > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

fn stopped() -> Failure {
    Failure::new(Exit::Cancelled, "Stopped.").kind("Cancelled")
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if color {
        format!("\x1b[{}m{text}\x1b[0m", tone.sgr())
    } else {
        text.to_owned()
    }
}
