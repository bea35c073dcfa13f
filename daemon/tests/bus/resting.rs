//! Accounts that rest on battery and on a metered network, with the two services that know played
//! by this test, on a bus that stands for the system's.

use mooringd::published::Holder;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::worker::Act;
use crate::world::*;

struct Power(bool);

#[interface(name = "org.freedesktop.UPower")]
impl Power {
    #[zbus(property)]
    fn on_battery(&self) -> bool {
        self.0
    }
}

/// Before it answers for the first time, it tells of more changes than are kept for anybody.
struct Talkative(std::sync::atomic::AtomicBool);

#[interface(name = "org.freedesktop.UPower")]
impl Talkative {
    #[zbus(property)]
    async fn on_battery(&self, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) -> bool {
        if !self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let name = InterfaceName::try_from("org.freedesktop.UPower").unwrap();
            for _ in 0..500 {
                let told = [][..].into();
                Properties::properties_changed(&emitter, name.clone(), Default::default(), told)
                    .await
                    .unwrap();
            }
        }
        true
    }
}

struct Battery(f64);

#[interface(name = "org.freedesktop.UPower.Device")]
impl Battery {
    #[zbus(property)]
    fn percentage(&self) -> f64 {
        self.0
    }
}

struct Network(u32);

#[interface(name = "org.freedesktop.NetworkManager")]
impl Network {
    #[zbus(property)]
    fn metered(&self) -> u32 {
        self.0
    }
}

const POWER: &str = "/org/freedesktop/UPower";
const BATTERY: &str = "/org/freedesktop/UPower/devices/DisplayDevice";
const NETWORK: &str = "/org/freedesktop/NetworkManager";

async fn upower(world: &World, on_battery: bool, percentage: f64) -> Connection {
    let bus = world.connect().await;
    let server = bus.object_server();
    server.at(POWER, Power(on_battery)).await.unwrap();
    server.at(BATTERY, Battery(percentage)).await.unwrap();
    bus.request_name("org.freedesktop.UPower").await.unwrap();
    bus
}

async fn network_manager(world: &World, metered: u32) -> Connection {
    let bus = world.connect().await;
    bus.object_server()
        .at(NETWORK, Network(metered))
        .await
        .unwrap();
    bus.request_name("org.freedesktop.NetworkManager")
        .await
        .unwrap();
    bus
}

async fn set_metered(bus: &Connection, metered: u32) {
    let object = bus.object_server().interface::<_, Network>(NETWORK).await;
    let object = object.unwrap();
    object.get_mut().await.0 = metered;
    let emitter = object.signal_emitter();
    object.get().await.metered_changed(emitter).await.unwrap();
}

async fn set_percentage(bus: &Connection, percentage: f64) {
    let object = bus.object_server().interface::<_, Battery>(BATTERY).await;
    let object = object.unwrap();
    object.get_mut().await.0 = percentage;
    let emitter = object.signal_emitter();
    object
        .get()
        .await
        .percentage_changed(emitter)
        .await
        .unwrap();
}

async fn rests(running: &Running, why: &str) {
    running
        .until(why, |p| {
            p.accounts.values().all(|view| {
                view.rest.map_or("", mooring_core::rest::Rest::name) == why
                    && view.holder == Holder::Free
            })
        })
        .await;
    assert_eq!(running.files().await.resting().await.unwrap(), why);
}

async fn synced(world: &World) {
    let mut syncs = world.fake.syncs.subscribe();
    let waited = tokio::time::timeout(BOUND, syncs.wait_for(|count| *count > 0)).await;
    drop(waited.expect("nothing syncs by itself").unwrap());
    world.fake.syncs.send_replace(0);
}

/// An account that is signed in; the next broker has these settings.
async fn with(settings: &str) -> World {
    let world = World::new();
    let running = world.start().await;
    running.signed_in().await;
    running.stop().await;
    world.fake.effects();
    world.fake.syncs.send_replace(0);
    world.write_settings(&format!("[sync]\ncontinuous = true\n{settings}"));
    world
}

