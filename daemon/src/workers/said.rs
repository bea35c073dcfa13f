//! What a worker says, held to bounds before anything is done with it: a worker is a person's own
//! process, and the broker is everybody's. Where a list is cut, its total tells how many there are.
//!
//! What stays on a device is named in full by a worker that keeps to its own bound, which is far below
//! the one here: a receipt names all of it.

use std::sync::Arc;

use mooring_wire::{
    Attached, BackupReport, CheckReport, CollectionFacts, ConflictCopy, Counts, Device,
    DeviceRequest, Diagnosis, DrainReport, EraseReport, Error, Fenced, Inspected, Left, PlanFacts,
    Progress, RemoveReport, RestoreReport, SyncReport, VerifyReport, WhyReport,
};

use super::Live;
use crate::jobs::MAX_ITEMS;

/// The longest answer to a client that lists what there is, in bytes. A bus ends the connection of
/// whoever sends 32 MiB or more.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The longest sentence, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;
/// The most bytes of what is named beside a total: it is kept with a job for a day.
pub const MAX_ITEMS_BYTES: usize = 32 * 1024;
/// The most bytes of what stays on a device: more than a worker names of all collections together, and a
/// fraction of what a receipt may have.
const MAX_LEFT_BYTES: usize = 3 * 1024 * 1024;
/// What an entry of a list takes besides its texts, about.
const ENTRY_BYTES: usize = 64;

/// Something that a worker said.
pub trait Said {
    /// Holds it to the bounds.
    fn hold(&mut self) {}
}

/// An entry of a list.
trait Entry {
    /// How many bytes it takes, about.
    fn size(&self) -> usize;
    /// Shortens its sentences.
    fn shorten(&mut self) {}
}

/// Cuts a sentence that is too long.
pub fn shorten(text: &mut String) {
    cut(text, MAX_TEXT_BYTES);
}

fn cut(text: &mut String, most: usize) {
    if text.len() <= most {
        return;
    }
    let boundary = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(boundary.unwrap_or(0));
    text.push('…');
}

/// Holds a list to what is named beside a total.
fn named<T: Entry>(list: &mut Vec<T>) {
    list.truncate(MAX_ITEMS);
    within(list, MAX_ITEMS_BYTES);
}

/// Holds a list that is an answer by itself.
fn listed<T: Entry>(list: &mut Vec<T>) {
    let all = list.len();
    within(list, MAX_ANSWER_BYTES);
    if list.len() < all {
        tracing::warn!(
            all,
            told = list.len(),
            "a list is too long to tell all of it"
        );
    }
}

/// Keeps what fits into these bytes, first come, first served: one that is too long by itself takes
/// nothing from the others.
fn within<T: Entry>(list: &mut Vec<T>, most: usize) {
    let mut room = most;
    list.retain_mut(|entry| {
        entry.shorten();
        let left = room.checked_sub(entry.size() + ENTRY_BYTES);
        room = left.unwrap_or(room);
        left.is_some()
    });
}

impl Entry for String {
    fn size(&self) -> usize {
        self.len()
    }

    fn shorten(&mut self) {
        shorten(self);
    }
}

/// A path, which would be another one if it were cut.
impl Entry for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }
}

impl<A: Entry, B: Entry> Entry for (A, B) {
    fn size(&self) -> usize {
        self.0.size() + self.1.size()
    }

    fn shorten(&mut self) {
        self.0.shorten();
        self.1.shorten();
    }
}

impl Entry for ConflictCopy {
    fn size(&self) -> usize {
        self.path.len() + self.original.len() + self.device.len() + self.date.len()
    }

    fn shorten(&mut self) {
        shorten(&mut self.device);
        shorten(&mut self.date);
    }
}

impl Entry for Device {
    fn size(&self) -> usize {
        let collections: usize = self.collections.iter().map(String::len).sum();
        let ids = self.sign_in_id.len() + self.receipt.len() + self.state.len();
        self.name.len() + self.identity.len() + self.message.len() + ids + collections
    }

    fn shorten(&mut self) {
        shorten(&mut self.name);
        shorten(&mut self.message);
        named(&mut self.collections);
    }
}

impl Entry for DeviceRequest {
    fn size(&self) -> usize {
        self.id.len() + self.device.len() + self.sign_in_id.len()
    }

    fn shorten(&mut self) {
        shorten(&mut self.device);
    }
}

impl Entry for Diagnosis {
    fn size(&self) -> usize {
        self.area.len() + self.state.len() + self.message.len() + self.advice.len()
    }

    fn shorten(&mut self) {
        shorten(&mut self.area);
        shorten(&mut self.message);
        shorten(&mut self.advice);
    }
}

impl Entry for CollectionFacts {
    fn size(&self) -> usize {
        let lines: usize = self
            .bad_lines
            .iter()
            .chain(&self.losses)
            .map(String::len)
            .sum();
        let names: usize = self.skipped_names.iter().map(Vec::len).sum();
        self.name.len() + lines + names
    }

    fn shorten(&mut self) {
        shorten(&mut self.name);
        named(&mut self.bad_lines);
        named(&mut self.losses);
        named(&mut self.skipped_names);
    }
}

impl<T: Entry> Said for Vec<T> {
    fn hold(&mut self) {
        listed(self);
    }
}

impl Said for () {}
impl Said for bool {}
impl Said for u64 {}
impl Said for Counts {}
impl Said for Arc<Live> {}

