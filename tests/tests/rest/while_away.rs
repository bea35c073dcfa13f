//! What happens while no worker runs.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::stage::*;

#[tokio::test]
async fn a_file_written_at_rest_is_in_the_storage_soon() {
    let (world, daemon) = at_rest().await;
    let taken = told(&daemon, "the watch is taken up");
    let mut all: Vec<Duration> = Vec::new();
    for n in 0..5 {
        all.push(arrives(
            &world,
            &format!("Documents/folder 1/late {n}"),
            "x",
        ));
        rested(&daemon).await;
    }
    println!("from rest, one file written here is in the storage after {all:?}");
    // Each time the watch was taken up, and no look at everything was needed.
    assert!(told(&daemon, "the watch is taken up") >= taken + 5);
    assert_eq!(told(&daemon, "is not taken up"), 0);
    in_step(&world).await;
}

#[tokio::test]
async fn what_changes_in_the_storage_at_rest_comes_here() {
    let (world, daemon) = at_rest().await;
    fs::write(there(&world, "Documents/folder 2/from there"), "news").unwrap();
    in_step(&world).await;
    let name = here(&world, "Documents/folder 2/from there");
    assert_eq!(fs::read(name).unwrap(), b"news");
    rested(&daemon).await;
}

#[tokio::test]
async fn a_thousand_files_written_at_rest_all_come() {
    let (world, daemon) = at_rest().await;
    for n in 0..1000 {
        write(&world, &format!("Photos/new {}/{n}", n % 10), "photo");
    }
    in_step(&world).await;
    let copies = world.manifest(world.storage().join("Photos"));
    assert!(copies.files() >= 1000);
    rested(&daemon).await;
}

#[tokio::test]
async fn a_folder_renamed_at_rest_is_renamed_there_and_still_watched() {
    let (world, daemon) = at_rest().await;
    let [old, new] = ["Documents/folder 3", "Documents/moved"].map(|n| here(&world, n));
    fs::rename(old, &new).unwrap();
    in_step(&world).await;
    assert!(!there(&world, "Documents/folder 3").exists());
    rested(&daemon).await;
    let after = arrives(&world, "Documents/moved/later", "y");
    println!("in a folder that was renamed at rest: {after:?}");
}

#[tokio::test]
async fn folders_that_come_and_go_at_rest_are_followed() {
    let (world, daemon) = at_rest().await;
    // The worker is slower than this, and so finds some gone whose watch it was told of.
    fs::remove_dir_all(here(&world, "Documents/folder 0")).unwrap();
    write(&world, "Documents/new/deep/er/file", "1");
    in_step(&world).await;
    rested(&daemon).await;
    let _ = arrives(&world, "Documents/new/deep/er/second", "2");
}

#[tokio::test]
async fn more_than_the_kernel_keeps_is_found_by_looking_at_everything() {
    let (world, daemon) = at_rest().await;
    // While the broker stands still, nobody reads what the watch hears.
    daemon.signal(Signal::SIGSTOP);
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let [one, other] = ["one", "other"].map(|n| here(&world, &format!("Documents/{n}")));
    fs::write(&one, "moves").unwrap();
    for _ in 0..=kept.trim().parse::<u64>().unwrap() / 4 {
        fs::rename(&one, &other).unwrap();
        fs::rename(&other, &one).unwrap();
    }
    write(&world, "Documents/folder 1/unheard", "still found");
    daemon.signal(Signal::SIGCONT);
    in_step(&world).await;
    assert!(told(&daemon, "more changed at once than the kernel keeps") > 0);
    rested(&daemon).await;
}

#[tokio::test]
async fn an_account_signs_out_from_rest() {
    let (world, daemon) = at_rest().await;
    write(&world, "Documents/last words", "kept");
    rested(&daemon).await;
    let out = world.ctl(&["sign-out", ALICE, "--yes"]).password(PASSWORD);
    let _ = out.run().await.expect_code(0);
    assert!(!world.account_folder(ALICE).exists());
    assert_eq!(
        fs::read(there(&world, "Documents/last words")).unwrap(),
        b"kept"
    );
    rested(&daemon).await;
    // Nobody waits for what is gone.
    let workers = told(&daemon, "started a worker");
    fs::write(there(&world, "Documents/afterwards"), "x").unwrap();
    let _ = world.ctl(&["accounts"]).run().await;
    assert_eq!(told(&daemon, "started a worker"), workers);
}

#[tokio::test]
async fn two_accounts_rest_and_wake_one_by_one() {
    let (world, daemon) = at_rest().await;
    let storage = world.folder().join("other storage");
    fs::create_dir(&storage).unwrap();
    let storage = storage.to_str().unwrap().to_owned();
    let arguments = [
        "sign-in",
        "local",
        "--identity",
        BOB,
        "--storage",
        &storage,
        "--yes",
    ];
    let signed = world.ctl(&arguments).password(PASSWORD).run().await;
    let _ = signed.expect_code(0);
    rested(&daemon).await;
    let bobs = world.account_folder(BOB).join("Documents/his");
    let copy = std::path::Path::new(&storage).join("Documents/his");
    fs::write(&bobs, "bob").unwrap();
    until("his copy", || fs::read(&copy).is_ok_and(|c| c == b"bob")).await;
    // While his worker runs, hers is heard too; and at rest again, both are.
    let _ = arrives(&world, "Documents/folder 1/hers", "alice");
    rested(&daemon).await;
    let _ = arrives(&world, "Documents/folder 1/again", "alice");
    fs::write(&bobs, "bob again").unwrap();
    until("his copy", || {
        fs::read(&copy).is_ok_and(|c| c == b"bob again")
    })
    .await;
    assert_eq!(told(&daemon, "is not taken up"), 0);
}

#[tokio::test]
async fn a_map_that_does_not_fit_leads_to_a_look_at_everything() {
    let (world, daemon) = at_rest().await;
    // The root is another folder now, of which the watch knows nothing.
    let documents = here(&world, "Documents");
    let aside = here(&world, "Documents aside");
    fs::rename(&documents, &aside).unwrap();
    fs::create_dir(&documents).unwrap();
    let mode = fs::metadata(&aside).unwrap().permissions();
    fs::set_permissions(&documents, mode).unwrap();
    for entry in fs::read_dir(&aside).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), documents.join(entry.file_name())).unwrap();
    }
    fs::remove_dir(&aside).unwrap();
    write(&world, "Documents/after", "z");
    in_step(&world).await;
    assert!(told(&daemon, "is not taken up") > 0);
}
