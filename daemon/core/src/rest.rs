//! Whether an account rests: what the device runs on, how it is connected, and what the settings
//! say to that. Only what happens by itself rests; what a person asks for is done.
//!
//! A fact that nobody knows is no reason to rest.

/// What is done on battery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnBattery {
    /// The same as on mains power.
    #[default]
    Sync,
    /// Nothing by itself.
    Pause,
    /// Nothing by itself while less than so many percent are left.
    Below(u8),
}

impl OnBattery {
    /// What a word of the settings says: `sync`, `pause` or `below-N` with N from 1 to 99.
    pub fn parse(word: &str) -> Option<Self> {
        match (word, word.strip_prefix("below-")) {
            ("sync", _) => Some(Self::Sync),
            ("pause", _) => Some(Self::Pause),
            // As it is written: no sign, no zero in front.
            (_, Some(digits)) if digits.starts_with(|c: char| matches!(c, '1'..='9')) => {
                let percent = digits.parse().ok().filter(|n| (1..=99).contains(n));
                percent.map(Self::Below)
            }
            _ => None,
        }
    }
}

/// What is done on a metered network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnMetered {
    /// The same as on any other.
    #[default]
    Sync,
    /// Nothing by itself with a storage on the network.
    Pause,
}

impl OnMetered {
    /// What a word of the settings says.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "sync" => Some(Self::Sync),
            "pause" => Some(Self::Pause),
            _ => None,
        }
    }
}

/// What the settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// On battery.
    pub on_battery: OnBattery,
    /// On a metered network.
    pub on_metered: OnMetered,
}

impl Wish {
    /// Whether it matters what the device runs on.
    pub fn asks_for_power(self) -> bool {
        self.on_battery != OnBattery::Sync
    }

    /// Whether it matters how the device is connected.
    pub fn asks_for_network(self) -> bool {
        self.on_metered != OnMetered::Sync
    }
}

/// What is known of the device; none is "not known".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether it runs on battery.
    pub on_battery: Option<bool>,
    /// How full the battery is, in percent.
    pub percent: Option<u8>,
    /// Whether its network is metered.
    pub metered: Option<bool>,
}

/// Why an account rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// The device runs on battery.
    Battery,
    /// The network is metered, and the storage is on it.
    Metered,
}

impl Rest {
    /// The name on the bus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Battery => "on-battery",
            Self::Metered => "on-metered",
        }
    }
}

/// Whether it matters where the storage of an account is.
pub fn asks_where(wish: Wish, now: Surroundings) -> bool {
    wish.on_metered == OnMetered::Pause && now.metered == Some(true)
}

/// Why an account rests now, if it does. `remote` says whether its storage is on the network.
pub fn rest(wish: Wish, now: Surroundings, remote: Option<bool>) -> Option<Rest> {
    let low = match wish.on_battery {
        OnBattery::Sync => false,
        OnBattery::Pause => true,
        OnBattery::Below(bound) => now.percent.is_some_and(|percent| percent < bound),
    };
    if low && now.on_battery == Some(true) {
        return Some(Rest::Battery);
    }
    (asks_where(wish, now) && remote == Some(true)).then_some(Rest::Metered)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn on_battery(percent: Option<u8>) -> Surroundings {
        Surroundings {
            on_battery: Some(true),
            percent,
            metered: None,
        }
    }

    #[test]
    fn words_are_what_the_settings_have() {
        assert_eq!(OnBattery::parse("below-20"), Some(OnBattery::Below(20)));
        assert_eq!(OnBattery::parse("pause"), Some(OnBattery::Pause));
        for wrong in [
            "below-0",
            "below-100",
            "below-+5",
            "below-05",
            "below-",
            "below",
            "",
            "Sync",
        ] {
            assert_eq!(OnBattery::parse(wrong), None, "{wrong}");
            assert_eq!(OnMetered::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn on_battery_it_rests_as_the_settings_say() {
        let wish = |on_battery| Wish {
            on_battery,
            on_metered: OnMetered::Pause,
        };
        let low = wish(OnBattery::Below(20));
        assert_eq!(rest(low, on_battery(Some(19)), None), Some(Rest::Battery));
        assert_eq!(rest(low, on_battery(Some(20)), None), None);
        assert_eq!(rest(low, on_battery(None), None), None);
        let always = wish(OnBattery::Pause);
        assert_eq!(rest(always, on_battery(None), None), Some(Rest::Battery));
        assert_eq!(rest(wish(OnBattery::Sync), on_battery(Some(1)), None), None);
        let mains = Surroundings {
            on_battery: Some(false),
            ..on_battery(Some(1))
        };
        assert_eq!(rest(always, mains, Some(true)), None);
        assert_eq!(rest(always, Surroundings::default(), Some(true)), None);
    }

    #[test]
    fn a_metered_network_counts_for_a_storage_on_it() {
        let wish = Wish {
            on_metered: OnMetered::Pause,
            ..Wish::default()
        };
        let metered = |metered| Surroundings {
            metered,
            ..Surroundings::default()
        };
        assert_eq!(
            rest(wish, metered(Some(true)), Some(true)),
            Some(Rest::Metered)
        );
        for remote in [Some(false), None] {
            assert_eq!(rest(wish, metered(Some(true)), remote), None);
        }
        for fact in [Some(false), None] {
            assert_eq!(rest(wish, metered(fact), Some(true)), None);
        }
        assert_eq!(rest(Wish::default(), metered(Some(true)), Some(true)), None);
    }
}
