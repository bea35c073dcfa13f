//! The keys of a rule that demand something: one line a key in one table. A key's type says how it
//! is read, written and joined ([`Demand`]), and its verbs say which decisions it is about.

use toml::Value;

use super::backup::{Backup, MaxAge};
use super::demand::{Data, Demand, Join, Verdict};
use super::facts::Verb;
use super::hours::Hours;
use super::only::{Only, OnlyCollections, Required};
use super::outside::OutsideHours;
use super::reader::{Reader, Section};
use super::terms::{Delay, MinLength, SessionAge, Tries};

macro_rules! demands {
    ($( $(#[$doc:meta])* $field:ident: $kind:ty = $key:literal, $unset:literal, [$($verb:ident),*]; )*) => {
        /// Everything that a rule demands, or that all rules about a question demand together.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Demands {
            $( $(#[$doc])* pub $field: Option<$kind>, )*
        }

        impl Demands {
            /// Every key, in the order in which they are written.
            pub const KEYS: &'static [&'static str] = &[$($key),*];

            /// Reads every key that is written; a problem for each that is wrong.
            pub(super) fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Self {
                Self { $( $field: <$kind as Demand>::read(reader, section, $key), )* }
            }

            /// What is demanded, as it is written in a file.
            pub fn written(&self) -> Vec<(&'static str, Value)> {
                let mut written = Vec::new();
                $( if let Some(demand) = &self.$field {
                    written.push(($key, demand.value()));
                } )*
                written
            }

            /// The keys that a decision on this verb looks at, each with what is demanded in words.
            pub fn terms(&self, verb: Verb) -> Vec<(&'static str, String)> {
                let mut terms = Vec::new();
                $( if [$(Verb::$verb),*].contains(&verb) {
                    let words = match &self.$field {
                        Some(demand) => demand.words(),
                        None => $unset.to_owned(),
                    };
                    terms.push(($key, words));
                } )*
                terms
            }

            /// What of it a decision on this verb looks at.
            pub(super) fn of(&self, verb: Verb) -> Self {
                Self { $(
                    $field: [$(Verb::$verb),*].contains(&verb).then(|| self.$field.clone()).flatten(),
                )* }
            }
        }

        impl Join for Demands {
            fn join(self, other: Self) -> Self {
                Self { $( $field: either(self.$field, other.$field), )* }
            }
        }
    };
}

demands! {
    /// Whether an account may be signed out.
    sign_out: Verdict = "sign-out", "allow", [SignOut, Forget];
    /// What happens to the files at a sign-out.
    data: Data = "data", "ask", [SignOut];
    /// Which accounts have to be on the device.
    require_account: Required = "require-account", "none", [SignOut, Forget];
    /// Which backup there has to be before files are removed.
    backup: Backup = "backup", "not required", [SignOut];
    /// How old that backup may be.
    backup_max_age: MaxAge = "backup-max-age", "of any age", [SignOut];
    /// When a sign-out may begin.
    hours: Hours = "hours", "at any time", [SignOut];
    /// What becomes of one that another device or the organisation wants at another time.
    outside_hours: OutsideHours = "outside-hours", "wait", [SignOut];
    /// Whether an account may be signed in to.
    sign_in: Verdict = "sign-in", "allow", [SignIn];
    /// The identities that may be signed in to.
    only_identities: Only = "only-identities", "all", [SignIn];
    /// The providers that may be signed in at.
    only_providers: Only = "only-providers", "all", [SignIn];
    /// The collections that may be brought.
    only_collections: OnlyCollections = "only-collections", "all", [SignIn];
    /// How many characters a new password has at least.
    password_min_length: MinLength = "password-min-length", "not demanded", [SignIn];
    /// How many wrong passwords cost no wait.
    password_tries: Tries = "password-tries", "not demanded", [SignIn];
    /// How long the wait after wrong passwords gets.
    password_delay: Delay = "password-delay", "not demanded", [SignIn];
    /// How old a session may become before the person proves who they are again.
    session_max_age: SessionAge = "session-max-age", "not demanded", [SignIn];
}

fn either<T: Join>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.join(b)),
        (a, b) => a.or(b),
    }
}

impl Demands {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
