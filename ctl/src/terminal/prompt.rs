//! The questions: yes or no, one of several, a line, a password.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{TTY, Terminal};
use crate::exit::{Exit, Failure, Result};
use crate::secret::Password;

/// How long the reader of a password may take to end after Ctrl-C.
const READER_GRACE: Duration = Duration::from_millis(200);

/// What a person chose by a letter.
pub struct Choice {
    /// The letter.
    pub key: char,
    /// What it does.
    pub meaning: &'static str,
}

impl Terminal {
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
        // The reader shows the prompt first and sets the terminal then: whoever types fast would
        // see the password, and a fast Ctrl-C would be a signal that the reader does not notice.
        self.silence().map_err(|e| {
            Failure::new(
                Exit::Failed,
                format!("The terminal's echo cannot be turned off: {e}."),
            )
        })?;
        let prompt = prompt.to_owned();
        let mut typing = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt));
        let typed = tokio::select! {
            biased;
            typed = &mut typing => typed,
            () = self.interrupted() => {
                // If the key was Ctrl-C the reader is about to end, and sets the terminal once
                // more; if the signal came from elsewhere it does not.
                let _ = tokio::time::timeout(READER_GRACE, typing).await;
                self.restore();
                self.line("");
                return Err(stopped());
            }
        };
        self.restore();
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
                // The reader turned the key into a signal that is still on its way here.
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

fn read_line(prompt: &str) -> io::Result<Option<String>> {
    let mut tty = OpenOptions::new().read(true).write(true).open(TTY)?;
    tty.write_all(prompt.as_bytes())?;
    tty.flush()?;
    let mut line = Vec::new();
    let n = BufReader::new(tty).read_until(b'\n', &mut line)?;
    Ok((n > 0).then(|| String::from_utf8_lossy(&line).into_owned()))
}

pub(super) fn stopped() -> Failure {
    Failure::new(Exit::Cancelled, "Stopped.").kind("Cancelled")
}
