//! What a person is told: which conflict copies there are, and that a storage keeps no modes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

use mooring_worker::{conflicts, plan, signin};
use stage::{CONTACTS, PHOTOS, STORAGE, Stage};

fn write(stage: &Stage, path: &str, content: &str) {
    stage.twin.write_durable(path, content).unwrap();
}

fn in_step() -> Stage {
    let mut stage = Stage::new();
    stage.create_identity().unwrap();
    stage.sign_in(false).unwrap();
    write(&stage, &format!("{PHOTOS}/trip/a.jpg"), "first");
    write(&stage, &format!("{CONTACTS}/bob.vcf"), "bob");
    signin::sync_now(&stage.account(), true).unwrap();
    stage
}

#[test]
fn conflict_copies_are_listed_with_the_other_version() {
    let stage = in_step();
    assert_eq!(conflicts::list(&stage.account()).unwrap(), []);
    write(&stage, &format!("{PHOTOS}/trip/a.jpg"), "here");
    write(
        &stage,
        &format!("{STORAGE}/Photos/trip/a.jpg"),
        "over there",
    );
    write(&stage, &format!("{CONTACTS}/bob.vcf"), "bob, here");
    write(&stage, &format!("{STORAGE}/Contacts/bob.vcf"), "bob, there");
    signin::sync_now(&stage.account(), true).unwrap();
    let found = conflicts::list(&stage.account()).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    let photo = &found[0];
    assert!(
        photo
            .path
            .starts_with(format!("{PHOTOS}/trip/a (conflict laptop ").as_bytes())
    );
    assert_eq!(photo.original, format!("{PHOTOS}/trip/a.jpg").as_bytes());
    assert_eq!((photo.size, photo.original_size), (4, 10));
    assert_eq!((photo.device.as_str(), photo.date.len()), ("laptop", 10));
    // A contact's other version waits in the storage.
    assert!(
        found[1]
            .path
            .starts_with(format!("{STORAGE}/.mooring/conflicts").as_bytes())
    );
    assert_eq!(found[1].original, format!("{CONTACTS}/bob.vcf").as_bytes());

    stage.twin.remove(format!("{PHOTOS}/trip/a.jpg")).unwrap();
    let found = conflicts::list(&stage.account()).unwrap();
    assert_eq!(
        (found[0].original.as_slice(), found[0].original_size),
        (&b""[..], 0)
    );
}

#[test]
fn a_storage_with_modes_of_its_own_is_told_as_a_loss() {
    let stage = in_step();
    let losses = |stage: &Stage| {
        let facts = plan::plan(&stage.account(), &[]).unwrap();
        facts.collections[0].losses.clone()
    };
    assert!(losses(&stage).is_empty());
    let copy = format!("{STORAGE}/Photos/trip/a.jpg");
    stage.twin.chmod(copy, 0o755).unwrap();
    stage.twin.settle();
    stage.twin.advance(10_000_000_000);
    signin::sync_now(&stage.account(), true).unwrap();
    stage.twin.advance(10_000_000_000);
    signin::sync_now(&stage.account(), true).unwrap();
    assert_eq!(losses(&stage).len(), 1);
}
