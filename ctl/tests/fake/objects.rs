//! Which objects the stand-in has.

use std::collections::HashMap;

use zbus::fdo::ManagedObjects;
use zbus::names::OwnedInterfaceName;
use zbus::object_server::Interface;
use zbus::{Connection, ObjectServer, OwnedObjectPath, OwnedVariant, fdo, interface};

use super::job::{JOB, Job};
use super::service::{ACCOUNT, Account, Files};

pub struct Objects;

type Interfaces = HashMap<OwnedInterfaceName, HashMap<String, OwnedVariant>>;

#[interface(name = "org.freedesktop.DBus.ObjectManager")]
impl Objects {
    async fn get_managed_objects(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> fdo::Result<ManagedObjects> {
        let mut objects = ManagedObjects::new();
        for path in [ACCOUNT, JOB] {
            let mut all = Interfaces::new();
            add::<Account>(server, connection, path, &mut all).await?;
            add::<Files>(server, connection, path, &mut all).await?;
            add::<Job>(server, connection, path, &mut all).await?;
            if !all.is_empty() {
                objects.insert(OwnedObjectPath::try_from(path).unwrap(), all);
            }
        }
        Ok(objects)
    }
}

/// An interface's properties, if it is at this path.
async fn add<I: Interface>(
    server: &ObjectServer,
    connection: &Connection,
    path: &str,
    all: &mut Interfaces,
) -> fdo::Result<()> {
    let Ok(object) = server.interface::<_, I>(path).await else {
        return Ok(());
    };
    let values = object.get().await;
    let emitter = object.signal_emitter();
    let values = values.get_all(server, connection, None, emitter).await?;
    all.insert(OwnedInterfaceName::from(I::name()), values);
    Ok(())
}
