//! What the tests of keys share.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use mooring_tests::World;

pub const ALICE: &str = "alice";
pub const PASSWORD: &str = "correct horse battery staple";
/// What every hash of a password begins with.
const HASH: &[u8] = b"$argon2id$";

/// The key files, in order.
pub fn key_files(world: &World) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(world.state().join("keys")) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The only key file.
pub fn key_file(world: &World) -> PathBuf {
    let files = key_files(world);
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

/// Files of the broker's state that show a hash of a password.
pub fn tell_tales(world: &World) -> Vec<PathBuf> {
    let files = fs::read_dir(world.state()).unwrap();
    let files = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    let tells = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(HASH.len()).any(|w| w == HASH)
    };
    files.filter(tells).collect()
}

/// The state of Alice's account: name, reason, sentence.
pub async fn standing(world: &World) -> (String, String, String) {
    let account = world.account(ALICE).await.expect("the account is there");
    (
        account.state().await.unwrap(),
        account.state_detail().await.unwrap(),
        account.state_message().await.unwrap(),
    )
}

/// Alice is there, and her secrets are locked; answers why.
pub async fn expect_locked(world: &World) -> String {
    let (state, reason, why) = standing(world).await;
    assert_eq!(
        (&*state, &*reason),
        ("needs-attention", "secrets-locked"),
        "{why}"
    );
    why
}

/// What `doctor` says of secrets: its state and its sentence.
pub async fn doctor(world: &World) -> (String, String) {
    let found = world.manager().await.diagnose().await.unwrap();
    let said = found.into_iter().find(|d| d.area == "secrets").unwrap();
    (said.state, said.message)
}

/// Alice can sign in with her password, and out again: by the record that was sealed.
pub async fn expect_password_works(world: &World) {
    let wrong = world
        .ctl(&["reauthenticate", ALICE])
        .password("not this one");
    let _ = wrong.run().await.expect_code(4);
    let right = world.ctl(&["reauthenticate", ALICE]).password(PASSWORD);
    let _ = right.run().await.expect_code(0);
    assert_eq!(standing(world).await.0, "active");
}

/// `mooringd --rotate-key`, the daemon stopped.
pub fn rotate(world: &World, env: &[(&str, &std::ffi::OsStr)]) -> Output {
    let mut command = world.command("mooringd");
    command.arg("--rotate-key").envs(env.iter().copied());
    command.output().unwrap()
}

/// The same, which has to succeed.
pub fn rotate_well(world: &World) {
    let done = rotate(world, &[]);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{told}");
}
