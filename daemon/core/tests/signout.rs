//! Properties of the stages: whatever happens, and whenever the process dies, nothing is removed
//! without a proof, a denial stops everything that can still be stopped, and it always ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use mooring_core::signout::{Facts, MAX_ROUNDS, Removal, Stage, Step, next, stage};
use proptest::prelude::*;

fn facts() -> impl Strategy<Value = Facts> {
    let removal = prop_oneof![
        Just(Removal::NotBegun),
        Just(Removal::Begun),
        Just(Removal::Done)
    ];
    (any::<[bool; 7]>(), removal, 0..=MAX_ROUNDS + 1).prop_map(|(b, removal, rounds)| Facts {
        allowed: b[0],
        authorised: b[1],
        drained: b[2],
        backup_missing: b[3],
        proven: b[4],
        removal,
        revoked: b[5],
        forgotten: b[6],
        rounds,
    })
}

/// What the world does with a step.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Works,
    /// Files changed meanwhile: the work has to be done again.
    Again,
    /// The process dies after the effect, before it could say so.
    DiesAfter,
    /// The process dies before the effect.
    DiesBefore,
    /// The person answers a question with "try again".
    PolicyTurns,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => Just(Turn::Works),
        1 => Just(Turn::Again),
        1 => Just(Turn::DiesAfter),
        1 => Just(Turn::DiesBefore),
        1 => Just(Turn::PolicyTurns),
    ];
    prop::collection::vec(turn, 0..60)
}

/// A start after a death: what only lived in the process is gone.
fn reborn(facts: Facts) -> Facts {
    Facts {
        drained: false,
        proven: false,
        rounds: 0,
        ..facts
    }
}

fn after(facts: Facts, step: Step, again: bool) -> Facts {
    let round = |facts: Facts| Facts {
        rounds: facts.rounds + 1,
        drained: false,
        ..facts
    };
    match step {
        Step::Authorise => Facts {
            authorised: true,
            ..facts
        },
        Step::Drain if again => round(facts),
        Step::Drain => Facts {
            drained: true,
            ..facts
        },
        Step::BackUp => Facts {
            backup_missing: false,
            ..facts
        },
        Step::Verify if again => round(facts),
        Step::Verify => Facts {
            proven: true,
            ..facts
        },
        Step::Remove if again => Facts {
            removal: Removal::Begun,
            proven: false,
            ..round(facts)
        },
        Step::Remove => Facts {
            removal: Removal::Done,
            ..facts
        },
        Step::Revoke => Facts {
            revoked: true,
            ..facts
        },
        Step::Forget => Facts {
            forgotten: true,
            ..facts
        },
        Step::AskAboutUnsynced => Facts { rounds: 0, ..facts },
        Step::Deny | Step::Done => facts,
    }
}

proptest! {
    #[test]
    fn removal_needs_everything(facts in facts()) {
        if next(&facts) == Step::Remove {
            prop_assert!(facts.proven && facts.drained && facts.authorised);
            prop_assert!(!facts.backup_missing);
            prop_assert!(facts.allowed || facts.removal == Removal::Begun);
        }
    }

    #[test]
    fn what_is_denied_and_untouched_stops(facts in facts()) {
        let untouched = facts.removal == Removal::NotBegun && !facts.forgotten;
        prop_assert_eq!(next(&facts) == Step::Deny, untouched && !facts.allowed);
    }

    #[test]
    fn it_always_ends(start in turns()) {
        let mut facts = Facts {
            allowed: true,
            authorised: false,
            drained: false,
            backup_missing: true,
            proven: false,
            removal: Removal::NotBegun,
            revoked: false,
            forgotten: false,
            rounds: 0,
        };
        let mut verified_since_death = false;
        let mut reached = Stage::Planned;
        // After the trouble everything works: then it must come to its end.
        let turns = start.into_iter().chain(std::iter::repeat_n(Turn::Works, 20));
        for turn in turns {
            let step = next(&facts);
            if let Turn::PolicyTurns = turn {
                facts.allowed = !facts.allowed;
                continue;
            }
            if step == Step::Remove {
                prop_assert!(verified_since_death, "removal on a dead process's word");
            }
            match turn {
                Turn::Works | Turn::PolicyTurns => facts = after(facts, step, false),
                Turn::Again => facts = after(facts, step, true),
                Turn::DiesAfter => {
                    let done = after(facts, step, false);
                    // What is durable by itself is known again; the rest is not.
                    facts = reborn(done);
                    verified_since_death = false;
                    continue;
                }
                Turn::DiesBefore => {
                    facts = reborn(facts);
                    verified_since_death = false;
                    continue;
                }
            }
            match step {
                Step::Verify => verified_since_death = facts.proven,
                Step::Remove => verified_since_death = false,
                _ => {}
            }
            // A stage once passed for good is never reported as undone.
            let now = stage(&facts);
            if reached >= Stage::Removed {
                prop_assert!(now >= reached);
            }
            reached = now;
        }
        if facts.allowed || facts.removal != Removal::NotBegun {
            prop_assert_eq!(next(&facts), Step::Done);
        } else {
            prop_assert_eq!(next(&facts), Step::Deny);
        }
    }
}

#[test]
fn the_way_without_trouble() {
    let mut facts = Facts {
        allowed: true,
        authorised: false,
        drained: false,
        backup_missing: true,
        proven: false,
        removal: Removal::NotBegun,
        revoked: false,
        forgotten: false,
        rounds: 0,
    };
    let mut stages = vec![stage(&facts)];
    while next(&facts) != Step::Done {
        facts = after(facts, next(&facts), false);
        stages.push(stage(&facts));
    }
    assert_eq!(stages, Stage::ALL);
}
