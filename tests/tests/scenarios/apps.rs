//! Apps and a sign-out: what is saved in time leaves with the account, and what blocks is named.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use mooring_tests::World;

use crate::stage::{ALICE, belongings, everything_comes_back, remains, sign_out, signed_in};

/// A program that prints `ready` when it is where a test wants it.
struct App {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl App {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the app; run: make debug (cargo build --examples)");
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child, told }
    }

    /// Closes its input and waits for its end; answers its exit code and what else it told.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[tokio::test]
async fn what_an_app_saves_when_it_is_told_leaves_with_the_account() {
    let world = World::new();
    let editor = world.command("examples/save-before-sign-out");
    saves_in_time(&world, editor).await;
}

#[tokio::test]
async fn the_example_in_python_saves_in_time_as_well() {
    let world = World::new();
    let mut editor = world.command("/usr/bin/python3");
    editor.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../daemon/api/examples/save-before-sign-out.py"
    ));
    saves_in_time(&world, editor).await;
}

async fn saves_in_time(world: &World, mut editor: Command) {
    let (_daemon, _) = signed_in(world).await;
    let editor = App::start(editor.args([ALICE, "notes.txt", "not saved until now"]));
    let before = belongings(world).files();
    let told = sign_out(world, &[]).await.expect_code(0);
    assert!(
        told.stdout
            .contains(&format!("{} files removed", before + 1)),
        "{}",
        told.stdout
    );
    assert_eq!(editor.end(), (Some(0), "saved\n".to_owned()));
    assert_eq!(remains(world), 0);
    let copy = world.storage().join("Documents/notes.txt");
    assert_eq!(fs::read_to_string(copy).unwrap(), "not saved until now");
}

#[tokio::test]
async fn a_program_can_block_a_sign_out_while_it_runs() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut inhibit = world.command("mooringctl");
    inhibit.args([
        "inhibit",
        "--who",
        "Scanner",
        "--why",
        "a page is read",
        "--",
    ]);
    let scanner = App::start(inhibit.args(["sh", "-c", "echo ready; cat; exit 3"]));
    let listed = world
        .ctl(&["inhibitors", "--json"])
        .run()
        .await
        .expect_code(0);
    let lock = &listed.json()["inhibitors"][0];
    assert_eq!(
        (&lock["who"], &lock["mode"]),
        (&"Scanner".into(), &"block".into())
    );

    let told = sign_out(&world, &[]).await.expect_code(5);
    assert!(told.stderr.contains("Scanner") && told.stderr.contains("a page is read"));
    assert_eq!(belongings(&world).files(), before.files());

    assert_eq!(scanner.end().0, Some(3));
    let _ = sign_out(&world, &[]).await.expect_code(0);
    everything_comes_back(&world, &before).await;
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let well = world.ctl(&["doctor"]).run().await.expect_code(0);
    assert!(
        well.stdout.contains("the account's database is whole"),
        "{}",
        well.stdout
    );
    let settings = world.config().join("mooring.toml");
    for (text, code, said) in [
        ("no such key = 1\n", 1, "mooring.toml:1"),
        (
            "[sign-out]\ninhibit-delay-seconds = 3\n",
            0,
            "before are still in force",
        ),
    ] {
        fs::write(&settings, text).unwrap();
        let told = world.ctl(&["doctor"]).run().await.expect_code(code);
        assert!(told.stdout.contains(said), "{}", told.stdout);
    }
    fs::remove_file(&settings).unwrap();
    fs::remove_file(
        world
            .account_folder(ALICE)
            .join("Photos/.mooring-collection"),
    )
    .unwrap();
    let ill = world.ctl(&["doctor", "--json"]).run().await.expect_code(1);
    let ill = ill.json();
    let bad: Vec<_> = ill["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["state"] == "bad")
        .collect();
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0]["area"], "account alice, photos");
    assert!(
        bad[0]["advice"]
            .as_str()
            .unwrap()
            .contains("nothing is removed")
    );
}

#[tokio::test]
async fn the_monitor_tells_a_sign_out_as_it_goes() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let mut monitor = world.command("mooringctl");
    monitor.args(["monitor", "--json"]).stdout(Stdio::piped());
    let mut monitor = monitor.spawn().unwrap();
    let told = BufReader::new(monitor.stdout.take().unwrap());
    let mut lines = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    // It listens before it tells how things are.
    assert!(lines.any(|told| told["account"]["identity"] == ALICE));
    let _ = sign_out(&world, &[]).await.expect_code(0);
    assert!(lines.any(|told| told["signing-out"]["begins"] == true));
    assert!(lines.any(|told| told["gone"]["account"]["identity"] == ALICE));
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}
