//! Signed bundles: who vouches for them, which one is in force, and that they mask nothing.

use mooring_core::policy::bundle::{
    Bundle, Held, Holding, Key, MAX_BUNDLE_BYTES, MAX_SIGNATURE_BYTES, Memory, Offer, refusal,
};
use mooring_core::policy::{Circumstances, Problem, Source, Standing, State, simulate_bundle};
use proptest::prelude::*;

use crate::{HEAD, alice, source};

const BUNDLE: &[u8] = include_bytes!("bundle/policy.bundle");
const SIGNATURE: &[u8] = include_bytes!("bundle/policy.bundle.minisig");

/// Before [`EXPIRES`].
const NOW: u64 = 1_795_543_200;
/// As in the bundle: 31 January 2027.
const EXPIRES: u64 = 1_801_353_600;

/// With no key but the signer's.
fn hold(memory: &Memory, offer: Offer, now: u64) -> Held {
    mooring_core::policy::bundle::hold(memory, offer, &[], now)
}

fn key() -> Key {
    Key::read("/k/example.pub", include_bytes!("bundle/example.pub")).unwrap()
}

fn other() -> Key {
    Key::read("/k/other.pub", include_bytes!("bundle/other.pub")).unwrap()
}

fn open(bytes: &[u8], signature: &[u8], keys: &[Key]) -> Result<Bundle, Vec<Problem>> {
    Bundle::open("/p/policy.bundle", bytes, signature, keys)
}

#[track_caller]
fn expect_refused(opened: Result<Bundle, Vec<Problem>>, said: &str) {
    let problems = opened.unwrap_err();
    assert!(problems[0].to_string().contains(said), "{problems:?}");
}

#[test]
fn a_trusted_key_vouches_for_every_byte() {
    let bundle = open(BUNDLE, SIGNATURE, &[other(), key()]).unwrap();
    assert_eq!((bundle.version, bundle.expires), (12, EXPIRES));
    assert_eq!(bundle.organisation, "Example GmbH");
    assert_eq!(bundle.key, "example.pub");
    assert_eq!(bundle.files[0].path, "/p/policy.bundle:10-office.toml");
    for at in 0..BUNDLE.len() {
        let mut changed = BUNDLE.to_vec();
        changed[at] ^= 1;
        expect_refused(open(&changed, SIGNATURE, &[key()]), "does not fit");
    }
    expect_refused(open(&BUNDLE[..100], SIGNATURE, &[key()]), "cut short");
    expect_refused(open(b"", SIGNATURE, &[key()]), "does not fit");
}

#[test]
fn a_simulated_bundle_takes_the_place_of_the_one_in_force() {
    let rules = |name: &str, demand: &str| {
        let text = format!("{HEAD}[[rule]]\nname = \"n\"\nreason = \"R.\"\n{demand}\n");
        source(&format!("/p/policy.bundle:{name}"), text)
    };
    let bundle = |version: u64, files: Vec<Source>| Bundle {
        version,
        files,
        ..open(BUNDLE, SIGNATURE, &[key()]).unwrap()
    };
    let old = bundle(12, vec![rules("10-a.toml", "sign-out = \"deny\"")]);
    let held = hold(&Memory::default(), Offer::Signed(old.clone()), NOW);
    let drop_in = source("/e/10-a.toml", rules("", "data = \"keep\"").text);
    let standing = Standing::united(None, Ok(vec![drop_in]), &held);
    let run = |bundle: Bundle| {
        let now = Circumstances::default();
        simulate_bundle(&standing, bundle, &[alice()], &[], &now)
    };
    assert_eq!(run(old.clone()).unwrap().changes, []);
    let lifted = run(bundle(
        13,
        vec![rules("20-b.toml", "hours = \"Mon 08:00-09:00\"")],
    ))
    .unwrap();
    assert_eq!(lifted.replaces.as_deref(), Some("/p/policy.bundle"));
    let told = lifted.changes.iter();
    let told: Vec<_> = told.map(|c| (c.what, c.after.as_str())).collect();
    assert_eq!(
        told,
        [("sign-out", "allowed"), ("hours", "Mon 08:00-09:00 (UTC)")]
    );
    // The drop-in of the same name stays, as it does.
    let opposed = run(bundle(13, vec![rules("10-a.toml", "data = \"remove\"")])).unwrap();
    assert_eq!(opposed.conflicts.len(), 1);
    let wrong = run(bundle(13, vec![rules("c.toml", "data = \"burn\"")])).unwrap_err();
    assert!(wrong[0].file.ends_with("c.toml"), "{wrong:?}");
    // Which is in force does not depend on what was tried.
    assert!(refusal(&held.memory, &bundle(11, Vec::new()), NOW).is_some());
}

