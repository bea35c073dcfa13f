//! The daemon as D-Bus starts it: by the installed service file, at the first call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;

use mooring_api::BUS_NAME;
use mooring_tests::{PATIENCE, World};

#[tokio::test]
async fn the_first_call_starts_the_daemon() {
    let world = World::new();
    let services = world.folder().join("bus/services");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let made = Command::new("make")
        .args(["--silent", "install-user", "NOTIFY_RELOAD=no", "DESTDIR="])
        .arg(format!("bindir={}", world.binaries().display()))
        .arg(format!("dbusservicesdir={}", services.display()))
        .arg(format!(
            "systemduserunitdir={}",
            world.folder().join("units").display()
        ))
        .arg(format!(
            "systemdpresetdir={}",
            world.folder().join("presets").display()
        ))
        .current_dir(source)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let bus = zbus::fdo::DBusProxy::new(&world.connect().await)
        .await
        .unwrap();
    bus.reload_config().await.unwrap();

    let answered = tokio::time::timeout(PATIENCE, async {
        world.manager().await.version().await.unwrap()
    });
    assert_eq!(answered.await.unwrap(), env!("CARGO_PKG_VERSION"));
    world.bus().wait_for_name(BUS_NAME, true, PATIENCE).await;
}
