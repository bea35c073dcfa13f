//! The same work on many things, on a few threads. With one thread everything happens in order,
//! on the caller's own: a simulation can count on it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Does `work` on each item and answers the results in the items' order.
pub fn map<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    map_by(threads, items, |_, item| work(item))
}

/// The same, and tells `work` which thread it is on: below `threads`.
pub fn map_by<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(|item| work(0, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for thread in 0..threads.min(items.len()) {
            let (work, next, results) = (&work, &next, &results);
            scope.spawn(move || {
                let mut own = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    own.push((index, work(thread, item)));
                }
                results
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .append(&mut own);
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Does `work`, and on a thread of its own `now`, whenever `work` asks for it; what it asks for meanwhile
/// is done once more. With one thread that is never: only what may be left out belongs here.
///
/// Answers what `work` does, and the first error of `now`, which ends it.
pub fn beside<R>(
    threads: usize,
    now: impl Fn() -> io::Result<()> + Send,
    work: impl FnOnce(&(dyn Fn() + Sync)) -> R,
) -> (R, io::Result<()>) {
    if threads <= 1 {
        return (work(&|| ()), Ok(()));
    }
    let (ask, asked) = sync_channel(1);
    std::thread::scope(|scope| {
        let beside = scope.spawn(move || asked.into_iter().try_for_each(|()| now()));
        let done = work(&|| {
            // Where it cannot be sent, one waits already, or an error is there to be told.
            let _ = ask.try_send(());
        });
        drop(ask);
        match beside.join() {
            Ok(ended) => (done, ended),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Does `after` on what `first` hands over, one thing at a time and in order, while `first` goes on
/// with the next one.
///
/// # Errors
/// The first of `after`, which `first` is told of when it hands the next one over; else that of
/// `first`.
pub fn behind<T: Send>(
    threads: usize,
    mut after: impl FnMut(T) -> Result<()> + Send,
    first: impl FnOnce(&mut dyn FnMut(T) -> Result<()>) -> Result<()>,
) -> Result<()> {
    if threads <= 1 {
        return first(&mut after);
    }
    // Nothing is kept in between: whoever hands over waits until the one before is done.
    let (hand, taken) = sync_channel(0);
    std::thread::scope(|scope| {
        let behind = scope.spawn(move || taken.into_iter().try_for_each(after));
        // It ends early only with an error, which is the one to tell.
        let ended = first(&mut |item| hand.send(item).map_err(|_| Error::Cancelled));
        drop(hand);
        match behind.join() {
            Ok(done) => done.and(ended),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_handed_over_is_done_in_order_and_before_the_end() {
        for threads in [1, 2] {
            let mut done = Vec::new();
            let after = |nr| {
                done.push(nr);
                Ok(())
            };
            behind(threads, after, |hand| (0..5).try_for_each(hand)).unwrap();
            assert_eq!(done, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn an_error_behind_is_the_one_to_tell_and_ends_the_rest() {
        for threads in [1, 2] {
            let mut done = 0;
            let after = |nr| {
                done += 1;
                if nr == 1 {
                    Err(Error::NotVerified("one".to_owned()))
                } else {
                    Ok(())
                }
            };
            let e = behind(threads, after, |hand| (0..5).try_for_each(hand)).unwrap_err();
            assert!(matches!(e, Error::NotVerified(_)), "{e}");
            assert_eq!(done, 2);
        }
    }

    #[test]
    fn what_is_asked_for_is_done_beside_and_its_error_is_told() {
        let count = AtomicUsize::new(0);
        let now = || match count.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(io::Error::other("full")),
        };
        let wait_for = |n| {
            while count.load(Ordering::SeqCst) < n {
                std::thread::yield_now();
            }
        };
        let (done, ended) = beside(2, now, |ask| {
            for n in 1..=2 {
                ask();
                wait_for(n);
            }
            // Nobody is there any more, and that keeps nothing from going on.
            ask();
            7
        });
        assert_eq!(done, 7);
        assert_eq!(ended.unwrap_err().to_string(), "full");
        assert_eq!(count.into_inner(), 2);
    }

    #[test]
    fn an_error_in_front_lets_what_was_handed_over_end() {
        let mut done = 0;
        let after = |()| {
            done += 1;
            Ok(())
        };
        let e = behind(2, after, |hand| {
            hand(())?;
            Err(Error::Cancelled)
        });
        e.unwrap_err();
        assert_eq!(done, 1);
    }
}
