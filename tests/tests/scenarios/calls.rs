//! Calls that no sane client makes, to every method there is: each is answered with an error that
//! says what is wrong, changes nothing, and leaves a daemon that answers the next one.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use mooring_api::{INTROSPECTION, PlanOptions, SignInOptions};
use mooring_tests::{Manifest, PATIENCE, World};
use serde_json::json;
use zbus::export::serde::Serialize;
use zbus::fdo::PeerProxy;
use zbus::{Connection, DynamicType, Variant};

use crate::stage::{ALICE, Client, PASSWORD, belongings, piped, plain, signed_in};

const MANAGER: &str = "org.mooring1.Manager";
const ACCOUNT: &str = "org.mooring1.Account";
const FILES: &str = "org.mooring1.Account.Files";
const JOB: &str = "org.mooring1.Job";
const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
const MIB: usize = 1 << 20;

pub type Dict<'a> = HashMap<&'a str, Variant<'a>>;

/// A client that calls what it likes, and remembers which methods it called.
pub struct Caller {
    connection: Connection,
    account: String,
    job: String,
    called: BTreeSet<(String, String)>,
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
    pub async fn refused<B>(
        &mut self,
        interface: &str,
        member: &str,
        body: &B,
    ) -> (String, String)
    where
        B: Serialize + DynamicType + std::fmt::Debug,
    {
        let path = self.path(interface);
        self.refused_at(&path, interface, member, body).await
    }

    async fn refused_at<B>(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> (String, String)
    where
        B: Serialize + DynamicType + std::fmt::Debug,
    {
        self.called.insert((interface.to_owned(), member.to_owned()));
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
                assert!(said.len() < 10_000, "{member} says too much: {}", said.len());
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
        assert_eq!(name, format!("org.mooring1.Error.{kind}"), "{member} {shown}: {said}");
    }

    /// The same, where the types are wrong.
    async fn expect_wrong_type<B>(&mut self, interface: &str, member: &str, body: &B)
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
fn methods() -> Vec<(String, String, Vec<String>)> {
    let mut methods = Vec::new();
    for (interface, xml) in INTROSPECTION {
        for rest in xml.split("<method name=\"").skip(1) {
            let name = rest.split('"').next().unwrap();
            let empty = rest.split('>').next().unwrap().ends_with('/');
            let body = if empty { "" } else { rest.split("</method>").next().unwrap() };
            let arguments = body.split("<arg").skip(1).filter(|arg| arg.contains("\"in\""));
            let kind = |arg: &str| arg.split("type=\"").nth(1)?.split('"').next().map(str::to_owned);
            let kinds = arguments.filter_map(kind).collect();
            methods.push((interface.to_owned(), name.to_owned(), kinds));
        }
    }
    methods
}

/// What there is on the device and in the storage, to see that nothing changes.
fn everything(world: &World) -> (Manifest, Manifest) {
    let storage = world.manifest(world.storage());
    (plain(world.manifest(world.home())), storage)
}

async fn expect_one_account(world: &World) {
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
        caller.expect_wrong_type(interface, member, &(1.5f64,)).await;
        caller.expect_wrong_type(interface, member, &(vec![1u64; 100_000],)).await;
        caller.expect_wrong_type(interface, member, &(true, 7u32, "x", 1i16, "y")).await;
        caller.expect_wrong_type(interface, member, &("x".repeat(MIB), 0u8)).await;
        caller.ping().await;
    }
    assert_eq!(before.0.differences(&everything(&world).0), Vec::<String>::new());
    assert_eq!(before.1.differences(&everything(&world).1), Vec::<String>::new());
    expect_one_account(&world).await;
}

#[tokio::test]
async fn every_method_refuses_hostile_arguments() {
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut caller = Caller::new(&world).await;
    let all = everything(&world);
    hostile_sign_ins(&mut caller, &world).await;
    hostile_questions(&mut caller).await;
    hostile_sign_outs(&mut caller).await;
    jobs_that_have_ended(&mut caller).await;
    objects_that_are_not_there(&mut caller).await;
    caller.ping().await;
    before.assert_same(&belongings(&world));
    assert_eq!(all.0.differences(&everything(&world).0), Vec::<String>::new());
    assert_eq!(all.1.differences(&everything(&world).1), Vec::<String>::new());
    expect_one_account(&world).await;

    // Those that take nothing and are not refused.
    let harmless = ["Reload", "ShowPolicy", "ListReceipts", "ListInhibitors", "Sync"];
    let missing: Vec<_> = methods()
        .into_iter()
        .map(|(interface, member, _)| (interface, member))
        .filter(|(_, member)| !harmless.contains(&member.as_str()))
        .filter(|method| !caller.called.contains(method))
        .collect();
    assert!(missing.is_empty(), "methods without a hostile call: {missing:?}");
}

/// Options with a storage and one more.
fn with<'a>(storage: &'a [u8], key: &'a str, value: Variant<'a>) -> Dict<'a> {
    HashMap::from([("storage", Variant::from(storage)), (key, value)])
}

