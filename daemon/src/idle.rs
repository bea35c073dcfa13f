//! Nothing runs at rest but the broker: a worker that has nothing to do for a while is ended, and the
//! next change, timer or call starts another.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::workers::Rest;

/// Ends idle workers, until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    broker.workers.wait_for_kept();
    let mut rules = broker.rules.changes();
    loop {
        broker.workers.started().await;
        loop {
            let seconds = rules.borrow_and_update().settings.idle_exit_seconds;
            let idle = Duration::from_secs(seconds.into());
            let accounts: Vec<String> =
                broker.published.borrow().accounts.keys().cloned().collect();
            let Rest::NotBefore(due) = broker.workers.rest(&accounts, idle).await else {
                break;
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                changed = rules.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }
}
