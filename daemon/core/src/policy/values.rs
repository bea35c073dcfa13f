//! Reads the values of keys, each held to its type and bounds.

use toml::Spanned;
use toml::de::DeValue;

use super::reader::{Reader, Section, meant};
use super::source::quoted;

/// The longest sentence or name in a file, in characters.
pub const MAX_TEXT: usize = 500;
/// The most entries of a list.
pub const MAX_LIST: usize = 32;

/// A value and the bytes of the file it was read from.
pub(crate) type Located<T> = Spanned<T>;

impl Reader<'_> {
    /// A sentence or name: one line, not empty, without control characters.
    pub(crate) fn text(&mut self, section: &Section<'_, '_>, key: &str) -> Option<Located<String>> {
        let value = section.table.get(key)?;
        let DeValue::String(text) = value.get_ref() else {
            let expected = format!("`{key}` is text in quotation marks");
            return self.mismatch(value, &expected, value.get_ref());
        };
        let complaint = if text.trim().is_empty() {
            "is empty: write it, or remove the line"
        } else if text.chars().any(char::is_control) {
            "has line breaks or control characters: write it as one line of plain text"
        } else if text.chars().count() > MAX_TEXT {
            self.note(
                &value.span(),
                format!("`{key}` is longer than {MAX_TEXT} characters: shorten it"),
            );
            return None;
        } else {
            return Some(Spanned::new(value.span(), text.trim().to_owned()));
        };
        self.note(&value.span(), format!("`{key}` {complaint}"));
        None
    }

    /// As [`Self::text`], and a problem when it is missing.
    pub(crate) fn required_text(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        example: &str,
    ) -> Option<Located<String>> {
        if !section.has(key) {
            let message = format!("{} has no `{key}`: add {key} = \"{example}\"", section.name);
            self.note(&section.span, message);
        }
        self.text(section, key)
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = section.table.get(key)?;
        self.word(value, key, choices)
    }

    /// A list of some words, each once; none when the key is missing.
    pub(crate) fn choices<T: Copy + PartialEq>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<Vec<T>> {
        let mut chosen = Vec::new();
        for item in self.list(section, key)? {
            if let Some(choice) = self.word(item, key, choices) {
                if chosen.contains(&choice) {
                    self.note(
                        &item.span(),
                        format!("`{key}` names this twice: remove one"),
                    );
                }
                chosen.push(choice);
            }
        }
        Some(chosen)
    }

    /// The entries of a list of text, unread; none when the key is missing or no list.
    pub(crate) fn texts<'a>(
        &mut self,
        section: &Section<'a, '_>,
        key: &str,
    ) -> Option<Vec<Located<&'a str>>> {
        let mut texts = Vec::new();
        for item in self.list(section, key)? {
            match item.get_ref() {
                DeValue::String(text) => texts.push(Spanned::new(item.span(), text.as_ref())),
                other => {
                    let expected = format!("the entries of `{key}` are text in quotation marks");
                    self.mismatch::<()>(item, &expected, other);
                }
            }
        }
        Some(texts)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, section: &Section<'_, '_>, key: &str) -> Option<bool> {
        let value = section.table.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => self.mismatch(value, &format!("`{key}` is true or false"), other),
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, section: &Section<'_, '_>, key: &str) -> Option<Located<i64>> {
        let value = section.table.get(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.mismatch(
                value,
                &format!("`{key}` is a whole number"),
                value.get_ref(),
            );
        };
        let Ok(number) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
            self.note(
                &value.span(),
                format!("`{key}` is far too large a number: write a smaller one"),
            );
            return None;
        };
        Some(Spanned::new(value.span(), number))
    }

    fn list<'a, 'i>(
        &mut self,
        section: &Section<'a, 'i>,
        key: &str,
    ) -> Option<&'a [Spanned<DeValue<'i>>]> {
        let value = section.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            let expected = format!("`{key}` is a list, as in {key} = [\"…\"]");
            return self.mismatch(value, &expected, value.get_ref());
        };
        if array.is_empty() {
            let message = format!("an empty `{key}` matches nothing: remove the line to match all");
            self.note(&value.span(), message);
        }
        if let Some(excess) = array.get(MAX_LIST) {
            let message =
                format!("`{key}` has at most {MAX_LIST} entries: use `*` or a second rule");
            self.note(&excess.span(), message);
            return None;
        }
        Some(array)
    }

    fn word<T: Copy>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let DeValue::String(text) = value.get_ref() else {
            let expected = format!("`{key}` is {}, in quotation marks", words.join(" or "));
            return self.mismatch(value, &expected, value.get_ref());
        };
        let choice = choices.iter().find(|(word, _)| *word == text.as_ref());
        if choice.is_none() {
            let (word, advice) = (quoted(text), meant(text, &words));
            self.note(&value.span(), format!("`{key}` cannot be {word}: {advice}"));
        }
        choice.map(|(_, choice)| *choice)
    }

    /// Notes a value of the wrong type.
    pub(super) fn mismatch<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
        actual: &DeValue<'_>,
    ) -> Option<T> {
        let kind = match actual {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.note(
            &value.span(),
            format!("{expected}, and this is {kind}: correct it"),
        );
        None
    }
}
