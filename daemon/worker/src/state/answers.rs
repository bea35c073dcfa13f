//! The requests of other devices that were answered: each counts once.

use super::State;
use crate::devices::Answer;
use crate::error::Result;

/// The key of the IDs, oldest first, one a line.
const ANSWERED: &str = "answered-requests";
/// The key of the last answer.
const LAST: &str = "last-answer";
/// The most IDs that are remembered. Whoever can bring an older request back can as well write a
/// new one.
const MAX_ANSWERED: usize = 256;

impl State {
    /// Whether a request was answered.
    pub fn is_answered(&self, request: &str) -> Result<bool> {
        let ids = self.meta(ANSWERED)?.unwrap_or_default();
        Ok(ids.lines().any(|id| id == request))
    }

    /// What became of the last request; none when there was none.
    pub fn last_answer(&self) -> Result<Option<Answer>> {
        let Some(text) = self.meta(LAST)? else {
            return Ok(None);
        };
        let answer = toml::from_str(&text).map_err(|e| {
            self.damaged(rusqlite::Error::InvalidParameterName(format!(
                "{LAST}: {e}"
            )))
        })?;
        Ok(Some(answer))
    }

    /// Records an answer, and that its request never counts again, unless it is told to wait.
    pub fn record_answer(&self, answer: &Answer) -> Result<()> {
        let text = toml::to_string(answer)
            .map_err(|e| self.damaged(rusqlite::Error::InvalidParameterName(e.to_string())))?;
        let ids = self.meta(ANSWERED)?.unwrap_or_default();
        let mut ids: Vec<&str> = ids.lines().filter(|id| *id != answer.request).collect();
        if !answer.is_to_wait() {
            ids.push(&answer.request);
        }
        let ids = ids[ids.len().saturating_sub(MAX_ANSWERED)..].join("\n");
        self.commit("commit-answer", |t| {
            for (key, value) in [(ANSWERED, &ids), (LAST, &text)] {
                t.execute(
                    "INSERT INTO meta (key, value) VALUES (?1, ?2)
                     ON CONFLICT (key) DO UPDATE SET value = ?2",
                    [key, value],
                )?;
            }
            Ok(())
        })
    }
}
