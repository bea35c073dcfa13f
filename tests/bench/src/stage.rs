//! One person's machine on which both daemons find accounts.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use mooring_tests::World;
use tokio::task::JoinSet;

const PASSWORD: &str = "correct horse battery staple";
/// How long signing in may take in all; with fewer accounts than wanted, both have fewer.
const SIGN_INS: Duration = Duration::from_secs(300);
/// Sign-ins that are asked for at the same time.
const AT_ONCE: usize = 8;

/// A machine whose person signed in, and the daemons of which do not run.
pub struct Stage {
    pub world: World,
    /// Accounts of each daemon.
    pub accounts: usize,
}

impl Stage {
    /// Signs in to `wanted` accounts, each with a storage of its own, and writes as many for
    /// goa-daemon.
    pub async fn new(wanted: usize) -> Self {
        let world = World::new();
        // As people have it, but for the minute that a worker waits for more to do.
        world.sync_by_itself();
        let settings = world.config().join("mooring.toml");
        fs::write(settings, "[sync]\nidle-exit-seconds = 1\n").unwrap();
        let accounts = sign_in(&world, wanted).await;
        let folder = world.folder().join("config/goa-1.0");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("accounts.conf"), configuration(accounts)).unwrap();
        Self { world, accounts }
    }
}

/// Signs in as often as the time allows; answers how often that was.
async fn sign_in(world: &World, wanted: usize) -> usize {
    let daemon = world.daemon_with(&[("MOORING_LOG", "warn".as_ref())]).await;
    let started = Instant::now();
    let (mut begun, mut running) = (0, JoinSet::new());
    loop {
        while begun < wanted && running.len() < AT_ONCE && started.elapsed() < SIGN_INS {
            let storage = world.storage().join(begun.to_string());
            fs::create_dir(&storage).unwrap();
            let identity = identity(begun);
            let arguments = [
                "sign-in",
                "local",
                "--identity",
                &identity,
                "--collection",
                "documents",
                "--storage",
                storage.to_str().expect("a plain name"),
                "--yes",
            ];
            running.spawn(world.ctl(&arguments).password(PASSWORD).run());
            begun += 1;
        }
        let Some(output) = running.join_next().await else {
            break;
        };
        let _ = output.expect("no panic").expect_code(0);
    }
    let took = started.elapsed().as_secs_f64();
    eprintln!("{begun} of {wanted} accounts signed in within {took:.1} s");
    assert!(daemon.terminate().await.success());
    begun
}

fn identity(nr: usize) -> String {
    format!("person{nr}")
}

/// Mail accounts as goa-daemon 3.46 keeps them, turned off, at a server that cannot exist (RFC 6761).
fn configuration(accounts: usize) -> String {
    let mut text = String::new();
    for nr in 0..accounts {
        let name = identity(nr);
        write!(
            text,
            "[Account account_{nr}]\nProvider=imap_smtp\nEnabled=false\nMailEnabled=false\n\
             Identity={name}\nPresentationIdentity={name}@example.org\n\
             EmailAddress={name}@example.org\nName={name}\n\
             ImapHost=imap.invalid\nImapUserName={name}\nImapUseSsl=true\n\
             SmtpHost=smtp.invalid\nSmtpUseAuth=false\n\n"
        )
        .unwrap();
    }
    text
}
