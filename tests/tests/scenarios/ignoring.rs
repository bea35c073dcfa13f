//! `.mooringignore` through a whole life: what it names is carried nowhere and removed nowhere, and
//! whoever asks is told so.

use std::fs;
use std::path::Path;

use mooring_tests::World;

use crate::stage::{ALICE, belongings, copies, last_receipt, sign_out, signed_in, sync, write};

async fn why(world: &World, file: &Path) -> serde_json::Value {
    let told = world.ctl(&["why", file.to_str().unwrap(), "--json"]);
    told.run().await.expect_code(0).json()
}

#[tokio::test]
async fn what_is_ignored_is_carried_nowhere_and_outlives_the_sign_out() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let documents = world.account_folder(ALICE).join("Documents");
    let stored = world.storage().join("Documents");
    // One that never was in the storage, one that was, and a folder.
    write(&documents.join("draft.tmp"), b"for nobody", 0o644, 70);
    write(&documents.join("build/out.bin"), b"made anew", 0o644, 71);
    write(
        &documents.join(".mooringignore"),
        b"*.tmp\nscript\n/build/\n",
        0o644,
        72,
    );
    let _ = sync(&world).await.expect_code(0);
    assert!(!stored.join("draft.tmp").exists() && !stored.join("build").exists());
    assert!(stored.join("script").exists(), "its copy stays");
    assert!(stored.join(".mooringignore").exists());

    let answer = why(&world, &documents.join("draft.tmp")).await;
    assert_eq!(answer["state"], "ignored", "{answer}");
    assert!(
        answer["reason"].as_str().unwrap().starts_with("line 1 of"),
        "{answer}"
    );
    let answer = why(&world, &documents.join("build/out.bin")).await;
    assert_eq!(answer["state"], "ignored", "{answer}");
    let answer = why(&world, &documents.join("empty")).await;
    assert_eq!(answer["state"], "in-step", "{answer}");

    // Deleting what is ignored is nobody's business.
    fs::remove_file(stored.join("script")).unwrap();
    let _ = sync(&world).await.expect_code(0);
    assert!(documents.join("script").exists());

    let plan = world.ctl(&["sign-out", ALICE, "--dry-run", "--json"]);
    let plan = plan.run().await.expect_code(0).json();
    let collections = plan["plan"]["collections"].as_array().unwrap();
    let planned = collections.iter().find(|c| c["name"] == "documents");
    let planned = planned.unwrap();
    let names = planned["stays-names"].to_string();
    for name in ["draft.tmp", "script", "build"] {
        assert!(names.contains(name), "{planned}");
    }

    let told = sign_out(&world, &[]).await.expect_code(0);
    // All that is synced goes, the file with the patterns included.
    let removed = format!("{} files removed", before.files());
    assert!(told.stdout.contains(&removed), "{}", told.stdout);
    assert_eq!(
        fs::read(documents.join("draft.tmp")).unwrap(),
        b"for nobody"
    );
    assert_eq!(fs::read(documents.join("script")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(
        fs::read(documents.join("build/out.bin")).unwrap(),
        b"made anew"
    );
    assert_eq!(belongings(&world).files(), 3);
    let receipt = last_receipt(&world).await;
    for name in ["Documents/draft.tmp", "Documents/script", "Documents/build"] {
        assert!(receipt.contains(name), "{name}: {receipt}");
    }
    assert_eq!(copies(&world).files(), before.files() - 1);
}

#[tokio::test]
async fn a_line_that_means_nothing_is_told_until_it_is_mended() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let file = world.account_folder(ALICE).join("Photos/.mooringignore");
    write(&file, b"*.tmp\n[z-a]\n", 0o644, 70);
    let _ = sync(&world).await.expect_code(0);
    let status = world.ctl(&["--json"]).run().await.expect_code(0).json();
    let attention = status["attention"].to_string();
    assert!(
        attention.contains(".mooringignore:2: ") && attention.contains("Photos"),
        "{status}"
    );
    let shown = world.ctl(&[]).run().await.expect_code(0).stdout;
    assert!(shown.contains(".mooringignore:2: "), "{shown}");

    write(&file, b"*.tmp\n[a-z]\n", 0o644, 71);
    let _ = sync(&world).await.expect_code(0);
    let status = world.ctl(&["--json"]).run().await.expect_code(0).json();
    assert_eq!(status["attention"], serde_json::json!([]), "{status}");
}