#[test]
fn who_is_not_trusted_is_not_read() {
    expect_refused(open(BUNDLE, SIGNATURE, &[other()]), "none of the keys");
    expect_refused(open(BUNDLE, SIGNATURE, &[]), "no key that may sign");
    expect_refused(open(BUNDLE, b"", &[key()]), ".minisig, is missing");
    expect_refused(open(BUNDLE, b"junk", &[key()]), "is no signature");
    let large = vec![b'#'; MAX_BUNDLE_BYTES + 1];
    expect_refused(open(&large, SIGNATURE, &[key()]), "larger than 1 MiB");
    let large = vec![b'a'; MAX_SIGNATURE_BYTES + 1];
    expect_refused(open(BUNDLE, &large, &[key()]), "too large");
    // The signature holds the comment, too.
    let signature = String::from_utf8(SIGNATURE.to_vec()).unwrap();
    let changed = signature.replace("version 12", "version 13");
    expect_refused(open(BUNDLE, changed.as_bytes(), &[key()]), "does not fit");
    assert!(Key::read("/k/a.pub", b"junk").is_err());
}

#[test]
fn a_signed_mistake_is_still_a_mistake() {
    let zero = include_bytes!("bundle/zero.bundle");
    let signature = include_bytes!("bundle/zero.bundle.minisig");
    expect_refused(open(zero, signature, &[key()]), "counts from 1");
    let unsound = include_bytes!("bundle/unsound.bundle");
    let signature = include_bytes!("bundle/unsound.bundle.minisig");
    // The place is that within the file in the bundle.
    expect_refused(
        open(unsound, signature, &[key()]),
        "policy.bundle:10-office.toml:8:12: ",
    );
}

fn bundle(version: u64, expires: u64, verdict: &str) -> Bundle {
    let text = format!("{HEAD}[[rule]]\nname = \"b\"\nreason = \"B.\"\nsign-out = \"{verdict}\"\n");
    Bundle {
        path: "/p/policy.bundle".to_owned(),
        organisation: "Example GmbH".to_owned(),
        version,
        expires,
        key: "example.pub".to_owned(),
        signer: "example".to_owned(),
        files: vec![source("/p/policy.bundle:a.toml", text)],
    }
}

fn after(version: u64) -> Memory {
    hold(
        &Memory::default(),
        Offer::Signed(bundle(version, EXPIRES, "deny")),
        NOW,
    )
    .memory
}

#[track_caller]
fn expect_kept(held: &Held, version: u64, holding: Holding, said: &str) {
    let accepted = held.memory.accepted.as_ref().map(|b| b.version);
    assert_eq!(accepted, Some(version), "{held:?}");
    assert_eq!(held.holding, holding, "{held:?}");
    let told = held.problems.iter().any(|p| p.to_string().contains(said));
    assert!(told || said.is_empty(), "{held:?}");
}

#[test]
fn only_a_newer_bundle_takes_the_place_of_another() {
    let memory = after(12);
    let offer = |version, expires, verdict| {
        hold(
            &memory,
            Offer::Signed(bundle(version, expires, verdict)),
            NOW,
        )
    };
    expect_kept(&offer(12, EXPIRES, "deny"), 12, Holding::InForce, "");
    expect_kept(&offer(13, EXPIRES, "allow"), 13, Holding::InForce, "");
    expect_kept(
        &offer(11, EXPIRES, "allow"),
        12,
        Holding::LastGood,
        "never comes back",
    );
    expect_kept(
        &offer(12, EXPIRES, "allow"),
        12,
        Holding::LastGood,
        "another bundle of version 12",
    );
    expect_kept(
        &offer(12, EXPIRES + 1, "deny"),
        12,
        Holding::LastGood,
        "another bundle",
    );
    expect_kept(
        &offer(13, NOW, "allow"),
        12,
        Holding::LastGood,
        "expired at",
    );
    let refused = Offer::Refused(vec![Problem::of_file("x", "bad")]);
    expect_kept(&hold(&memory, refused, NOW), 12, Holding::LastGood, "bad");
    expect_kept(
        &hold(&memory, Offer::Nothing, NOW),
        12,
        Holding::LastGood,
        "the bundle is gone",
    );
    let late = Offer::Signed(bundle(12, EXPIRES, "deny"));
    expect_kept(
        &hold(&memory, late, EXPIRES),
        12,
        Holding::Expired,
        "It stays in force",
    );
}

