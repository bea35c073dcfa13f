//! Hours of the week, in UTC: `Mon-Fri 08:00-18:00, Sat 09:00-12:00`.
//!
//! UTC, because the same file then means the same on every device, and no person moves the hours
//! by choosing another time zone.

use std::fmt;

use toml::Value;

use super::demand::{Demand, Join};
use super::reader::{Reader, Section};

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// The most spans of one key.
const MAX_SPANS: usize = 32;
const EXAMPLE: &str = "write days and hours in UTC, as in Mon-Fri 08:00-18:00, Sat 09:00-12:00";

/// Minutes of a week that begins on Monday, 00:00 UTC: half-open spans, sorted, apart from each
/// other, none over midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours(Vec<(u16, u16)>);

impl Hours {
    /// Whether this time, in seconds since the Unix epoch, is within the hours.
    pub fn contain(&self, time: u64) -> bool {
        let minute = minute_of_week(time);
        self.0
            .iter()
            .any(|(from, to)| (from..to).contains(&&minute))
    }

    /// The first time from this one on, in seconds since the Unix epoch, that is within the hours;
    /// none when none ever is.
    pub fn next(&self, time: u64) -> Option<u64> {
        if self.contain(time) {
            return Some(time);
        }
        let now = minute_of_week(time);
        let wait = |&(from, _): &(u16, u16)| (from + WEEK - now) % WEEK;
        // It is the beginning of a span: the minute under way is over by then.
        let minutes = u64::from(self.0.iter().map(wait).min()?);
        Some((time / 60).saturating_add(minutes).saturating_mul(60))
    }

