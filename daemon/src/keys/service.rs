//! The person's keyring: a minimal client of the Secret Service
//! (<https://specifications.freedesktop.org/secret-service-spec/0.2/>).
//!
//! It speaks the `plain` algorithm: the key crosses the session bus as it is. That is a socket of
//! this machine, and whoever can listen there could ask the keyring as we do; over any other
//! transport nothing is asked. It never lets the keyring put a question to the person: a keyring
//! that is locked is one that does not answer now.

use std::collections::HashMap;
use std::time::Duration;

use zbus::address::{Address, Transport};
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, proxy};
use zeroize::{Zeroize, Zeroizing};

use crate::failure::Failure;
use crate::sealed::Key;

const NAME: &str = "org.freedesktop.secrets";
const LABEL: &str = "Mooring: what seals the secrets of accounts";
/// What a path is where there is none.
const NONE: &str = "/";
/// How long the keyring may take for all that is asked of it at a time.
const PATIENCE: Duration = Duration::from_secs(5);

/// A secret as it crosses the bus: session, parameters, value, content type.
type Wire = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

#[proxy(
    interface = "org.freedesktop.Secret.Service",
    default_service = "org.freedesktop.secrets",
    default_path = "/org/freedesktop/secrets"
)]
trait Service {
    fn open_session(
        &self,
        algorithm: &str,
        input: &Variant<'_>,
    ) -> zbus::Result<(OwnedVariant, OwnedObjectPath)>;
    fn search_items(
        &self,
        attributes: &HashMap<&str, &str>,
    ) -> zbus::Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>)>;
    fn unlock(
        &self,
        objects: &[ObjectPath<'_>],
    ) -> zbus::Result<(Vec<OwnedObjectPath>, OwnedObjectPath)>;
    fn read_alias(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.freedesktop.Secret.Collection",
    default_service = "org.freedesktop.secrets"
)]
trait Collection {
    fn create_item(
        &self,
        properties: &HashMap<&str, Variant<'_>>,
        secret: &Wire,
        replace: bool,
    ) -> zbus::Result<(OwnedObjectPath, OwnedObjectPath)>;
}

#[proxy(
    interface = "org.freedesktop.Secret.Item",
    default_service = "org.freedesktop.secrets"
)]
trait Item {
    fn get_secret(&self, session: &ObjectPath<'_>) -> zbus::Result<Wire>;
    fn delete(&self) -> zbus::Result<OwnedObjectPath>;
    #[zbus(property)]
    fn attributes(&self) -> zbus::Result<HashMap<String, String>>;
}

/// A keyring, or why there is none.
pub(super) enum Reached {
    Yes(SecretService),
    No(String),
}

/// The keyring, as far as it concerns one state of ours.
pub(super) struct SecretService {
    service: ServiceProxy<'static>,
    session: OwnedObjectPath,
    state: String,
}

impl SecretService {
    /// Asks for the keyring, for the keys of the state of this name.
    pub(super) async fn reach(state: &str) -> Reached {
        match bounded(connect(state)).await {
            Ok(Some(reached)) => Reached::Yes(reached),
            Ok(None) => Reached::No("there is no Secret Service here".to_owned()),
            Err(failure) => Reached::No(failure.to_string()),
        }
    }

    /// The key of this ID, if the keyring has it.
    ///
    /// # Errors
    /// When the keyring is locked or does not answer, or what it keeps is no such key.
    pub(super) async fn get(&self, id: &str) -> Result<Option<Key>, Failure> {
        let Some(wire) = bounded(self.find(id)).await? else {
            return Ok(None);
        };
        let (_, _, value, _) = wire;
        let value = Zeroizing::new(value);
        match Key::from_bytes(&value) {
            Ok(key) if key.id() == id => Ok(Some(key)),
            Ok(key) => Err(trouble(format!("it keeps another key ({})", key.id()))),
            Err(error) => Err(trouble(error.to_string())),
        }
    }

    /// Keeps a key, and reads it back.
    ///
    /// # Errors
    /// When the keyring is locked, does not answer, or answers something else.
    pub(super) async fn add(&self, key: &Key) -> Result<(), Failure> {
        bounded(self.create(key)).await?;
        match self.get(key.id()).await? {
            Some(_) => Ok(()),
            None => Err(trouble("it does not keep what it was given".to_owned())),
        }
    }

    /// Removes every key of this state but one.
    ///
    /// # Errors
    /// When the keyring does not answer.
    pub(super) async fn keep_only(&self, id: &str) -> Result<(), Failure> {
        bounded(self.remove_others(id)).await
    }

