//! What was told of each object, kept built: whoever asks for all objects gets them as they are, and
//! what did not change is not built anew at each call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};
use zbus::fdo::ManagedObjects;
use zbus::names::OwnedInterfaceName;
use zbus::wire::{Signature, Type};
use zbus::{ObjectPath, OwnedObjectPath};

use super::Values;

/// The interfaces of an object with their properties.
pub(crate) type Interfaces = HashMap<OwnedInterfaceName, Values>;

/// The objects of one person.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<HashMap<OwnedObjectPath, Arc<Interfaces>>>>);

impl Kept {
    fn objects(&self) -> MutexGuard<'_, HashMap<OwnedObjectPath, Arc<Interfaces>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told of an object; none before it is there.
    pub(crate) fn of(&self, path: &ObjectPath<'_>) -> Option<Arc<Interfaces>> {
        self.objects().get(path).cloned()
    }

    /// An object is there.
    pub(crate) fn put(&self, path: &ObjectPath<'_>, interfaces: Interfaces) {
        let path = path.to_owned().into();
        self.objects().insert(path, Arc::new(interfaces));
    }

    /// One interface of an object changed.
    pub(crate) fn change(&self, path: &ObjectPath<'_>, name: OwnedInterfaceName, values: Values) {
        let mut objects = self.objects();
        let object = objects.entry(path.to_owned().into()).or_default();
        Arc::make_mut(object).insert(name, values);
    }

    /// An object is gone.
    pub(crate) fn remove(&self, path: &ObjectPath<'_>) {
        self.objects().remove(path);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(OwnedObjectPath, Arc<Interfaces>)> {
        let objects = self.objects();
        let all = objects.iter();
        all.map(|(path, object)| (path.clone(), object.clone()))
            .collect()
    }
}

/// What `GetManagedObjects` answers, of what is kept.
#[derive(Default)]
pub(super) struct Managed(pub(super) Vec<(OwnedObjectPath, Arc<Interfaces>)>);

impl Type for Managed {
    const SIGNATURE: &'static Signature = ManagedObjects::SIGNATURE;
}

impl Serialize for Managed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(path, object)| (path, &**object)))
    }
}