async fn hostile_sign_ins(caller: &mut Caller, world: &World) {
    let folder = world.folder().join("new storage");
    fs::create_dir(&folder).unwrap();
    let new = folder.clone().into_os_string().into_encoded_bytes();
    let long = [&b"/"[..], &vec![b'x'; 5000]].concat();
    let paths: [&[u8]; 8] =
        [b"", b"/", b"relative", b"/a\0b", b"/tmp/../etc", b"/tmp/./x", &long, &vec![b'/'; MIB]];
    for member in ["Inspect", "SignIn"] {
        for path in paths {
            let options = Dict::from([("storage", Variant::from(path))]);
            sign_in(caller, member, "local", "bob", &options).await;
            let root: Vec<(&str, &[u8])> = vec![("photos", path)];
            if !path.is_empty() {
                sign_in(caller, member, "local", "bob", &with(&new, "collections", root.into()))
                    .await;
            }
        }
        for provider in ["", "Local", "nextcloud", "local\0", "../local", &"x".repeat(MIB)] {
            if !provider.contains('\0') {
                sign_in(caller, member, provider, "bob", &with(&new, "create", true.into())).await;
            }
        }
        let huge = "x".repeat(MIB);
        let lists: [Vec<(&str, &[u8])>; 7] = [
            vec![(&huge, b"")],
            vec![],
            vec![("photos", b""), ("photos", b"")],
            vec![("Photos", b"")],
            vec![("../etc", b"")],
            vec![("", b"")],
            vec![("photos", b"/x"); 100_000],
        ];
        for list in lists {
            sign_in(caller, member, "local", "bob", &with(&new, "collections", list.into())).await;
        }
        sign_in(caller, member, "local", "bob", &Dict::new()).await;
        for (key, value) in [
            ("collections", Variant::from("photos")),
            ("adopt", Variant::from("yes")),
            ("create", Variant::from(1u32)),
            ("password", Variant::from("secret")),
            ("device", Variant::from(vec![1u8])),
            ("recovery-code", Variant::from(3i32)),
        ] {
            let options = with(&new, key, value);
            match member {
                "Inspect" => {
                    caller.expect_wrong_type(MANAGER, member, &("local", options)).await;
                }
                _ => caller.expect_wrong_type(MANAGER, member, &("local", "bob", options)).await,
            }
        }
    }
    let names = [
        "", "a\nb", "a/b", "..", ".hidden", "-rf", " bob", "🐚", "bob\u{202e}", "a b",
        &"x".repeat(65), &"x".repeat(MIB),
    ];
    for name in names {
        sign_in(caller, "SignIn", "local", name, &with(&new, "create", true.into())).await;
    }
    for device in ["", " x", ".x", "a/b", "a\nb", &"x".repeat(65), &"x".repeat(MIB)] {
        sign_in(caller, "SignIn", "local", "bob", &with(&new, "device", device.into())).await;
    }
    // No consent, no password, nobody for the code.
    sign_in(caller, "SignIn", "local", "bob", &with(&new, "create", false.into())).await;
    sign_in(caller, "SignIn", "local", "bob", &with(&new, "create", true.into())).await;
    assert!(world.manifest(folder).0.is_empty(), "nothing was made");
    caller.ping().await;
}

async fn sign_in(caller: &mut Caller, member: &str, provider: &str, name: &str, options: &Dict<'_>) {
    match member {
        "Inspect" => caller.expect(MANAGER, member, &(provider, options), "InvalidArgument").await,
        _ => caller.expect(MANAGER, member, &(provider, name, options), "InvalidArgument").await,
    }
}

async fn hostile_questions(caller: &mut Caller) {
    let id = caller.account.rsplit('/').next().unwrap().to_owned();
    let huge = "x".repeat(MIB);
    let nobody = ["", "a0000000000000000", "../..", "a\nb", &huge];
    for account in nobody {
        let question = ("sign-out", account, "person");
        caller.expect(MANAGER, "ExplainPolicy", &question, "NotFound").await;
    }
    for word in ["", "Sign-Out", "wipe", "sign-out\n", &huge] {
        let (verb, actor) = ((word, id.as_str(), "person"), ("sign-out", id.as_str(), word));
        caller.expect(MANAGER, "ExplainPolicy", &verb, "InvalidArgument").await;
        caller.expect(MANAGER, "ExplainPolicy", &actor, "InvalidArgument").await;
    }
    for receipt in ["", "..", "../../etc/passwd", "/etc/passwd", "a/b", ".hidden", "a\nb", &huge] {
        caller.expect(MANAGER, "ReadReceipt", &(receipt,), "InvalidArgument").await;
    }
    let unknown = ("20000101T000000Z-alice-00000000",);
    caller.expect(MANAGER, "ReadReceipt", &unknown, "NotFound").await;
    for word in ["", "a\nb", "a\u{1b}[2J", &huge] {
        let wrong = [
            (word, "an app", "it writes", "delay"),
            ("sign-out", word, "it writes", "delay"),
            ("sign-out", "an app", word, "delay"),
            ("sign-out", "an app", "it writes", word),
        ];
        for arguments in wrong {
            caller.expect(MANAGER, "Inhibit", &arguments, "InvalidArgument").await;
        }
    }
}