    fn attributes<'a>(&'a self, id: Option<&'a str>) -> HashMap<&'a str, &'a str> {
        let mut attributes = HashMap::from([
            ("application", mooring_api::BUS_NAME),
            ("state", self.state.as_str()),
        ]);
        attributes.extend(id.map(|id| ("key", id)));
        attributes
    }

    async fn find(&self, id: &str) -> Result<Option<Wire>, Failure> {
        let attributes = self.attributes(Some(id));
        let (open, locked) = self.service.search_items(&attributes).await.map_err(said)?;
        let item = match (open.first(), locked.first()) {
            (Some(item), _) => item,
            (None, Some(item)) => {
                self.expect_unlocked(item).await?;
                item
            }
            (None, None) => return Ok(None),
        };
        let item = self.item(item).await?;
        let secret = item.get_secret(&self.session).await.map_err(said)?;
        Ok(Some(secret))
    }

    async fn create(&self, key: &Key) -> Result<(), Failure> {
        let folder = self.service.read_alias("default").await.map_err(said)?;
        if folder.as_str() == NONE {
            return Err(trouble("it has no keyring to keep it in".to_owned()));
        }
        self.expect_unlocked(&folder).await?;
        let collection = CollectionProxy::builder(self.service.inner().connection())
            .path(folder)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(said)?;
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(LABEL)),
            (
                "org.freedesktop.Secret.Item.Attributes",
                Variant::from(self.attributes(Some(key.id()))),
            ),
        ]);
        let kind = "application/octet-stream".to_owned();
        let mut secret = (self.session.clone(), Vec::new(), key.bytes().to_vec(), kind);
        let made = collection.create_item(&properties, &secret, false).await;
        secret.2.zeroize();
        let (_, question) = made.map_err(said)?;
        expect_no_question(&question)
    }

    async fn remove_others(&self, id: &str) -> Result<(), Failure> {
        let attributes = self.attributes(None);
        let (open, locked) = self.service.search_items(&attributes).await.map_err(said)?;
        for path in open.iter().chain(&locked) {
            let item = self.item(path).await?;
            let attributes = item.attributes().await.map_err(said)?;
            if attributes.get("key").is_some_and(|key| key != id) {
                self.expect_unlocked(path).await?;
                let question = item.delete().await.map_err(said)?;
                expect_no_question(&question)?;
                tracing::info!("a key that seals nothing any more is gone from the keyring");
            }
        }
        Ok(())
    }

    async fn item(&self, path: &OwnedObjectPath) -> Result<ItemProxy<'static>, Failure> {
        let item = ItemProxy::builder(self.service.inner().connection());
        let item = item.path(path.clone());
        let item = item.cache_properties(CacheProperties::No).build().await;
        item.map_err(said)
    }

    async fn expect_unlocked(&self, object: &OwnedObjectPath) -> Result<(), Failure> {
        let unlocked = self.service.unlock(&[object.as_ref()]).await;
        let (_, question) = unlocked.map_err(said)?;
        expect_no_question(&question)
    }
}

/// The keyring of this session; none when nobody is, or could be started as, one.
async fn connect(state: &str) -> Result<Option<SecretService>, Failure> {
    let address = Address::session().map_err(said)?;
    if !matches!(address.transport(), Transport::Unix(_)) {
        let word = "the session bus is not a socket of this machine";
        return Err(trouble(word.to_owned()));
    }
    let builder = zbus::connection::Builder::address(address).build();
    let bus = builder.await.map_err(said)?;
    if !is_there(&bus).await.map_err(said)? {
        return Ok(None);
    }
    let service = ServiceProxy::builder(&bus).cache_properties(CacheProperties::No);
    let service = service.build().await.map_err(said)?;
    let session = service.open_session("plain", &Variant::from("")).await;
    let (_, session) = session.map_err(said)?;
    Ok(Some(SecretService {
        service,
        session,
        state: state.to_owned(),
    }))
}

async fn is_there(bus: &Connection) -> zbus::Result<bool> {
    let proxy = DBusProxy::new(bus).await?;
    if proxy.name_has_owner(BusName::try_from(NAME)?).await? {
        return Ok(true);
    }
    let names = proxy.list_activatable_names().await?;
    Ok(names.iter().any(|name| name.as_str() == NAME))
}

fn expect_no_question(path: &OwnedObjectPath) -> Result<(), Failure> {
    if path.as_str() == NONE {
        return Ok(());
    }
    // The question is never put, and goes with our connection.
    Err(trouble("it is locked".to_owned()))
}

async fn bounded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(trouble(format!(
            "it does not answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

fn trouble(word: String) -> Failure {
    Failure::SecretsLocked(format!(
        "the keyring (Secret Service) cannot be used: {word}"
    ))
}

fn said(error: impl std::fmt::Display) -> Failure {
    trouble(error.to_string())
}
