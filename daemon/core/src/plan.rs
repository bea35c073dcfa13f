//! What a person consents to before a sign-out, and its digest.

use std::collections::BTreeSet;

use crate::collection::Collection;

/// What happens to the files of one collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fate {
    /// The collection.
    pub collection: Collection,
    /// Its local folder, as bytes.
    pub root: Vec<u8>,
    /// True when its files stay.
    pub keep: bool,
    /// What a copy cannot carry, as sentences.
    pub losses: BTreeSet<String>,
}

/// What a person consents to: the verb, the collections and their fate, the losses, the storage,
/// and what policy said. Not the counts: a new photo does not make consent stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The account's ID and the ID of this sign-in.
    pub account: (String, String),
    /// `sign-out`.
    pub verb: String,
    /// Where the copies are: path and ID of the storage.
    pub storage: (Vec<u8>, String),
    /// Each collection's fate.
    pub fates: Vec<Fate>,
    /// The decision of policy: whether allowed, and what it says about data.
    pub policy: (bool, String),
}

impl Consent {
    /// The digest, 32 hexadecimal digits. Equal exactly when the consent is.
    pub fn digest(&self) -> String {
        let mut fates = self.fates.clone();
        fates.sort();
        let mut hasher = blake3::Hasher::new_derive_key("org.mooring1 sign-out consent 1");
        // Every field goes in behind its length, so no two consents share an encoding.
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        field(self.account.0.as_bytes());
        field(self.account.1.as_bytes());
        field(self.verb.as_bytes());
        field(&self.storage.0);
        field(self.storage.1.as_bytes());
        field(&[u8::from(self.policy.0)]);
        field(self.policy.1.as_bytes());
        for fate in &fates {
            field(fate.collection.name().as_bytes());
            field(&fate.root);
            field(&[u8::from(fate.keep)]);
            field(&(fate.losses.len() as u64).to_le_bytes());
            for loss in &fate.losses {
                field(loss.as_bytes());
            }
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> Consent {
        let fate = |collection, keep| Fate {
            collection,
            root: b"/home/alice/x".to_vec(),
            keep,
            losses: BTreeSet::from(["ACLs of 2 files".to_owned()]),
        };
        Consent {
            account: ("a1".into(), "s1".into()),
            verb: "sign-out".into(),
            storage: (b"/mnt/nas".to_vec(), "st".into()),
            fates: vec![
                fate(Collection::Photos, false),
                fate(Collection::Videos, true),
            ],
            policy: (true, "ask".into()),
        }
    }

    #[test]
    fn the_order_of_collections_does_not_matter() {
        let mut other = consent();
        other.fates.reverse();
        assert_eq!(other.digest(), consent().digest());
    }

    #[test]
    fn everything_consented_to_changes_the_digest() {
        let base = consent().digest();
        let changes: [fn(&mut Consent); 8] = [
            |c| c.account.0.push('x'),
            |c| c.account.1.push('x'),
            |c| c.verb.push('x'),
            |c| c.storage.0.push(b'x'),
            |c| c.policy.0 = false,
            |c| c.policy.1.push('x'),
            |c| c.fates[0].keep = true,
            |c| c.fates[0].losses.clear(),
        ];
        for change in changes {
            let mut other = consent();
            change(&mut other);
            assert_ne!(other.digest(), base);
        }
    }

    #[test]
    fn moving_bytes_between_fields_changes_the_digest() {
        let mut a = consent();
        a.account = ("ab".into(), "c".into());
        let mut b = consent();
        b.account = ("a".into(), "bc".into());
        assert_ne!(a.digest(), b.digest());
    }
}