async fn diagnosed(running: &Running, area: &str) -> String {
    let found = running.manager.diagnose().await.unwrap();
    let found = found.into_iter().find(|d| d.area == area);
    found.map(|d| d.state).unwrap_or_default()
}

#[tokio::test]
async fn a_flood_of_changes_does_not_keep_the_answer_away() {
    let world = with("on-battery = \"pause\"\n").await;
    let bus = world.connect().await;
    let server = bus.object_server();
    server.at(POWER, Talkative(false.into())).await.unwrap();
    server.at(BATTERY, Battery(50.0)).await.unwrap();
    bus.request_name("org.freedesktop.UPower").await.unwrap();
    let running = world.start().await;
    rests(&running, "on-battery").await;
}

#[tokio::test]
async fn a_low_battery_pauses_what_happens_by_itself_and_nothing_else() {
    let world = with("on-battery = \"below-20\"\n").await;
    let power = upower(&world, true, 19.0).await;
    let running = world.start().await;
    rests(&running, "on-battery").await;
    // It may have begun before the fact was known; from here on it does not.
    world.fake.effects();
    world.fake.syncs.send_replace(0);
    world.fake.change();
    let job = number(&running.files().await.sync().await.unwrap());
    assert!(running.ended(job).await.outcome.success);
    assert_eq!(world.fake.effects(), ["sync"]);
    assert_eq!(diagnosed(&running, "power").await, "ok");
    world.fake.effects();
    world.fake.syncs.send_replace(0);

    set_percentage(&power, 20.0).await;
    rests(&running, "").await;
    synced(&world).await;
    set_percentage(&power, 5.0).await;
    rests(&running, "on-battery").await;
    // Who is gone does not know, and that is no reason to rest.
    power.close().await.unwrap();
    rests(&running, "").await;
    assert_eq!(diagnosed(&running, "power").await, "warning");
}

#[tokio::test]
async fn a_sync_under_way_stops_when_the_network_becomes_metered() {
    let world = with("on-metered = \"pause\"\n").await;
    world.fake.state().remote = true;
    let network = network_manager(&world, 2).await;
    world.fake.next("sync", Act::Hang);
    let running = world.start().await;
    world.fake.hanging().await;
    set_metered(&network, 1).await;
    rests(&running, "on-metered").await;
    world.fake.effects();
    world.fake.syncs.send_replace(0);
    let job = number(&running.files().await.sync().await.unwrap());
    assert!(running.ended(job).await.outcome.success);
    assert_eq!(world.fake.effects(), ["sync"]);
    world.fake.syncs.send_replace(0);
    set_metered(&network, 4).await;
    rests(&running, "").await;
    synced(&world).await;
}

#[tokio::test]
async fn a_storage_on_this_machine_does_not_care_for_the_network() {
    let world = with("on-metered = \"pause\"\n").await;
    let _network = network_manager(&world, 3).await;
    let running = world.start().await;
    synced(&world).await;
    let metered = |p: &mooringd::published::Published| p.surroundings.metered == Some(true);
    running.until("the fact", metered).await;
    world.fake.change();
    synced(&world).await;
    rests(&running, "").await;
}

#[tokio::test]
async fn without_the_services_nothing_pauses_and_that_is_said() {
    let world = with("on-battery = \"pause\"\non-metered = \"pause\"\n").await;
    world.fake.state().remote = true;
    let running = world.start().await;
    synced(&world).await;
    rests(&running, "").await;
    for area in ["power", "network"] {
        assert_eq!(diagnosed(&running, area).await, "warning");
    }
    // Nobody asks, nobody is told.
    world.write_settings("[sync]\ncontinuous = true\n");
    running.manager.reload().await.unwrap();
    assert_eq!(diagnosed(&running, "power").await, "");
}
