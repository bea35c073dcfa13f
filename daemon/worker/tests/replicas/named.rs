//! Programs that once went wrong, and were made as short as they can be.

use crate::act::At::{Device, Storage};
use crate::act::{Act::*, Disks, Keep, Name, Words::New};
use crate::live;

#[test]
fn a_clock_set_forward_emptied_the_trash() {
    let program = [
        Write(Storage, Name(12), New),
        Sync(0),
        Delete(Device(0), Name(12)),
        Sync(0),
        SetClock(722),
    ];
    live(Disks::Good, &program);
}

#[test]
fn a_file_where_the_folder_of_an_undeleted_one_was() {
    let program = [
        Write(Device(0), Name(4), New),
        Sync(0),
        RemoveFolder(Device(0), 0),
        Sync(0),
        Write(Storage, Name(6), New),
        Undelete(0, 0),
    ];
    live(Disks::Good, &program);
}

#[test]
fn half_a_rename_left_a_second_marker() {
    let program = [
        Write(Device(0), Name(0), New),
        SignOut(0, Keep::Photos),
        Doom(8, 1),
        SignIn(0),
    ];
    live(Disks::Weak, &program);
}

#[test]
fn two_deaths_while_a_file_went_up() {
    let program = [
        Write(Device(1), Name(0), New),
        RemoveFolder(Device(0), 0),
        Write(Device(0), Name(2), New),
        Doom(6, 1),
        Sync(0),
        Doom(3, 0),
        Sync(0),
        Write(Device(1), Name(2), New),
        Answer(1, false),
    ];
    live(Disks::Weak, &program);
}

#[test]
fn half_a_rename_left_two_conflict_copies_and_the_file() {
    let program = [
        Write(Device(0), Name(2), New),
        Sync(0),
        Rename(Device(0), Name(2), Name(0)),
        Write(Storage, Name(7), New),
        SignOut(0, Keep::Photos),
        Write(Storage, Name(0), New),
        Doom(33, 1),
        SignIn(0),
        Doom(9, 1),
        Answer(0, false),
    ];
    live(Disks::Weak, &program);
}
