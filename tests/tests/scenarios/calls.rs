//! Calls that no sane client makes, to every method there is: each is answered with an error that
//! says what is wrong, changes nothing, and leaves a daemon that answers the next one.

use std::collections::{BTreeSet, HashMap};

use mooring_api::{INTROSPECTION, PlanOptions, SignInOptions};
use mooring_tests::{Manifest, PATIENCE, World};
use serde_json::json;
use zbus::export::serde::Serialize;
use zbus::fdo::PeerProxy;
use zbus::{Connection, DynamicType, Variant};

use crate::stage::{ALICE, Client, belongings, plain, signed_in};

pub const MANAGER: &str = "org.mooring1.Manager";
pub const ACCOUNT: &str = "org.mooring1.Account";
pub const FILES: &str = "org.mooring1.Account.Files";
pub const DEVICES: &str = "org.mooring1.Account.Devices";
pub const JOB: &str = "org.mooring1.Job";
const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
pub const MIB: usize = 1 << 20;

pub type Dict<'a> = HashMap<&'a str, Variant<'a>>;

/// A client that calls what it likes, and remembers which methods it called.
pub struct Caller {
    connection: Connection,
    pub account: String,
    job: String,
    pub called: BTreeSet<(String, String)>,
}

impl Caller {
    /// A caller, an account that is signed in, and a job that has ended.
    pub async fn new(world: &World) -> Self {
        let mut client = Client::new(world).await;
        let files = world.files(ALICE).await.unwrap();
        let job = client.job(&files.sync().await.unwrap()).await;
        assert!(client.outcome(&job).await.success);
        Self {
            connection: client.connection.clone(),
            account: files.inner().path().to_string(),
            job: job.inner().path().to_string(),
            called: BTreeSet::new(),
        }
    }

    fn path(&self, interface: &str) -> String {
        match interface {
            MANAGER => mooring_api::ROOT_PATH.to_owned(),
            JOB => self.job.clone(),
            _ => self.account.clone(),
        }
    }

    /// Calls; answers the name of the error and what it says.
    ///
    /// # Panics
    /// When it succeeds, or fails without a sentence.
    pub async fn refused<B>(&mut self, interface: &str, member: &str, body: &B) -> (String, String)
    where
        B: Serialize + DynamicType + std::fmt::Debug,
    {
        let path = self.path(interface);
        self.refused_at(&path, interface, member, body).await
    }

