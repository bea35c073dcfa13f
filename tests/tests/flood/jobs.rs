//! Jobs without end.

use mooring_api::Error;
use mooring_tests::{PATIENCE, World};

use crate::measure::{Answers, MIB, memory};

/// Jobs one after another; `MOORING_FLOOD_JOBS` says another number.
const JOBS: usize = 300;

fn jobs() -> usize {
    let set = std::env::var("MOORING_FLOOD_JOBS").ok();
    set.map_or(JOBS, |text| text.parse().expect("a number"))
}

/// What the broker's database takes on the disk, its log included.
fn journal(world: &World) -> u64 {
    let files = std::fs::read_dir(world.state()).unwrap().flatten();
    let own = files.filter(|f| f.file_name().to_string_lossy().starts_with("broker.db"));
    own.map(|file| file.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn jobs_one_after_another_leave_a_bounded_journal() {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in("alice", "correct horse battery staple").await;
    let files = world.files("alice").await.unwrap();
    let before = memory(daemon.pid());
    let mut last = None;
    let (mut least, mut most) = (u64::MAX, 0);
    let since = std::time::Instant::now();
    for n in 0..jobs() {
        let path = loop {
            match files.sync().await {
                Ok(path) => break path,
                // The one before is still about to let go of the account.
                Err(Error::Busy(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let job = world.job(path.clone()).await;
        world.wait_for_job(&job, "finished").await;
        last = Some(path);
        if n >= jobs() / 2 {
            let size = journal(&world);
            (least, most) = (least.min(size), most.max(size));
        }
    }
    println!(
        "{} jobs in {:?}; journal {} to {} KiB in the second half; memory {} KiB before, {} KiB after",
        jobs(),
        since.elapsed(),
        least / 1024,
        most / 1024,
        before / 1024,
        memory(daemon.pid()) / 1024
    );
    assert!(most < 8 * MIB, "{most}");
    assert!(memory(daemon.pid()) < before + 32 * MIB);
    assert!(last.is_some());
    let mut answers = Answers::default();
    answers.ask(&world.manager().await).await;
}

#[tokio::test]
async fn inhibitors_that_never_end_are_few_and_named() {
    let world = World::new();
    let _daemon = world.daemon().await;
    let manager = world.manager().await;
    let mut held = Vec::new();
    let refused = loop {
        match manager
            .inhibit("sign-out", "Endless", "never done", "block")
            .await
        {
            Ok(fd) => held.push(fd),
            Err(error) => break error,
        }
        assert!(held.len() <= 64, "as many as one likes");
    };
    assert!(matches!(refused, Error::Busy(_)), "{refused:?}");
    assert!(refused.to_string().contains("Endless"), "{refused}");
    assert_eq!(manager.list_inhibitors().await.unwrap().len(), held.len());
    drop(held);
    let free = async {
        while !manager.list_inhibitors().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("they go with their holder");
}
