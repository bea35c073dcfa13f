//! The two services that know: UPower (<https://upower.freedesktop.org/docs/>) and NetworkManager
//! (<https://networkmanager.dev/docs/api/latest/>).

use std::sync::Arc;

use mooring_core::rest::Surroundings;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use zbus::export::ordered_stream::{OrderedStream, OrderedStreamExt};
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::proxy::CacheProperties;
use zbus::{Connection, proxy};

const POWER: &str = "org.freedesktop.UPower";
const POWER_PATH: &str = "/org/freedesktop/UPower";
/// All batteries as one.
const BATTERY_PATH: &str = "/org/freedesktop/UPower/devices/DisplayDevice";
const NETWORK: &str = "org.freedesktop.NetworkManager";
const NETWORK_PATH: &str = "/org/freedesktop/NetworkManager";

/// `NMMetered`: yes, and "probably".
const METERED: [u32; 2] = [1, 3];
/// `NMMetered`: no, and "probably not"; 0 is "unknown".
const NOT_METERED: [u32; 2] = [2, 4];

#[proxy(
    interface = "org.freedesktop.UPower",
    default_service = "org.freedesktop.UPower",
    default_path = "/org/freedesktop/UPower"
)]
trait Power {
    #[zbus(property)]
    fn on_battery(&self) -> zbus::Result<bool>;
}

#[proxy(
    interface = "org.freedesktop.UPower.Device",
    default_service = "org.freedesktop.UPower",
    default_path = "/org/freedesktop/UPower/devices/DisplayDevice"
)]
trait Battery {
    #[zbus(property)]
    fn percentage(&self) -> zbus::Result<f64>;
}

#[proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
trait Network {
    #[zbus(property)]
    fn metered(&self) -> zbus::Result<u32>;
}

/// Tells what the device runs on, now and whenever it changes, until the bus is gone.
pub(super) async fn power(
    bus: &Connection,
    tell: impl Fn(&mut dyn FnMut(&mut Surroundings)),
) -> zbus::Result<()> {
    let mut changes = Changes::of(bus, POWER, &[POWER_PATH, BATTERY_PATH]).await?;
    let power = PowerProxy::builder(bus).cache_properties(CacheProperties::No);
    let power = power.build().await?;
    let battery = BatteryProxy::builder(bus).cache_properties(CacheProperties::No);
    let battery = battery.build().await?;
    loop {
        let on_battery = known(power.on_battery().await);
        let percent = known(battery.percentage().await).and_then(percent);
        tell(&mut |now| (now.on_battery, now.percent) = (on_battery, percent));
        if !changes.next().await {
            return Ok(());
        }
    }
}

/// Tells whether the network is metered, now and whenever it changes, until the bus is gone.
pub(super) async fn network(
    bus: &Connection,
    tell: impl Fn(&mut dyn FnMut(&mut Surroundings)),
) -> zbus::Result<()> {
    let mut changes = Changes::of(bus, NETWORK, &[NETWORK_PATH]).await?;
    let network = NetworkProxy::builder(bus).cache_properties(CacheProperties::No);
    let network = network.build().await?;
    loop {
        let metered = known(network.metered().await).and_then(metered);
        tell(&mut |now| now.metered = metered);
        if !changes.next().await {
            return Ok(());
        }
    }
}

/// A service that is not there does not know.
fn known<T>(answer: zbus::Result<T>) -> Option<T> {
    match answer {
        Ok(fact) => Some(fact),
        Err(error) => {
            tracing::debug!(%error, "a fact is not known");
            None
        }
    }
}

fn metered(word: u32) -> Option<bool> {
    if METERED.contains(&word) {
        Some(true)
    } else {
        NOT_METERED.contains(&word).then_some(false)
    }
}

/// A number of percent as it is shown: whole, rounded down.
fn percent(number: f64) -> Option<u8> {
    // In these bounds the cast only cuts off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=100.0).contains(&number).then_some(number as u8)
}

/// Tells that a service, or a property of its objects, may be another than before.
///
/// What the bus tells is taken at once, by tasks of its own: while a fact is asked for, the answer
/// would wait behind signals that nobody takes, and anybody on the bus can send those.
struct Changes {
    told: Arc<Notify>,
    listening: JoinSet<()>,
}

impl Changes {
    async fn of(
        bus: &Connection,
        service: &'static str,
        paths: &[&'static str],
    ) -> zbus::Result<Self> {
        let mut changes = Self {
            told: Arc::default(),
            listening: JoinSet::new(),
        };
        let dbus = DBusProxy::new(bus).await?;
        let owners = dbus
            .receive_name_owner_changed_with_args(&[(0, service)])
            .await?;
        changes.hear(owners);
        for path in paths {
            let object = PropertiesProxy::builder(bus)
                .destination(service)
                .path(*path)
                .build()
                .await?;
            changes.hear(object.receive_properties_changed().await?);
        }
        Ok(changes)
    }

    fn hear(&mut self, mut signals: impl OrderedStream + Unpin + Send + 'static) {
        let told = self.told.clone();
        self.listening.spawn(async move {
            while signals.next().await.is_some() {
                told.notify_one();
            }
        });
    }

    /// Waits for a change; false when there will be none.
    async fn next(&mut self) -> bool {
        tokio::select! {
            () = self.told.notified() => true,
            _ = self.listening.join_next() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_facts_are_not_known() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(metered),
            [None, Some(true), Some(false), Some(true), Some(false), None]
        );
        assert_eq!(
            [0.0, 19.9, 100.0].map(percent),
            [Some(0), Some(19), Some(100)]
        );
        assert_eq!(
            [-1.0, 100.5, f64::NAN, f64::INFINITY].map(percent),
            [None; 4]
        );
    }
}
