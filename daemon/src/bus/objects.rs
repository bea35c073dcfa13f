//! Which objects there are, and their properties: to everybody what is their own.
//!
//! zbus would show every object to every client. Its `ObjectManager` is left out, and where
//! several people share a daemon, its `Properties` are replaced by [`Fence`].

mod kept;

use std::collections::HashMap;
use std::sync::Arc;

use zbus::fdo::Properties;
use zbus::message::Header;
use zbus::names::{InterfaceName, OwnedInterfaceName};
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{
    Connection, ObjectPath, ObjectServer, OwnedObjectPath, OwnedVariant, Variant, fdo, interface,
};

use super::Shared;
use super::account::{AccountObject, FilesObject};
use super::devices::DevicesObject;
use super::gate::Gate;
use super::job::JobObject;
use super::persons::Persons;
use crate::failure::Failure;

use kept::Managed;
pub(crate) use kept::{Interfaces, Kept};

/// The most bytes of objects in one answer: half of what a bus carries.
const MAX_OBJECTS_BYTES: usize = 16 * 1024 * 1024;

/// The properties of one interface.
pub(super) type Values = HashMap<String, OwnedVariant>;

/// `org.freedesktop.DBus.ObjectManager`, of the D-Bus Specification.
pub(super) struct Objects {
    persons: Arc<Persons>,
}

impl Objects {
    pub(super) fn new(persons: Arc<Persons>) -> Self {
        Self { persons }
    }
}

#[interface(
    name = "org.freedesktop.DBus.ObjectManager",
    introspection_docs = false
)]
impl Objects {
    /// All objects that the caller may see.
    async fn get_managed_objects(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<Managed> {
        let seen = self.persons.seen_by(&header, connection).await;
        let seen = seen.map_err(denied)?;
        // As they were told last: whatever changed since is told in a moment.
        Ok(Managed(fitting(seen)))
    }

    #[zbus(signal)]
    pub(super) async fn interfaces_added(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces_and_properties: HashMap<OwnedInterfaceName, Values>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn interfaces_removed(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces: &[&str],
    ) -> zbus::Result<()>;
}

/// The objects of these people, as far as they fit into an answer. Whoever has most comes last: one
/// person's are not to keep those of the others from an administrator.
fn fitting(mut seen: Vec<Shared>) -> Vec<(OwnedObjectPath, Arc<Interfaces>)> {
    seen.sort_by_key(|shared| shared.objects.bytes());
    let (mut objects, mut room) = (Vec::new(), MAX_OBJECTS_BYTES);
    for shared in seen {
        match room.checked_sub(shared.objects.bytes()) {
            Some(left) => {
                room = left;
                objects.extend(shared.objects.all());
            }
            None => tracing::warn!(
                uid = shared.broker.uid,
                "there is too much to tell all of it"
            ),
        }
    }
    objects
}

/// What an account's object has.
pub(super) const ACCOUNT_INTERFACES: [&str; 3] = [
    "org.mooring1.Account",
    "org.mooring1.Account.Files",
    "org.mooring1.Account.Devices",
];
/// What a job's object has.
pub(super) const JOB_INTERFACES: [&str; 1] = ["org.mooring1.Job"];

/// Interfaces of an object with their properties.
pub(super) async fn interfaces(
    server: &ObjectServer,
    connection: &Connection,
    path: &ObjectPath<'_>,
    names: &[&str],
) -> fdo::Result<Interfaces> {
    let mut all = Interfaces::new();
    for name in names {
        let values = values(server, connection, path, name).await?;
        let name = OwnedInterfaceName::try_from(*name)?;
        all.insert(name, values);
    }
    Ok(all)
}

/// All properties of an interface of an account or job.
async fn values(
    server: &ObjectServer,
    connection: &Connection,
    path: &ObjectPath<'_>,
    name: &str,
) -> fdo::Result<Values> {
    match name {
        "org.mooring1.Account" => all_of::<AccountObject>(server, connection, path).await,
        "org.mooring1.Account.Files" => all_of::<FilesObject>(server, connection, path).await,
        "org.mooring1.Account.Devices" => all_of::<DevicesObject>(server, connection, path).await,
        "org.mooring1.Job" => all_of::<JobObject>(server, connection, path).await,
        other => Err(fdo::Error::UnknownInterface(format!(
            "Unknown interface '{other}'"
        ))),
    }
}

pub(super) async fn all_of<I: Interface>(
    server: &ObjectServer,
    connection: &Connection,
    path: &ObjectPath<'_>,
) -> fdo::Result<Values> {
    let object = server.interface::<_, I>(path).await?;
    let emitter = object.signal_emitter();
    let values = object.get().await;
    values.get_all(server, connection, None, emitter).await
}

pub(super) fn denied(failure: Failure) -> fdo::Error {
    let message = failure.to_string();
    match failure {
        Failure::Busy(_) => fdo::Error::LimitsExceeded(message),
        _ => fdo::Error::AccessDenied(message),
    }
}

/// `org.freedesktop.DBus.Properties` of an object, for its owner and administrators.
struct Fence {
    gate: Gate,
    owner: u32,
}

impl Fence {
    async fn values(
        &self,
        interface: &InterfaceName<'_>,
        header: &Header<'_>,
        connection: &Connection,
        server: &ObjectServer,
    ) -> fdo::Result<Values> {
        let sight = self.gate.shows_to(header, connection).await;
        if !sight.map_err(denied)?.sees(self.owner) {
            let why = "this belongs to another user".to_owned();
            return Err(denied(Failure::NotAuthorized(why)));
        }
        let nowhere = || fdo::Error::UnknownObject("the call names no object".to_owned());
        let path = header.path().ok_or_else(nowhere)?;
        values(server, connection, path, interface.as_str()).await
    }
}

#[interface(name = "org.freedesktop.DBus.Properties", introspection_docs = false)]
impl Fence {
    async fn get(
        &self,
        interface_name: InterfaceName<'_>,
        property_name: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> fdo::Result<OwnedVariant> {
        let mut all = self
            .values(&interface_name, &header, connection, server)
            .await?;
        all.remove(property_name).ok_or_else(|| {
            fdo::Error::UnknownProperty(format!("Unknown property '{property_name}'"))
        })
    }

    async fn get_all(
        &self,
        interface_name: InterfaceName<'_>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> fdo::Result<Values> {
        self.values(&interface_name, &header, connection, server)
            .await
    }

    async fn set(
        &self,
        _interface_name: InterfaceName<'_>,
        property_name: &str,
        _value: &Variant<'_>,
    ) -> fdo::Result<()> {
        Err(fdo::Error::PropertyReadOnly(format!(
            "Property '{property_name}' cannot be set"
        )))
    }
}

/// Keeps an object alive while it has nothing of its own, and no fence yet.
pub(super) struct Site;

#[interface(name = "org.mooring1.Site", introspection_docs = false)]
impl Site {}

/// Prepares the place of an object so that its properties are never open to anybody else: the
/// fence stands before the object is there. Then `build` puts the object up.
pub(super) async fn fenced(
    server: &ObjectServer,
    gate: &Gate,
    owner: u32,
    path: &ObjectPath<'_>,
) -> zbus::Result<()> {
    server.at(path, Site).await?;
    server.remove::<Properties, _>(path).await?;
    let fence = Fence {
        gate: gate.clone(),
        owner,
    };
    server.at(path, fence).await?;
    Ok(())
}

/// Ends the preparation: the object is there, and lives by itself.
pub(super) async fn built(server: &ObjectServer, path: &ObjectPath<'_>) -> zbus::Result<()> {
    server.remove::<Site, _>(path).await.map(drop)
}
