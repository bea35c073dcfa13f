//! Several devices, one storage, and anything that may happen: made-up programs of what people,
//! clocks, power cuts and Mooring do. After every step nothing that is owed to a person is lost,
//! no link is followed, nothing held is touched; in the end everybody has the same and is at rest.
//!
//! `MOORING_REPLICAS_CASES` says how many programs, `MOORING_REPLICAS_SEED` which ones. What once
//! failed is kept in `named.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod act;
mod named;
mod owed;
mod rest;
#[path = "../stage/mod.rs"]
mod stage;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use act::{Act, Disks, disks, programs};
use world::World;

/// Programs, unless said otherwise.
const CASES: u32 = 300;
/// Steps of a program, at most.
const STEPS: usize = 50;

fn live(disks: Disks, program: &[Act]) {
    let mut world = World::new(disks);
    for act in program {
        world.act(*act);
    }
    rest::come_to_rest(&mut world);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn no_program_loses_anything() {
    let cases = number("MOORING_REPLICAS_CASES").map_or(CASES, |n| n.try_into().unwrap());
    let seed = number("MOORING_REPLICAS_SEED").unwrap_or(1);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let run = runner.run(&(disks(), programs(STEPS)), |(disks, program)| {
        live(disks, &program);
        Ok(())
    });
    match run {
        Ok(()) => {}
        Err(TestError::Fail(why, (disks, program))) => {
            panic!("MOORING_REPLICAS_SEED={seed}: {why}\nlive(Disks::{disks:?}, &{program:?})")
        }
        Err(e) => panic!("MOORING_REPLICAS_SEED={seed}: {e}"),
    }
}
