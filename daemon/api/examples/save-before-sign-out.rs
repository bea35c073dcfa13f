//! An editor, without its window: it holds a text that is not saved, and saves it into the
//! account's Documents before that is signed out of this device.
//!
//! ```sh
//! cargo run -p mooring-api --example save-before-sign-out -- alice notes.txt "not saved yet"
//! ```
//!
//! It prints `ready` once it is sure to be waited for. The order matters: listen, then take the
//! lock; save, then close the lock. From then on the file is the account's, and leaves with it.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use mooring_api::{AccountProxy, BUS_NAME, FilesProxy, ManagerProxy, ROOT_PATH};
use zbus::export::futures_core::Stream;
use zbus::{Connection, fdo::ObjectManagerProxy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(identity), Some(name), Some(text)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: save-before-sign-out IDENTITY NAME TEXT".into());
    };
    let connection = Connection::session().await?;
    let account = find(&connection, &identity).await?;
    let folder = documents(&connection, &account).await?;

    let mut sign_outs = account.receive_signing_out().await?;
    let manager = ManagerProxy::new(&connection).await?;
    let lock = manager
        .inhibit("sign-out", "Example editor", "a text is not saved", "delay")
        .await?;
    println!("ready");

    // `false` tells of a sign-out that was given up: nothing to do.
    while let Some(signal) = next(&mut sign_outs).await {
        if signal.args()?.begins {
            break;
        }
    }
    save(&folder.join(name), &text)?;
    drop(lock);
    println!("saved");
    Ok(())
}

/// The account of an identity.
async fn find(
    connection: &Connection,
    identity: &str,
) -> Result<AccountProxy<'static>, Box<dyn Error>> {
    let objects = ObjectManagerProxy::builder(connection)
        .destination(BUS_NAME)
        .path(ROOT_PATH)
        .build()
        .await?;
    for (path, interfaces) in objects.get_managed_objects().await? {
        if !interfaces
            .keys()
            .any(|i| i.as_str() == "org.mooring1.Account")
        {
            continue;
        }
        let account = AccountProxy::builder(connection).path(path).build().await?;
        if account.identity().await? == identity {
            return Ok(account);
        }
    }
    Err(format!("{identity} is not signed in").into())
}

/// The folder of the account's documents.
async fn documents(
    connection: &Connection,
    account: &AccountProxy<'_>,
) -> Result<PathBuf, Box<dyn Error>> {
    let files = FilesProxy::builder(connection)
        .path(account.inner().path().to_owned())
        .build()
        .await?;
    let collections = files.collections().await?;
    let documents = collections.iter().find(|c| c.name == "documents");
    let root = &documents.ok_or("the account keeps no documents")?.root;
    Ok(PathBuf::from(OsStr::from_bytes(root)))
}

/// Writes a file so that it is there as a whole or not at all.
fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, path)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
