//! A value and where it stands, held to its bounds once it is known which file counts.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::MAX_DEVICE_NAME;
use crate::policy::values::Located;
use crate::policy::{Problem, Source};
use crate::rest::{OnBattery, OnMetered};

/// A value and where it stands, for a problem that is only found after merging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    value: T,
    /// With an empty message.
    place: Problem,
}

impl<T> Placed<T> {
    pub(super) fn new(source: &Source, value: Located<T>) -> Self {
        let place = source.problem(value.span().start, String::new());
        Self {
            value: value.into_inner(),
            place,
        }
    }

    fn refuse(self, message: String) -> Problem {
        Problem {
            message,
            ..self.place
        }
    }
}

impl Placed<String> {
    pub(super) fn device_name(self) -> Result<String, Problem> {
        if self.value.chars().count() > MAX_DEVICE_NAME {
            let message =
                format!("a device's name has at most {MAX_DEVICE_NAME} characters: shorten it");
            return Err(self.refuse(message));
        }
        // It becomes part of file names: `name (conflict DEVICE DATE HASH8).ext`.
        if self.value.contains('/') || self.value.starts_with('.') {
            let message = "a device's name has no `/` and no `.` at its start, for it becomes part \
                           of file names: remove them";
            return Err(self.refuse(message.to_owned()));
        }
        Ok(self.value)
    }

    pub(super) fn on_battery(self) -> Result<OnBattery, Problem> {
        OnBattery::parse(&self.value).ok_or_else(|| {
            self.refuse(
                "`on-battery` is \"sync\", \"pause\" or \"below-N\" with N from 1 to 99: correct it"
                    .to_owned(),
            )
        })
    }

    pub(super) fn on_metered(self) -> Result<OnMetered, Problem> {
        OnMetered::parse(&self.value).ok_or_else(|| {
            self.refuse("`on-metered` is \"sync\" or \"pause\": correct it".to_owned())
        })
    }
}

impl Placed<i64> {
    /// The number, if it lies within the bounds of its key.
    pub(super) fn within<N>(self, key: &str, bounds: &RangeInclusive<N>) -> Result<N, Problem>
    where
        N: TryFrom<i64> + PartialOrd + Display,
    {
        match N::try_from(self.value) {
            Ok(number) if bounds.contains(&number) => Ok(number),
            _ => {
                let (least, most) = (bounds.start(), bounds.end());
                let message = format!("`{key}` lies between {least} and {most}: change it");
                Err(self.refuse(message))
            }
        }
    }
}
