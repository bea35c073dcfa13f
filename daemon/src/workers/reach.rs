//! Which places the worker may reach: those of the accounts, and those that a job was named. When a job
//! needs one that the running worker does not reach, that worker is ended, and another one started.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mooring_wire::reach::{Place, Reach};

use super::{Live, State, Workers, rest};

/// Says which accounts there are, by ID, and where the worker works for each.
pub type Accounts = Box<dyn Fn() -> Vec<(String, Vec<Place>)> + Send + Sync>;

/// The places that jobs need beyond those of the accounts, and how many need each.
#[derive(Default)]
pub(super) struct Needed(Mutex<BTreeMap<Place, usize>>);

impl Needed {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Place, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every worker that is asked for anything reaches these places until this is dropped.
pub struct Reaching {
    needed: Arc<Needed>,
    places: Vec<Place>,
}

impl Drop for Reaching {
    fn drop(&mut self) {
        let mut all = self.needed.all();
        for place in &self.places {
            match all.get_mut(place) {
                Some(1) | None => {
                    all.remove(place);
                }
                Some(count) => *count -= 1,
            }
        }
    }
}

impl Workers {
    /// Lets workers reach these places, too.
    pub fn reach(&self, places: Vec<Place>) -> Reaching {
        let mut all = self.needed.all();
        for place in &places {
            *all.entry(place.clone()).or_default() += 1;
        }
        drop(all);
        Reaching {
            needed: self.needed.clone(),
            places,
        }
    }

    /// All that a worker has to reach now.
    pub(super) fn wanted(&self) -> Reach {
        let places = (self.accounts)().into_iter().flat_map(|(_, places)| places);
        places.chain(self.needed.all().keys().cloned()).collect()
    }

    /// Ends a worker so that another one can reach more. Whoever waits for an answer of it asks the
    /// next one. What it watches goes with it, as far as it is at rest.
    pub(super) async fn replace(&self, state: &mut State) {
        let Some(live) = state.live.take() else {
            return;
        };
        tracing::debug!(generation = live.generation, "the worker has to reach more");
        live.replace();
        let mut all = true;
        for (account, _) in (self.accounts)() {
            if let Err(error) = self.hand_over(&live, &account).await {
                tracing::debug!(account, %error, "its watch is lost");
                all = false;
            }
        }
        if all {
            live.leaves();
        }
        rest::end(&live).await;
    }
}

impl Live {
    /// Whether it was ended to be replaced, and did not die.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(std::sync::atomic::Ordering::Acquire)
    }

    fn replace(&self) {
        self.replaced
            .store(true, std::sync::atomic::Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use mooring_wire::reach::Use;

    use super::*;
    use crate::launch::{Error, Later, Launched, Launcher};

    struct Never;

    impl Launcher for Never {
        fn launch(&self, _uid: u32, _reach: &Reach) -> Later<'_, Result<Launched, Error>> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn a_place_is_reached_as_long_as_anybody_needs_it() {
        let account = || {
            let account = crate::store::tests::account();
            (account.id.clone(), account.places())
        };
        let accounts: Accounts = Box::new(move || vec![account()]);
        let workers = Workers::new(Arc::new(Never), 1, Arc::new(|_| ()), accounts);
        let own = workers.wanted();
        assert!(
            own.0.contains(&Place::new(Use::Folder, b"/mnt/\xff")),
            "{own:?}"
        );
        let place = || vec![Place::new(Use::Folder, b"/mnt/disk")];
        let (one, other) = (workers.reach(place()), workers.reach(place()));
        drop(one);
        assert_eq!(workers.wanted().0.len(), own.0.len() + 1);
        drop(other);
        assert_eq!(workers.wanted(), own);
    }
}