    /// Whether no time is within them.
    pub fn is_never(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads them; the error says what is wrong.
    fn parse(text: &str) -> Result<Self, String> {
        let mut spans = Vec::new();
        for (count, part) in text.split(',').enumerate() {
            if count == MAX_SPANS {
                return Err(format!("there are more than {MAX_SPANS} spans: join some"));
            }
            let (days, hours) = part.trim().split_once(' ').ok_or(EXAMPLE)?;
            let (from, to) = hours.trim().split_once('-').ok_or(EXAMPLE)?;
            let (from, to) = (minute(from)?, minute(to)?);
            if from == to || from == DAY {
                return Err(format!("{} lasts no time: {EXAMPLE}", hours.trim()));
            }
            for day in week(days)? {
                if from < to {
                    spans.push((day * DAY + from, day * DAY + to));
                } else {
                    // Over midnight, into the next day.
                    let next = (day + 1) % 7;
                    spans.push((day * DAY + from, (day + 1) * DAY));
                    spans.push((next * DAY, next * DAY + to));
                }
            }
        }
        Ok(Self(sorted(spans)))
    }

    /// The spans of a day, in minutes of that day.
    fn of(&self, day: u16) -> Vec<(u16, u16)> {
        let start = day * DAY;
        let of_day = |(from, _): &&(u16, u16)| (start..start + DAY).contains(from);
        let spans = self.0.iter().filter(of_day);
        spans.map(|(from, to)| (from - start, to - start)).collect()
    }
}

/// The minute of the week that begins on Monday.
fn minute_of_week(time: u64) -> u16 {
    let minutes = u64::from(WEEK);
    // 1 January 1970 was a Thursday.
    let minute = (time / 60 % minutes + 3 * u64::from(DAY)) % minutes;
    // Less than a week.
    u16::try_from(minute).unwrap_or_default()
}

/// Spans in order; those that meet within a day are one.
fn sorted(mut spans: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    spans.retain(|(from, to)| from < to);
    spans.sort_unstable();
    let mut apart: Vec<(u16, u16)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match apart.last_mut() {
            Some(last) if from / DAY == last.0 / DAY && from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

fn week(text: &str) -> Result<Vec<u16>, String> {
    let day = |name: &str| -> Result<u16, String> {
        let known = (0..).zip(DAYS).find(|(_, day)| *day == name);
        let known = known.map(|(number, _)| number);
        known.ok_or_else(|| format!("a day is one of {}", DAYS.join(", ")))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    let length = (last + 7 - first) % 7;
    Ok((0..=length).map(|n| (first + n) % 7).collect())
}

/// `HH:MM` as a minute of the day; `24:00` is its end.
fn minute(text: &str) -> Result<u16, String> {
    let number = |digits: &str| {
        let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        two.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':').ok_or(EXAMPLE)?;
    match (number(hour), number(minute)) {
        (Some(24), Some(0)) => Ok(DAY),
        (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(hour * 60 + minute),
        _ => Err(format!("a time is between 00:00 and 24:00: {EXAMPLE}")),
    }
}

impl Default for Hours {
    fn default() -> Self {
        Self((0..7).map(|day| (day * DAY, (day + 1) * DAY)).collect())
    }
}

impl Join for Hours {
    fn join(self, other: Self) -> Self {
        let both = |a: &(u16, u16), b: &(u16, u16)| (a.0.max(b.0), a.1.min(b.1));
        let pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| both(a, b)));
        Self(sorted(pairs.collect()))
    }
}

impl Demand for Hours {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<Self> {
        let text = reader.text(section, key)?;
        match Self::parse(text.get_ref()) {
            Ok(hours) => Some(hours),
            Err(message) => {
                reader.note(&text.span(), format!("`{key}`: {message}"));
                None
            }
        }
    }

    fn value(&self) -> Value {
        Value::String(self.to_string())
    }

    fn words(&self) -> String {
        match self.is_never() {
            true => "never".to_owned(),
            false => format!("{self} (UTC)"),
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let mut day = 0;
        while day < 7 {
            let spans = self.of(day);
            let same = (day..7).take_while(|next| self.of(*next) == spans).count();
            let last = day + u16::try_from(same).unwrap_or(7) - 1;
            for (from, to) in spans {
                let (first, end) = (DAYS[usize::from(day)], DAYS[usize::from(last)]);
                f.write_str(comma)?;
                comma = ", ";
                match first == end {
                    true => write!(f, "{first} ")?,
                    false => write!(f, "{first}-{end} ")?,
                }
                let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
                write!(f, "{}-{}", clock(from), clock(to))?;
            }
            day = last + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> Hours {
        Hours::parse(text).unwrap()
    }

    #[test]
    fn hours_are_of_the_week_in_utc() {
        // Thursday, 1 January 1970.
        let office = hours("Mon-Fri 08:00-18:00");
        assert!(!office.contain(0));
        assert!(!office.contain(8 * 3600 - 1));
        assert!(office.contain(8 * 3600));
        assert!(office.contain(18 * 3600 - 1));
        assert!(!office.contain(18 * 3600));
        assert!(office.contain(24 * 3600 + 12 * 3600), "Friday");
        assert!(!office.contain(2 * 24 * 3600 + 12 * 3600), "Saturday");
        // Tuesday, 24 November 2026, 18:00.
        assert!(hours("Tue 18:00-18:01").contain(1_795_543_200));
    }

    #[test]
    fn the_next_hours_come_whatever_the_day() {
        let office = hours("Mon-Fri 08:00-18:00");
        // Tuesday, 24 November 2026, 18:00:30; the next are on Wednesday at 08:00.
        let tuesday = 1_795_543_230;
        assert_eq!(office.next(tuesday), Some(1_795_543_200 + 14 * 3600));
        assert_eq!(office.next(tuesday - 60), Some(tuesday - 60));
        // From Friday evening to Monday.
        let friday = 1_795_543_200 + 3 * 24 * 3600;
        assert_eq!(office.next(friday), Some(friday + (2 * 24 + 14) * 3600));
        let never = hours("Mon 08:00-09:00").join(hours("Tue 08:00-09:00"));
        assert_eq!(never.next(tuesday), None);
    }

    #[test]
    fn nights_and_weekends_go_round() {
        let night = hours("Sun 22:00-06:00");
        assert_eq!(night.to_string(), "Mon 00:00-06:00, Sun 22:00-24:00");
        assert_eq!(
            hours("Sat-Mon 00:00-24:00").to_string(),
            "Mon 00:00-24:00, Sat-Sun 00:00-24:00"
        );
        assert_eq!(hours("Mon-Sun 00:00-24:00"), Hours::default());
        assert_eq!(
            hours("Mon 08:00-12:00, Mon 10:00-14:00").to_string(),
            "Mon 08:00-14:00"
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for wrong in [
            "",
            "Mon",
            "08:00-18:00",
            "Mon 8:00-18:00",
            "Mon 08:00",
            "Mon 25:00-26:00",
            "Mon 08:60-09:00",
            "Mon 08:00-08:00",
            "Mon 24:00-24:00",
            "Moon 08:00-09:00",
            "Mon-Fri-Sun 08:00-09:00",
            "Mon 08:00-09:00,",
            "Mon +8:00-09:00",
            "Mon 08:00-+9:00",
        ] {
            assert!(Hours::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Hours::parse(&"Mon 08:00-09:00,".repeat(1000)).is_err());
    }

    fn any_hours() -> impl Strategy<Value = Hours> {
        let span = (0..7usize, 0..7usize, 0..24u16, 0..60u16, 0..24u16, 0..60u16);
        prop::collection::vec(span, 1..4).prop_filter_map("lasts no time", |spans| {
            let text = |(a, b, h, m, i, n): &(usize, usize, u16, u16, u16, u16)| {
                format!("{}-{} {h:02}:{m:02}-{i:02}:{n:02}", DAYS[*a], DAYS[*b])
            };
            let texts: Vec<String> = spans.iter().map(text).collect();
            Hours::parse(&texts.join(", ")).ok()
        })
    }

    proptest! {
        #[test]
        fn hours_are_written_as_they_are_read(hours in any_hours()) {
            prop_assert_eq!(Hours::parse(&hours.to_string()).unwrap(), hours);
        }

        #[test]
        fn no_time_before_the_next_is_within(hours in any_hours(), time in 0..2_000_000u64) {
            let next = hours.next(time).unwrap();
            prop_assert!(next >= time && hours.contain(next));
            for minute in time / 60..next / 60 {
                prop_assert!(!hours.contain(minute * 60), "{minute}");
            }
        }

        #[test]
        fn joining_hours_is_a_semilattice(a in any_hours(), b in any_hours(), c in any_hours(), time in 0..2_000_000u64) {
            let join = |a: &Hours, b: &Hours| a.clone().join(b.clone());
            prop_assert_eq!(join(&a, &a), a.clone());
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &Hours::default()), a.clone());
            prop_assert_eq!(join(&a, &b).contain(time), a.contain(time) && b.contain(time));
        }
    }
}
