//! What was told of each object, kept built: whoever asks for all objects gets them as they are, and
//! what did not change is not built anew at each call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Serialize, Serializer};
use zbus::fdo::ManagedObjects;
use zbus::names::OwnedInterfaceName;
use zbus::wire::serialized::Context;
use zbus::wire::{LE, Signature, Type, serialized_size};
use zbus::{ObjectPath, OwnedObjectPath};

use super::Values;

/// The interfaces of an object with their properties.
pub(crate) type Interfaces = HashMap<OwnedInterfaceName, Values>;

/// The objects of one person.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<HashMap<OwnedObjectPath, Object>>>);

/// An object, and how many bytes it takes in an answer, about.
#[derive(Clone, Default)]
struct Object {
    interfaces: Arc<Interfaces>,
    bytes: usize,
}

impl Object {
    fn of(interfaces: Arc<Interfaces>) -> Self {
        let context = Context::new(LE, 0);
        // What has no size is nothing that could be told.
        let bytes = serialized_size(context, &*interfaces).map_or(0, |size| *size);
        Self { interfaces, bytes }
    }
}

impl Kept {
    fn objects(&self) -> MutexGuard<'_, HashMap<OwnedObjectPath, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told of an object; none before it is there.
    pub(crate) fn of(&self, path: &ObjectPath<'_>) -> Option<Arc<Interfaces>> {
        let objects = self.objects();
        objects.get(path).map(|object| object.interfaces.clone())
    }

    /// An object is there.
    pub(crate) fn put(&self, path: &ObjectPath<'_>, interfaces: Interfaces) {
        let path = path.to_owned().into();
        let object = Object::of(Arc::new(interfaces));
        self.objects().insert(path, object);
    }

    /// One interface of an object changed.
    pub(crate) fn change(&self, path: &ObjectPath<'_>, name: OwnedInterfaceName, values: Values) {
        let mut objects = self.objects();
        let object = objects.entry(path.to_owned().into()).or_default();
        let mut interfaces = std::mem::take(object).interfaces;
        Arc::make_mut(&mut interfaces).insert(name, values);
        *object = Object::of(interfaces);
    }

    /// An object is gone.
    pub(crate) fn remove(&self, path: &ObjectPath<'_>) {
        self.objects().remove(path);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(OwnedObjectPath, Arc<Interfaces>)> {
        let objects = self.objects();
        let all = objects.iter();
        all.map(|(path, object)| (path.clone(), object.interfaces.clone()))
            .collect()
    }

    /// How many bytes all of them take in an answer, about.
    pub(super) fn bytes(&self) -> usize {
        let objects = self.objects();
        let bytes = objects
            .iter()
            .map(|(path, object)| path.len() + object.bytes);
        bytes.sum()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use zbus::Variant;

    use super::*;

    fn values(text: &str) -> Values {
        let value = Variant::from(text).try_to_owned().unwrap();
        HashMap::from([("Message".to_owned(), value)])
    }

    #[test]
    fn how_much_there_is_follows_what_changes() {
        let (kept, path) = (Kept::default(), ObjectPath::try_from("/a").unwrap());
        let name = OwnedInterfaceName::try_from("org.mooring1.Job").unwrap();
        kept.put(&path, HashMap::from([(name.clone(), values("x"))]));
        let little = kept.bytes();
        assert!(little > 0);
        kept.change(&path, name, values(&"x".repeat(10_000)));
        assert!(kept.bytes() >= little + 9_999);
        assert_eq!(kept.of(&path).unwrap().len(), 1);
        kept.remove(&path);
        assert_eq!(kept.bytes(), 0);
    }
}
