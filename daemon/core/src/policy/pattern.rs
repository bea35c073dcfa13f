//! Names that a rule is about: `alice`, `*@example.org`, `guest-*`, `*`.

use std::fmt;

/// The longest pattern, in characters.
pub const MAX_PATTERN: usize = 200;

/// A name, or all names with a beginning or an end. Letters count as they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// This name.
    Exactly(String),
    /// Every name that starts so; every name, when it is empty.
    Starts(String),
    /// Every name that ends so.
    Ends(String),
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty name matches nothing: leave it out, or write \"*\"".to_owned());
        }
        if text.chars().count() > MAX_PATTERN {
            return Err(format!(
                "a name has at most {MAX_PATTERN} characters: shorten it"
            ));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            let message = "a name has no control characters and no spaces around it: remove them";
            return Err(message.to_owned());
        }
        let pattern = match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(start), _) if !start.contains('*') => Self::Starts(start.to_owned()),
            (_, Some(end)) if !end.contains('*') => Self::Ends(end.to_owned()),
            (None, None) if !text.contains('*') => Self::Exactly(text.to_owned()),
            _ => {
                let message = "a name may have one `*`, at its start or at its end: \
                               write several names instead";
                return Err(message.to_owned());
            }
        };
        Ok(pattern)
    }

    /// Whether the pattern is about this name.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(text) => name == text,
            Self::Starts(start) => name.starts_with(start.as_str()),
            Self::Ends(end) => name.ends_with(end.as_str()),
        }
    }

    /// Whether some name matches both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(name), pattern) | (pattern, Self::Exactly(name)) => {
                pattern.matches(name)
            }
            (Self::Starts(a), Self::Starts(b)) => a.starts_with(b) || b.starts_with(a),
            (Self::Ends(a), Self::Ends(b)) => a.ends_with(b) || b.ends_with(a),
            // The beginning followed by the end is such a name.
            (Self::Starts(_), Self::Ends(_)) | (Self::Ends(_), Self::Starts(_)) => true,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(name),
            Self::Starts(start) => write!(f, "{start}*"),
            Self::Ends(end) => write!(f, "*{end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn one_star_at_an_end() {
        assert!(pattern("*").matches("anyone"));
        assert!(pattern("*").matches(""));
        assert!(pattern("guest-*").matches("guest-1"));
        assert!(!pattern("guest-*").matches("a-guest-1"));
        assert!(pattern("*@example.org").matches("alice@example.org"));
        assert!(!pattern("*@example.org").matches("alice@example.org.evil"));
        assert!(!pattern("alice").matches("Alice"));
        for wrong in ["", "a*b", "*a*", "**", " alice", "al\nice", "a\0"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Pattern::parse(&"é".repeat(MAX_PATTERN)).is_ok());
        assert!(Pattern::parse(&"é".repeat(MAX_PATTERN + 1)).is_err());
    }

    /// A name that both match, if two patterns overlap.
    fn witness(a: &Pattern, b: &Pattern) -> Option<String> {
        let part = |p: &Pattern| match p {
            Pattern::Exactly(s) | Pattern::Starts(s) | Pattern::Ends(s) => s.clone(),
        };
        let (x, y) = (part(a), part(b));
        [x.clone(), y.clone(), format!("{x}{y}"), format!("{y}{x}")]
            .into_iter()
            .find(|name| a.matches(name) && b.matches(name))
    }

    proptest! {
        #[test]
        fn overlap_means_a_common_name(
            a in "[ab]{1,3}|[ab]{0,3}\\*|\\*[ab]{1,3}",
            b in "[ab]{1,3}|[ab]{0,3}\\*|\\*[ab]{1,3}",
            name in "[ab]{0,5}",
        ) {
            let (a, b) = (pattern(&a), pattern(&b));
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            prop_assert_eq!(a.overlaps(&b), witness(&a, &b).is_some());
            if a.matches(&name) && b.matches(&name) {
                prop_assert!(a.overlaps(&b));
            }
        }

        #[test]
        fn a_pattern_is_written_as_it_is_read(text in "[ab]{1,3}|[ab]{0,3}\\*|\\*[ab]{1,3}") {
            prop_assert_eq!(pattern(&text).to_string(), text);
        }
    }
}
