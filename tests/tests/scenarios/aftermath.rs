//! What must hold after something died: nobody is left waiting, and every file is where it should
//! be, with its bytes, its mode and its time.

use mooring_api::Error;
use mooring_tests::{Manifest, Output, Running, World};

use crate::stage::{ALICE, Client, PASSWORD, belongings, copies, piped, remains, sign_in};

/// One verb of Alice's life, by its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    SignIn,
    Sync,
    SignOut,
}

impl Verb {
    pub async fn start(self, world: &World) -> Running {
        let ctl = match self {
            Self::SignIn => sign_in(world).password(PASSWORD),
            Self::Sync => world.ctl(&["sync", ALICE, "--wait"]),
            Self::SignOut => world.ctl(&["sign-out", ALICE, "--yes"]).password(PASSWORD),
        };
        ctl.start().await
    }
}

/// Waits until no job of Alice's is under way, and gives the password to one that has lost it.
pub async fn settle(world: &World) {
    let mut client = Client::new(world).await;
    let Some(account) = client.account(world).await else {
        return;
    };
    let connection = client.connection.clone();
    client
        .until("the end of a job that goes on by itself", async || {
            let path = match account.job().await {
                Ok(path) if path.as_str() == "/" => return Some(()),
                Ok(path) => path,
                // It is signed out.
                Err(_) => return Some(()),
            };
            let builder = mooring_api::JobProxy::builder(&connection).path(path);
            let job = builder.build().await.unwrap();
            let Ok(blocked) = job.blocked().await else {
                return None;
            };
            match blocked.error.as_str() {
                "" => None,
                "ReauthRequired" => {
                    match job.authenticate(piped(PASSWORD)).await {
                        // It went on before it heard of this.
                        Ok(()) | Err(Error::InvalidArgument(_)) => None,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                _ => panic!("{blocked:?}"),
            }
        })
        .await;
}

/// What must hold after a sign-out, whatever died.
pub async fn is_gone(world: &World, before: &Manifest) {
    before.assert_same(&copies(world));
    assert_eq!(remains(world), 0, "files are left on the device");
    let left = world.manifest(world.account_folder(ALICE));
    let left: Vec<_> = left
        .0
        .keys()
        .map(|name| String::from_utf8_lossy(name))
        .collect();
    assert!(
        !world.account_folder(ALICE).exists(),
        "left on the device: {left:?}"
    );
    assert!(world.account(ALICE).await.is_none());
    let manager = world.manager().await;
    let receipts = manager.list_receipts().await.unwrap();
    let receipt = receipts.first().unwrap();
    assert_eq!(
        (receipt.removed, receipt.left),
        (before.files() as u64, 0),
        "what the receipt says: {receipts:?}"
    );
    let text = manager.read_receipt(&receipt.id).await.unwrap();
    let sum = |key: &str| -> u64 {
        text.lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
            .map(|number| number.parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(sum("removed-files"), before.files() as u64, "{text}");
    assert_eq!(sum("removed-bytes"), bytes(before), "{text}");
    assert_eq!(sum("kept-files"), 0, "{text}");
}

fn bytes(manifest: &Manifest) -> u64 {
    let sizes = manifest.0.values().map(|entry| match entry.kind {
        mooring_tests::Kind::File(size, _) => size,
        _ => 0,
    });
    sizes.sum()
}

/// What must hold after a sign-in that brought everything back.
pub async fn is_back(world: &World, before: &Manifest, told: Option<Output>) {
    before.assert_same(&belongings(world));
    before.assert_same(&copies(world));
    if let Some(told) = told {
        let checked = format!("{0} of {0} checked", before.files());
        assert!(told.stdout.contains(&checked), "{told:?}");
    }
    let account = world.account(ALICE).await.unwrap();
    assert_eq!(account.state().await.unwrap(), "active");
    let again = world.ctl(&["sync", ALICE, "--wait"]).run().await;
    let told = again.expect_code(0).stdout;
    assert!(told.contains("Nothing had to be carried over."), "{told}");
    before.assert_same(&belongings(world));
    before.assert_same(&copies(world));
}
