//! In which order folders are looked at: parents before their children, by one thread or by several.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{FolderLook, look_at};
use crate::account::Account;
use crate::error::Result;
use crate::files::Files;
use crate::ignored::Rules;
use crate::place::Place;

/// How many looked-at folders may wait for their consumer.
const AHEAD: usize = 16;

pub(super) fn walk_in_order<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    consume: &mut impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let mut folders = vec![(Vec::new(), None)];
    while let Some((folder, rules)) = folders.pop() {
        let (look, below) = look_at(account, place, folder, &rules)?;
        folders.extend(below.into_iter().rev());
        consume(look)?;
    }
    Ok(())
}

/// A folder to be looked at, and the rules of those above it.
pub(crate) type Waiting = (Vec<u8>, Rules);

/// Folders to look at, and how many are being looked at.
struct Queue {
    folders: Vec<Waiting>,
    busy: usize,
    over: bool,
}

pub(super) fn walk_in_parallel<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    threads: usize,
    consume: &mut impl FnMut(FolderLook<F>) -> Result<()>,
) -> Result<()> {
    let queue = Mutex::new(Queue {
        folders: vec![(Vec::new(), None)],
        busy: 0,
        over: false,
    });
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        let (looks, arriving) = sync_channel(AHEAD);
        for _ in 0..threads {
            let looks = looks.clone();
            let (queue, changed) = (&queue, &changed);
            scope.spawn(move || look_on(account, place, queue, changed, &looks));
        }
        drop(looks);
        let mut outcome = Ok(());
        for look in arriving {
            if outcome.is_ok() {
                outcome = look.and_then(&mut *consume);
            }
            if outcome.is_err() {
                queue.lock().unwrap_or_else(PoisonError::into_inner).over = true;
                changed.notify_all();
            }
        }
        outcome
    })
}

fn look_on<F: Files>(
    account: &Account<F>,
    place: &Place<F>,
    queue: &Mutex<Queue>,
    changed: &Condvar,
    looks: &SyncSender<Result<FolderLook<F>>>,
) {
    loop {
        let mut waiting = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, rules) = loop {
            if waiting.over || (waiting.folders.is_empty() && waiting.busy == 0) {
                return;
            }
            if let Some(folder) = waiting.folders.pop() {
                break folder;
            }
            waiting = changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        };
        waiting.busy += 1;
        drop(waiting);
        let (look, below) = match look_at(account, place, folder, &rules) {
            Ok((look, below)) => (Ok(look), below),
            Err(e) => (Err(e), Vec::new()),
        };
        // Sent before its children are looked at: parents arrive first.
        let sent = looks.send(look);
        let mut waiting = queue.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.busy -= 1;
        waiting.folders.extend(below.into_iter().rev());
        waiting.over |= sent.is_err();
        drop(waiting);
        changed.notify_all();
    }
}
