//! Two versions of a file, and a copy that could not be taken: both are told, and nothing is made
//! to look better than it is.

use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::disk;
use crate::stage::{ALICE, signed_in, sync, write};

#[tokio::test]
async fn conflict_copies_are_listed_until_one_version_is_chosen() {
    let world = mooring_tests::World::new();
    let (_daemon, _) = signed_in(&world).await;
    let none = world.ctl(&["conflicts"]).run().await.expect_code(0).stdout;
    assert!(none.contains("There are no conflict copies."), "{none}");

    let file = world.account_folder(ALICE).join("Documents/twin 1");
    write(&file, b"mine", 0o644, 80);
    write(
        &world.storage().join("Documents/twin 1"),
        b"theirs",
        0o644,
        81,
    );
    let _ = sync(&world).await.expect_code(0);
    let listed = world.ctl(&["conflicts", "--json"]).run().await;
    let listed = listed.expect_code(0).json();
    let all = listed["conflicts"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{listed}");
    let original = all[0]["original"]["path"].as_str().unwrap();
    assert_eq!(original, file.to_str().unwrap());
    let copy = Path::new(all[0]["path"].as_str().unwrap());
    let mut both = [fs::read(&file).unwrap(), fs::read(copy).unwrap()];
    both.sort();
    assert_eq!(both, [b"mine".to_vec(), b"theirs".to_vec()]);
    let shown = world.ctl(&["conflicts"]).run().await.expect_code(0).stdout;
    assert!(shown.contains("the other version: "), "{shown}");

    // The person keeps theirs; the next sync carries that over, and nothing is left to list.
    fs::remove_file(copy).unwrap();
    let _ = sync(&world).await.expect_code(0);
    let none = world.ctl(&["conflicts"]).run().await.expect_code(0).stdout;
    assert!(none.contains("There are no conflict copies."), "{none}");
    assert!(
        !world
            .storage()
            .join("Documents")
            .join(copy.file_name().unwrap())
            .exists()
    );
}

/// A file with another one mounted over it: it is listed, and is not followed.
struct Covered<'a>(&'a Path);

impl<'a> Covered<'a> {
    fn new(file: &'a Path, by: &Path) -> Self {
        let none: Option<&str> = None;
        mount(Some(by), file, none, MsFlags::MS_BIND, none).unwrap();
        Self(file)
    }
}

impl Drop for Covered<'_> {
    fn drop(&mut self) {
        // With the namespace it would go anyhow.
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_backup_that_lacks_a_file_is_none() {
    let world = disk::world();
    let (_daemon, before) = signed_in(&world).await;
    let stick = world.folder().join("stick");
    fs::create_dir(&stick).unwrap();
    let to = stick.to_str().unwrap();
    let file = world.account_folder(ALICE).join("Documents/script");
    let other = world.folder().join("other");
    fs::write(&other, "#!/bin/zsh").unwrap();

    let covered = Covered::new(&file, &other);
    let told = world.ctl(&["backup", ALICE, "--to", to]).run().await;
    let told = told.expect_code(1);
    let said = format!("{}{}", told.stdout, told.stderr);
    assert!(said.contains("Documents/script"), "{said}");
    let shown = world.ctl(&["show", "--json"]).run().await;
    let shown = shown.expect_code(0).json();
    assert!(shown["last-backup"].is_null(), "{shown}");

    drop(covered);
    let told = world
        .ctl(&["backup", ALICE, "--to", to, "--json"])
        .run()
        .await;
    let told = told.expect_code(0).json();
    assert_eq!(told["outcome"]["copied"], before.files(), "{told}");
    let shown = world.ctl(&["show", "--json"]).run().await;
    let shown = shown.expect_code(0).json();
    assert_eq!(shown["last-backup"]["files"], before.files(), "{shown}");
}