#[test]
fn given_up_is_only_what_has_neither_file_nor_key() {
    let held = hold(&after(12), Offer::NothingTrusted, NOW);
    assert_eq!(
        (held.holding, &held.memory.accepted),
        (Holding::None, &None)
    );
    assert_eq!(held.released.as_ref().unwrap().version, 12);
    // It is told once.
    assert_eq!(
        hold(&held.memory, Offer::NothingTrusted, NOW).released,
        None
    );
    // The organisation may come back, an older policy of it may not.
    let older = hold(
        &held.memory,
        Offer::Signed(bundle(11, EXPIRES, "allow")),
        NOW,
    );
    assert_eq!(older.holding, Holding::Invalid);
    // Another organisation counts anew, and then only up.
    let others = |version| Bundle {
        signer: "another".to_owned(),
        ..bundle(version, EXPIRES, "deny")
    };
    let theirs = hold(&held.memory, Offer::Signed(others(2)), NOW);
    expect_kept(&theirs, 2, Holding::InForce, "");
    let back = hold(&theirs.memory, Offer::Signed(others(1)), NOW);
    expect_kept(&back, 2, Holding::LastGood, "never comes back");
    // And the first organisation's older ones do not come back through that, nor through one more
    // giving up, nor by another key of theirs.
    let again = |memory: &Memory| hold(memory, Offer::Signed(bundle(11, EXPIRES, "allow")), NOW);
    expect_kept(
        &again(&theirs.memory),
        2,
        Holding::LastGood,
        "version 12 was",
    );
    let twice = hold(&theirs.memory, Offer::NothingTrusted, NOW);
    assert_eq!(again(&twice.memory).holding, Holding::Invalid);
    let trusted = ["example".to_owned(), "spare".to_owned()];
    let first = Offer::Signed(bundle(12, EXPIRES, "deny"));
    let both = mooring_core::policy::bundle::hold(&Memory::default(), first, &trusted, NOW);
    let given_up = hold(&both.memory, Offer::NothingTrusted, NOW);
    let spare = Bundle {
        signer: "spare".to_owned(),
        ..bundle(11, EXPIRES, "allow")
    };
    let spare = hold(&given_up.memory, Offer::Signed(spare), NOW);
    assert_eq!(spare.holding, Holding::Invalid);
    // Without giving the one before up, another trusted key does not set its versions back.
    let other_key = hold(&after(12), Offer::Signed(others(2)), NOW);
    expect_kept(&other_key, 12, Holding::LastGood, "never comes back");
    expect_kept(
        &hold(
            &held.memory,
            Offer::Signed(bundle(12, EXPIRES, "deny")),
            NOW,
        ),
        12,
        Holding::InForce,
        "",
    );
}

#[test]
fn a_bundle_is_united_with_the_drop_ins_and_masks_none() {
    let deny = |name: &str| {
        let text = format!("{HEAD}[[rule]]\nname = \"d\"\nreason = \"D.\"\nsign-out = \"deny\"\n");
        source(name, text)
    };
    let held = hold(
        &Memory::default(),
        Offer::Signed(bundle(1, EXPIRES, "allow")),
        NOW,
    );
    // Even of the same name.
    let standing = Standing::united(None, Ok(vec![deny("/etc/a.toml")]), &held);
    assert_eq!(standing.state(), State::InForce);
    assert_eq!(standing.policy().rules().len(), 2);
    assert!(!standing.decide(&alice()).allowed);
    assert_eq!(standing.bundle().unwrap().version, 1);
    // Expired, it says so and stays.
    let held = hold(&held.memory, Offer::Nothing, EXPIRES);
    let seen = |standing: &Standing| standing.term().map(|term| (term.expires, term.expired));
    assert_eq!(seen(&standing), Some((EXPIRES, false)));
    let standing = Standing::united(None, Ok(Vec::new()), &held);
    assert_eq!(standing.state(), State::Expired);
    assert_eq!(seen(&standing), Some((EXPIRES, true)));
    assert_eq!(standing.policy().rules().len(), 1);
    assert!(!standing.problems().is_empty());
    // A broken drop-in: what was good of both stays.
    let last_good = standing.last_good().map(<[_]>::to_vec);
    let standing = Standing::united(last_good, Ok(vec![source("/etc/b.toml", "[[")]), &held);
    assert_eq!(standing.state(), State::LastGood);
    assert_eq!(standing.policy().rules().len(), 1);
    assert_eq!(seen(&standing), Some((EXPIRES, true)));
}

#[test]
fn a_first_bundle_that_does_not_count_is_not_no_policy() {
    let expired = Offer::Signed(bundle(3, NOW, "allow"));
    let held = hold(&Memory::default(), expired, NOW);
    assert_eq!((held.holding, held.memory.highest), (Holding::Invalid, 0));
    let standing = Standing::united(None, Ok(Vec::new()), &held);
    assert_eq!(standing.state(), State::Invalid);
    assert!(!standing.decide(&alice()).allowed);
}

proptest! {
    #[test]
    fn versions_only_ever_grow(offers in prop::collection::vec((0..6u64, 0..3u64, any::<bool>()), 1..20)) {
        let mut memory = Memory::default();
        for (version, expires, deny) in offers {
            let before = memory.clone();
            let verdict = if deny { "deny" } else { "allow" };
            let offer = match version {
                0 => Offer::NothingTrusted,
                version => Offer::Signed(bundle(version, NOW - 1 + expires, verdict)),
            };
            memory = hold(&memory, offer, NOW).memory;
            for (key, floor) in &before.floors {
                prop_assert!(memory.floors[key] >= *floor);
            }
            if let Some(accepted) = &memory.accepted {
                prop_assert!(accepted.version >= memory.floors[&accepted.signer]);
            }
            if let (Some(before), Some(after)) = (&before.accepted, &memory.accepted) {
                prop_assert!(after == before || after.version > before.version);
                prop_assert!(after == before || !after.expired(NOW));
            }
        }
    }
}