async fn hostile_sign_outs(caller: &mut Caller) {
    let huge = "x".repeat(MIB);
    let lists: [Vec<&str>; 7] = [
        vec![&huge],
        vec!["nothing"],
        vec![""],
        vec!["photos", "../etc"],
        vec!["PHOTOS"],
        vec!["photos"; 17],
        vec!["photos"; 100_000],
    ];
    for list in lists {
        let keep = Dict::from([("keep", Variant::from(list))]);
        caller.expect(ACCOUNT, "PlanSignOut", &(&keep,), "InvalidArgument").await;
        caller.expect(ACCOUNT, "SignOut", &("", &keep), "InvalidArgument").await;
    }
    for wrong in [Variant::from("photos"), Variant::from(true), Variant::from(vec![1u8])] {
        let keep = Dict::from([("keep", wrong)]);
        caller.expect_wrong_type(ACCOUNT, "PlanSignOut", &(&keep,)).await;
        caller.expect_wrong_type(ACCOUNT, "SignOut", &("", &keep)).await;
    }
    let none = Dict::new();
    let long = "0".repeat(MIB);
    caller.expect(ACCOUNT, "SignOut", &(long, &none), "InvalidArgument").await;
    for digest in ["", "0", "0123456789abcdef0123456789abcdef", "../../etc/passwd", "🐚"] {
        caller.expect(ACCOUNT, "SignOut", &(digest, &none), "PlanStale").await;
    }
}

async fn jobs_that_have_ended(caller: &mut Caller) {
    caller.expect(JOB, "Cancel", &(), "InvalidArgument").await;
    caller.expect(JOB, "Retry", &(Dict::new(),), "InvalidArgument").await;
    caller.expect(JOB, "Authenticate", &(piped(PASSWORD),), "InvalidArgument").await;
    let wrong = Dict::from([("keep-here", Variant::from("yes"))]);
    caller.expect_wrong_type(JOB, "Retry", &(wrong,)).await;
}

async fn objects_that_are_not_there(caller: &mut Caller) {
    let none = Dict::new();
    for path in ["/", "/org/mooring1/accounts/a0", "/org/mooring1/jobs/999", "/org/mooring1/jobs"] {
        for (interface, member) in [(ACCOUNT, "PlanSignOut"), (FILES, "Sync"), (JOB, "Cancel")] {
            let (name, _) = caller.refused_at(path, interface, member, &(&none,)).await;
            let unknown = ["UnknownObject", "UnknownInterface", "UnknownMethod"];
            let known = unknown.map(|kind| format!("org.freedesktop.DBus.Error.{kind}"));
            assert!(known.contains(&name), "{path} {member}: {name}");
        }
    }
    let (name, _) = caller.refused_at("/org/mooring1", MANAGER, "Forget", &()).await;
    assert_eq!(name, "org.freedesktop.DBus.Error.UnknownMethod");
    caller.called.remove(&(MANAGER.to_owned(), "Forget".to_owned()));
}

#[tokio::test]
async fn keys_that_nobody_knows_are_ignored() {
    let world = World::new();
    let (_daemon, _) = signed_in(&world).await;
    let account = world.account(ALICE).await.unwrap();
    let known = account.plan_sign_out(PlanOptions::default()).await.unwrap().digest;
    let later = Dict::from([("of-a-later-version", Variant::from(7u32))]);
    let call = account.inner().call_method("PlanSignOut", &(later,)).await.unwrap();
    let plan: mooring_api::Plan = call.body().deserialize().unwrap();
    assert_eq!(plan.digest, known);
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    const CLIENTS: usize = 24;
    let world = World::new();
    let (_daemon, before) = signed_in(&world).await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let (account, files) = (world.account(ALICE).await.unwrap(), world.files(ALICE).await);
        clients.push(tokio::spawn(async move {
            // Whoever comes second is told so; nobody is left without an answer.
            let told = if n % 2 == 0 {
                account.plan_sign_out(PlanOptions::default()).await.map(drop)
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
        tokio::time::timeout(PATIENCE, client).await.unwrap().unwrap();
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
    let job = vanishing.begin_sign_out(&world).await.inner().path().to_owned();
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
