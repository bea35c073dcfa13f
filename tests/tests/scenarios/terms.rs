//! What policy demands of passwords and sessions, and accounts that rest on battery.

use std::fs;

use mooring_tests::World;
use zbus::interface;

use crate::stage::{ALICE, Client, PASSWORD, sign_in, sign_out, sync};

fn demand(world: &World, demand: &str) {
    let folder = world.config().join("policy.d");
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "[organisation]\nname = \"Harbour Lights Ltd\"\ncontact = \"it@harbour.example\"\n\
         [[rule]]\nname = \"care\"\nreason = \"Devices get lost.\"\n{demand}\n"
    );
    fs::write(folder.join(".new"), text).unwrap();
    fs::rename(folder.join(".new"), folder.join("50-care.toml")).unwrap();
}

#[tokio::test]
async fn a_new_identity_needs_the_password_that_policy_asks_for() {
    let world = World::new();
    demand(&world, "password-min-length = 20");
    let _daemon = world.daemon().await;
    let short = sign_in(&world).password("nineteen characters").run().await;
    let short = short.expect_code(2);
    for word in ["20 characters", "Harbour Lights Ltd", "Devices get lost"] {
        assert!(short.stderr.contains(word), "{}", short.stderr);
    }
    assert!(!world.storage().join(".mooring").exists());
    let _ = sign_in(&world)
        .password(PASSWORD)
        .run()
        .await
        .expect_code(0);
}

/// Digits of the hash that stands before a row's text, and the space behind it.
const SEAL: usize = 65;

/// A row's text as the daemon writes it.
fn seal(kind: &str, key: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [kind, key, text] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{} {text}", hasher.finalize().to_hex())
}

#[tokio::test]
async fn a_session_that_became_too_old_goes_on_with_the_password() {
    let world = World::new();
    let daemon = world.daemon().await;
    world.sign_in(ALICE, PASSWORD).await;
    assert!(daemon.terminate().await.success());
    // As if the person had signed in long ago.
    let store = rusqlite::Connection::open(world.state().join("broker.db")).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let (id, sealed): (String, String) = store
        .query_row("SELECT id, data FROM account", [], row)
        .unwrap();
    let mut account: serde_json::Value = serde_json::from_str(&sealed[SEAL..]).unwrap();
    account["signed_in_at"] = 1.into();
    let long_ago = seal("account", &id, &account.to_string());
    let changed = store.execute("UPDATE account SET data = ?1", [long_ago]);
    assert_eq!(changed.unwrap(), 1);
    drop(store);
    demand(&world, "session-max-age = \"30d\"");
    let daemon = world.daemon().await;
    let refused = sync(&world).await.expect_code(4);
    assert!(
        refused.stderr.contains("reauthenticate alice"),
        "{}",
        refused.stderr
    );
    let mut client = Client::new(&world).await;
    let account = client.account(&world).await.unwrap();
    client
        .until("the account waits", async || {
            (account.state_detail().await.unwrap() == "reauthenticate").then_some(())
        })
        .await;
    let shown = world.ctl(&["status"]).run().await.expect_code(0);
    for word in [
        "reauthenticate alice",
        "Harbour Lights Ltd",
        "Devices get lost",
    ] {
        assert!(shown.stdout.contains(word), "{}", shown.stdout);
    }
    let prove = |password: &str| {
        world
            .ctl(&["reauthenticate", ALICE, "--json"])
            .password(password)
            .run()
    };
    let wrong = prove("not this one").await.expect_code(4);
    assert_eq!(wrong.json()["error"]["kind"], "IncorrectPassword");
    let right = prove(PASSWORD).await.expect_code(0);
    assert_eq!(right.json()["reauthenticated"], true);
    let _ = sync(&world).await.expect_code(0);
    // It is remembered.
    assert!(daemon.terminate().await.success());
    let _daemon = world.daemon().await;
    let _ = sync(&world).await.expect_code(0);
    let _ = sign_out(&world, &[]).await.expect_code(0);
}

struct Power;

#[interface(name = "org.freedesktop.UPower")]
impl Power {
    #[zbus(property)]
    fn on_battery(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn on_battery_an_account_rests_and_says_so() {
    let world = World::new();
    world.sync_by_itself();
    let settings = "[sync]\non-battery = \"pause\"\n";
    fs::write(world.config().join("mooring.toml"), settings).unwrap();
    let power = world.bus().connect().await;
    power
        .object_server()
        .at("/org/freedesktop/UPower", Power)
        .await
        .unwrap();
    power.request_name("org.freedesktop.UPower").await.unwrap();
    let address = std::ffi::OsStr::new(world.bus().address());
    let _daemon = world
        .daemon_with(&[("DBUS_SYSTEM_BUS_ADDRESS", address)])
        .await;
    world.sign_in(ALICE, PASSWORD).await;
    let mut client = Client::new(&world).await;
    let status = || async { world.ctl(&["status", "--json"]).run().await.expect_code(0) };
    let resting = async |why: &str| {
        let told = status().await.json();
        (told["accounts"][0]["resting"] == why).then_some(())
    };
    client
        .until("it rests", async || resting("on-battery").await)
        .await;
    let shown = world.ctl(&["status"]).run().await.expect_code(0);
    assert!(shown.stdout.contains("on battery"), "{}", shown.stdout);
    let _ = sync(&world).await.expect_code(0);
    power.close().await.unwrap();
    client
        .until("it rests no more", async || resting("").await)
        .await;
    let told = world.ctl(&["doctor"]).run().await;
    assert!(
        told.stdout.contains("UPower does not say"),
        "{}",
        told.stdout
    );
}