impl<A: Said, B: Said> Said for (A, B) {
    fn hold(&mut self) {
        self.0.hold();
        self.1.hold();
    }
}

/// Where a file came back, if one did, and whether it was checked.
impl Said for Option<(Vec<u8>, bool)> {
    fn hold(&mut self) {
        if let Some((path, _)) = self
            && path.len() > MAX_ITEMS_BYTES
        {
            path.clear();
        }
    }
}

/// A document, or a sentence of several lines.
impl Said for String {
    fn hold(&mut self) {
        cut(self, MAX_ANSWER_BYTES);
    }
}

impl Said for Attached {
    fn hold(&mut self) {
        shorten(&mut self.epoch);
    }
}

impl Said for Fenced {
    fn hold(&mut self) {
        shorten(&mut self.message);
    }
}

impl Said for Progress {
    fn hold(&mut self) {
        shorten(&mut self.activity);
    }
}

impl Said for Inspected {
    fn hold(&mut self) {
        self.record.hold();
        named(&mut self.not_empty);
        named(&mut self.warnings);
    }
}

impl Said for PlanFacts {
    fn hold(&mut self) {
        named(&mut self.blockers);
        named(&mut self.warnings);
        listed(&mut self.collections);
    }
}

impl Said for SyncReport {
    fn hold(&mut self) {
        named(&mut self.pending);
        shorten(&mut self.returned.receipt);
        named(&mut self.returned.missing);
    }
}

impl Said for DrainReport {
    fn hold(&mut self) {
        named(&mut self.unsynced);
    }
}

impl Said for VerifyReport {
    fn hold(&mut self) {
        named(&mut self.unproven);
        shorten(&mut self.base_blake3);
    }
}

impl Entry for Counts {
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

impl Entry for Left {
    fn size(&self) -> usize {
        self.path.len() + self.reason.len()
    }

    fn shorten(&mut self) {
        shorten(&mut self.reason);
    }
}

/// Holds what stays to what a receipt can name; what is cut is told by a last entry.
fn held_to_a_receipt(left: &mut Vec<Left>) {
    let all = left.len();
    within(left, MAX_LEFT_BYTES);
    let cut = all - left.len();
    if cut > 0 {
        tracing::error!(cut, "a worker says more stays than a receipt can name");
        left.push(Left {
            path: b"/".to_vec(),
            reason: format!("{cut} more names that are too much to be named"),
        });
    }
}

impl Said for RemoveReport {
    fn hold(&mut self) {
        named(&mut self.removed);
        named(&mut self.kept);
        named(&mut self.remaining_files);
        named(&mut self.gone_before_files);
        named(&mut self.remarks);
        held_to_a_receipt(&mut self.left);
    }
}

impl Said for EraseReport {
    fn hold(&mut self) {
        held_to_a_receipt(&mut self.left);
    }
}

impl Said for BackupReport {
    fn hold(&mut self) {
        self.path.truncate(MAX_TEXT_BYTES);
        named(&mut self.missing);
        named(&mut self.remarks);
    }
}

impl Said for RestoreReport {
    fn hold(&mut self) {
        named(&mut self.problems);
    }
}

impl Said for CheckReport {
    fn hold(&mut self) {
        named(&mut self.problems);
    }
}

impl Said for WhyReport {
    fn hold(&mut self) {
        for text in [&mut self.state, &mut self.reason, &mut self.next] {
            shorten(text);
        }
        shorten(&mut self.collection);
        shorten(&mut self.unseen);
        named(&mut self.copies);
    }
}

impl Said for Error {
    fn hold(&mut self) {
        if let Some(message) = self.message_mut() {
            shorten(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_cut_between_characters() {
        let mut text = "ä".repeat(MAX_TEXT_BYTES);
        shorten(&mut text);
        assert_eq!(text.len(), MAX_TEXT_BYTES + '…'.len_utf8());
        let mut error = Error::Failed("x".repeat(40 << 20));
        error.hold();
        assert!(error.message().len() < 2 * MAX_TEXT_BYTES);
    }

    #[test]
    fn what_is_named_is_bounded_in_number_and_in_bytes() {
        let file = |length: usize| (vec![b'a'; length], "in use".to_owned());
        let mut report = SyncReport {
            pending: vec![file(10); 2 * MAX_ITEMS],
            pending_total: 200,
            ..SyncReport::default()
        };
        report.hold();
        assert_eq!(
            (report.pending.len(), report.pending_total),
            (MAX_ITEMS, 200)
        );
        report.pending = vec![file(4_000); MAX_ITEMS];
        report.hold();
        assert_eq!(report.pending.len(), 8);
        report.pending = vec![file(40 << 20), file(10)];
        report.hold();
        assert_eq!(report.pending, [file(10)]);
    }

    #[test]
    fn a_list_is_bounded_in_bytes_and_a_usual_one_is_told_whole() {
        let entry = |length: usize| (vec![b'a'; length], "2026-11-24".to_owned());
        let mut usual = vec![entry(200); 10_000];
        usual.hold();
        assert_eq!(usual.len(), 10_000);
        let mut long = vec![entry(4_000); 10_000];
        long.hold();
        let bytes: usize = long.iter().map(Entry::size).sum();
        assert!(bytes <= MAX_ANSWER_BYTES && bytes > MAX_ANSWER_BYTES / 2);
    }
}
