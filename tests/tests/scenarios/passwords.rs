//! A password that is changed, forgotten and reset, with two devices on one storage in mind.

use mooring_tests::World;

use crate::secrets::{change, create, reset};
use crate::stage::{ALICE, Client, PASSWORD, belongings, fill, piped, sign_in, sync};

const NEW: &str = "a password of another kind";
/// The one that the account is made with.
const FIRST: &str = "Wellenbrecher-7f31-Leuchtturm";

#[tokio::test]
async fn a_forgotten_password_is_reset_and_the_same_sign_out_goes_on() {
    let world = World::new();
    let daemon = world.daemon().await;
    let code = create(&world).await;
    fill(&world);
    let before = belongings(&world);
    let _ = sync(&world).await.expect_code(0);
    let short = change(&world, FIRST, "short").await.expect_code(2);
    assert!(short.stderr.contains("8 characters"), "{}", short.stderr);
    let done = change(&world, FIRST, NEW).await.expect_code(0);
    assert!(done.stdout.contains("alice"), "{}", done.stdout);
    let old = world.ctl(&["sign-out", ALICE, "--yes"]).password(FIRST);
    let old = old.run().await.expect_code(4);
    let way_out = "mooringctl password forgot alice";
    assert!(old.stderr.contains(way_out), "{}", old.stderr);
    // The daemon knows it after a restart, too.
    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;

    let mut client = Client::new(&world).await;
    let job = client.begin_sign_out(&world).await;
    assert_eq!(client.blocked(&job).await.error, "IncorrectPassword");
    let next = reset(&world, &code, PASSWORD).await;
    job.authenticate(piped(PASSWORD)).await.unwrap();
    let outcome = client.outcome(&job).await;
    assert!(outcome.success, "{outcome:?}");

    let _ = sign_in(&world).password(NEW).run().await.expect_code(4);
    let _ = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
    before.assert_same(&belongings(&world));
    // The code is the next one, as somebody types it; a used one is no code any more.
    let forgot = |code: &str| {
        let call = world.ctl(&["password", "forgot", ALICE, "--json"]);
        let call = call.secret("--recovery-code-fd", code);
        call.secret("--new-password-fd", NEW).run()
    };
    let used = forgot(&code).await.expect_code(4);
    assert_eq!(used.json()["error"]["kind"], "IncorrectPassword");
    let told = forgot(&next.to_uppercase().replace(' ', "  ")).await;
    assert_eq!(told.expect_code(0).json()["changed"], true);
    let _ = change(&world, NEW, PASSWORD).await.expect_code(0);
}

/// A storage that was restored brings an old password back. It opens nothing here, the account says
/// what to do, and who knows the later password sets one anew.
#[tokio::test]
async fn an_old_password_that_comes_back_with_the_storage_is_replaced() {
    let world = World::new();
    let _daemon = world.daemon().await;
    let _ = create(&world).await;
    let record = world.storage().join(".mooring/identity.toml");
    let old = std::fs::read(&record).unwrap();
    let _ = change(&world, FIRST, NEW).await.expect_code(0);
    std::fs::write(&record, old).unwrap();

    let _ = sync(&world).await.expect_code(0);
    let doctor = world.ctl(&["doctor", "--json"]).run().await;
    let told = doctor.stdout;
    assert!(told.contains("an old password had been put back"), "{told}");
    assert!(told.contains("mooringctl password change"), "{told}");
    let _ = change(&world, FIRST, PASSWORD).await.expect_code(4);
    let _ = change(&world, NEW, PASSWORD).await.expect_code(0);

    let doctor = world.ctl(&["doctor", "--json"]).run().await;
    assert!(!doctor.stdout.contains("old password"), "{}", doctor.stdout);
    let leave = |password| world.ctl(&["sign-out", ALICE, "--yes"]).password(password);
    let _ = leave(NEW).run().await.expect_code(4);
    let _ = leave(PASSWORD).run().await.expect_code(0);
    let back = sign_in(&world).password(FIRST).run().await;
    let _ = back.expect_code(4);
    let _ = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
}