    pub async fn refused_at<B>(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> (String, String)
    where
        B: Serialize + DynamicType + std::fmt::Debug,
    {
        self.called
            .insert((interface.to_owned(), member.to_owned()));
        let call = self.connection.call_method(
            Some(mooring_api::BUS_NAME),
            path,
            Some(interface),
            member,
            body,
        );
        let shown = || format!("{body:?}").chars().take(200).collect::<String>();
        let Ok(answer) = tokio::time::timeout(PATIENCE, call).await else {
            panic!("{interface}.{member} is never answered: {}", shown());
        };
        match answer {
            Ok(answer) => panic!("{member} succeeds with {}: {answer:?}", shown()),
            Err(zbus::Error::MethodError(name, said, _)) => {
                let said = said.unwrap_or_default();
                assert!(said.len() > 5, "{member} says nothing: {name} {}", shown());
                assert!(
                    said.len() < 10_000,
                    "{member} says too much: {}",
                    said.len()
                );
                (name.to_string(), said)
            }
            Err(zbus::Error::FDO(error)) => {
                use zbus::DBusError;
                let said = error.description().unwrap_or_default().to_owned();
                (error.name().to_string(), said)
            }
            Err(error) => panic!("{member}: {error:?} {}", shown()),
        }
    }

    /// The same, where `kind` of `org.mooring1.Error` is expected.
    pub async fn expect<B>(&mut self, interface: &str, member: &str, body: &B, kind: &str)
    where
        B: Serialize + DynamicType + std::fmt::Debug,
    {
        let (name, said) = self.refused(interface, member, body).await;
        let shown = format!("{body:?}").chars().take(200).collect::<String>();
        assert_eq!(
            name,
            format!("org.mooring1.Error.{kind}"),
            "{member} {shown}: {said}"
        );
    }

    /// The same, where the types are wrong.
    pub async fn expect_wrong_type<B>(&mut self, interface: &str, member: &str, body: &B)
    where
        B: Serialize + DynamicType + std::fmt::Debug,
    {
        let (name, said) = self.refused(interface, member, body).await;
        let shown = format!("{body:?}").chars().take(200).collect::<String>();
        assert_eq!(name, INVALID_ARGS, "{interface}.{member} {shown}: {said}");
    }

    /// The daemon is there and answers.
    pub async fn ping(&self) {
        let peer = PeerProxy::builder(&self.connection)
            .destination(mooring_api::BUS_NAME)
            .path("/org/mooring1")
            .build()
            .await
            .unwrap();
        let ping = tokio::time::timeout(PATIENCE, peer.ping());
        ping.await.expect("an answer in time").unwrap();
    }
}

/// The signatures of the arguments that a method takes, from the contract.
pub fn methods() -> Vec<(String, String, Vec<String>)> {
    let mut methods = Vec::new();
    for (interface, xml) in INTROSPECTION {
        for rest in xml.split("<method name=\"").skip(1) {
            let name = rest.split('"').next().unwrap();
            let empty = rest.split('>').next().unwrap().ends_with('/');
            let body = if empty {
                ""
            } else {
                rest.split("</method>").next().unwrap()
            };
            let arguments = body
                .split("<arg")
                .skip(1)
                .filter(|arg| arg.contains("\"in\""));
            let kind = |arg: &str| {
                arg.split("type=\"")
                    .nth(1)?
                    .split('"')
                    .next()
                    .map(str::to_owned)
            };
            let kinds = arguments.filter_map(kind).collect();
            methods.push((interface.to_owned(), name.to_owned(), kinds));
        }
    }
    methods
}

/// What there is on the device and in the storage, to see that nothing changes.
pub fn everything(world: &World) -> (Manifest, Manifest) {
    let storage = world.manifest(world.storage());
    (plain(world.manifest(world.home())), storage)
}

pub async fn expect_one_account(world: &World) {
    let overview = world.ctl(&["--json"]).run().await.expect_code(0).json();
    let accounts = overview["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 1, "{overview}");
    assert_eq!(accounts[0]["state"], json!("active"));
}

#[tokio::test]
async fn every_method_refuses_what_is_none_of_its_arguments() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let mut caller = Caller::new(&world).await;
    let before = everything(&world);
    for (interface, member, kinds) in methods() {
        let (interface, member) = (interface.as_str(), member.as_str());
        if kinds.is_empty() {
            continue;
        }
        caller.expect_wrong_type(interface, member, &()).await;
        caller
            .expect_wrong_type(interface, member, &(1.5f64,))
            .await;
        caller
            .expect_wrong_type(interface, member, &(vec![1u64; 100_000],))
            .await;
        caller
            .expect_wrong_type(interface, member, &(true, 7u32, "x", 1i16, "y"))
            .await;
        caller
            .expect_wrong_type(interface, member, &("x".repeat(MIB), 0u8))
            .await;
        caller.ping().await;
    }
    assert_eq!(
        before.0.differences(&everything(&world).0),
        Vec::<String>::new()
    );
    assert_eq!(
        before.1.differences(&everything(&world).1),
        Vec::<String>::new()
    );
    expect_one_account(&world).await;
}

#[tokio::test]
async fn an_option_that_does_not_exist_is_refused_where_files_are_at_stake() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let account = world.account(ALICE).await.unwrap();
    for method in ["PlanSignOut", "SignOut"] {
        let mistyped = || Dict::from([("kepe", Variant::from(vec!["photos"]))]);
        let account = account.inner();
        let refused = match method {
            "SignOut" => account.call_method(method, &("a digest", mistyped())).await,
            _ => account.call_method(method, &(mistyped(),)).await,
        };
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("InvalidArgs"), "{method}: {refused}");
        assert!(refused.contains("kepe"), "{method}: {refused}");
    }
    assert_eq!(account.state().await.unwrap(), "active");
    before.assert_same(&belongings(&world));
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    const CLIENTS: usize = 24;
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let (account, files) = (
            world.account(ALICE).await.unwrap(),
            world.files(ALICE).await,
        );
        clients.push(tokio::spawn(async move {
            // Whoever comes second is told so; nobody is left without an answer.
            let told = if n % 2 == 0 {
                account
                    .plan_sign_out(PlanOptions::default())
                    .await
                    .map(drop)
            } else {
                files.unwrap().sync().await.map(drop)
            };
            match told {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), "Busy", "{error:?}"),
            }
        }));
    }
    for client in clients {
        tokio::time::timeout(PATIENCE, client)
            .await
            .unwrap()
            .unwrap();
    }
    let mut client = Client::new(&world).await;
    let account = client.account(&world).await.unwrap();
    client
        .until("the end of the syncs", async || {
            (account.job().await.unwrap().as_str() == "/").then_some(())
        })
        .await;
    before.assert_same(&belongings(&world));
    expect_one_account(&world).await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_its_job_to_end() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let vanishing = Client::new(&world).await;
    let job = vanishing
        .begin_sign_out(&world)
        .await
        .inner()
        .path()
        .to_owned();
    drop(vanishing);
    let mut client = Client::new(&world).await;
    let job = client.job(&job.into()).await;
    assert!(client.outcome(&job).await.success);
    let receipts = world.manager().await.list_receipts().await.unwrap();
    assert_eq!(receipts[0].removed, before.files() as u64);

    // In the middle of a call, with the password on its way.
    let (reader, writer) = std::io::pipe().unwrap();
    let options = SignInOptions {
        storage: Some(world.storage().into_os_string().into_encoded_bytes()),
        password: Some(std::os::fd::OwnedFd::from(reader).into()),
        ..SignInOptions::default()
    };
    let manager = world.manager().await;
    let call = tokio::spawn(async move { manager.sign_in("local", ALICE, options).await });
    tokio::task::yield_now().await;
    call.abort();
    drop(writer);
    crate::stage::everything_comes_back(&world, &before).await;
}
