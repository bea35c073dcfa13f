//! A look at everything.

use mooring_wire::Error as Wire;

use crate::worker::Act;
use crate::world::*;

async fn states(running: &Running) -> Vec<(String, String)> {
    let found = running.manager.diagnose().await.unwrap();
    found.into_iter().map(|d| (d.area, d.state)).collect()
}

fn has(found: &[(String, String)], area: &str, state: &str) -> bool {
    found.iter().any(|(a, s)| a == area && s == state)
}

#[tokio::test]
async fn everything_is_looked_at_and_nothing_is_changed() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.fake.effects();
    let found = states(&running).await;
    for area in ["configuration", "policy", "state", "receipts", "worker"] {
        assert!(has(&found, area, "ok"), "{area}: {found:?}");
    }
    assert!(has(&found, "account alice, photos", "warning"), "{found:?}");
    assert_eq!(world.fake.effects(), ["diagnose"]);
    assert_eq!(running.account().await.state().await.unwrap(), "active");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_hides_nothing_else() {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    world.write_policy("nonsense = 1");
    running.manager.reload().await.unwrap();
    let receipts = world.folders().receipts;
    std::fs::write(receipts.join("20200101T000000Z-alice-00000000.toml"), "?").unwrap();
    world
        .fake
        .next("diagnose", Act::Fail(Wire::NoSpace("full".into())));
    let found = states(&running).await;
    assert!(has(&found, "policy", "bad"), "{found:?}");
    assert!(has(&found, "receipts", "warning"), "{found:?}");
    assert!(has(&found, "account alice", "bad"), "{found:?}");
    // The account is free again.
    assert!(has(
        &states(&running).await,
        "account alice, photos",
        "warning"
    ));
}
