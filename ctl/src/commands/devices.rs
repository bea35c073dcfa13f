//! `devices`: the devices that use an account's storage, and asking one of them to sign out.

use clap::{Args, Subcommand};
use mooring_api::{Device, DevicesProxy};
use serde_json::{Value, json};
use zbus::proxy::CacheProperties;

use crate::bus::Account;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Result};
use crate::table::Align;
use crate::text;

/// Options of `devices`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Devices {
    /// The identity or the ID; may be left out when there is one account
    account: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask another device to sign out: it checks that every file is safe, then removes it there
    SignOut(SignOut),
}

#[derive(Debug, Args)]
struct SignOut {
    /// The device's name, or its sign-in ID
    device: String,
    /// The identity or the ID; may be left out when there is one account
    #[arg(long)]
    account: Option<String>,
    /// Answer yes to the question
    #[arg(long)]
    yes: bool,
}

/// Lists the devices, or asks one to sign out.
///
/// # Errors
/// [`Exit::Usage`] when a name fits several devices, or there is nobody to confirm; otherwise
/// whatever the daemon answers.
pub async fn run(context: &Context<'_>, args: Devices) -> Result<Value> {
    match args.command {
        None => list(context, args.account.as_deref()).await,
        Some(Command::SignOut(args)) => sign_out(context, &args).await,
    }
}

async fn look(
    context: &Context<'_>,
    account: Option<&str>,
) -> Result<(Account, DevicesProxy<'static>, Vec<Device>)> {
    let account = context.daemon.account(account).await?;
    let proxy = DevicesProxy::builder(context.daemon.connection())
        .path(account.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let devices = proxy.list().await?;
    Ok((account, proxy, devices))
}

async fn list(context: &Context<'_>, account: Option<&str>) -> Result<Value> {
    let (account, _, devices) = look(context, account).await?;
    let terminal = context.terminal;
    let now = text::now();
    let head = [
        "Device",
        "Last seen",
        "Pending",
        "State",
        "Sign-in or receipt",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(devices.iter().map(|device| row(device, now)));
    let columns = [
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Left,
        Align::Left,
    ];
    terminal.table(&columns, &rows);
    for device in devices.iter().filter(|device| !device.message.is_empty()) {
        let name = text::path(device.name.as_bytes());
        context.warn(&format!("{name}: {}", device.message));
    }
    Ok(document(&account, &devices))
}

fn row(device: &Device, now: u64) -> Vec<String> {
    let here = if device.this { " (this one)" } else { "" };
    let seen = match device.state.as_str() {
        "unreadable" => "-".to_owned(),
        "left" => text::timestamp(device.last_seen),
        _ => text::ago(device.last_seen, now),
    };
    let identifier = match device.state.as_str() {
        "left" => &device.receipt,
        _ => &device.sign_in_id,
    };
    vec![
        format!("{}{here}", text::path(device.name.as_bytes())),
        seen,
        match device.state.as_str() {
            "left" | "unreadable" => "-".to_owned(),
            _ => text::number(device.pending.saturating_add(device.held)),
        },
        state_words(&device.state),
        text::path(identifier.as_bytes()),
    ]
}

/// The words for a device's state.
fn state_words(state: &str) -> String {
    match state {
        "active" => "signed in",
        "asked" => "asked to sign out",
        "waiting" => "asked to sign out, and waits",
        "signing-out" => "signing out",
        "blocked" => "signing out, but waits",
        "denied" => "refused to sign out",
        "cancelled" => "did not sign out",
        "left" => "signed out",
        "unreadable" => "cannot be read",
        other => return text::path(other.as_bytes()),
    }
    .to_owned()
}

fn document(account: &Account, devices: &[Device]) -> Value {
    json!({
        "account": account.state.id,
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
    })
}

fn device(device: &Device) -> Value {
    json!({
        "name": device.name,
        "sign-in-id": device.sign_in_id,
        "this": device.this,
        "identity": device.identity,
        "collections": device.collections,
        "pending": device.pending,
        "held": device.held,
        "last-seen": device.last_seen,
        "state": device.state,
        "message": device.message,
        "receipt": device.receipt,
    })
}

async fn sign_out(context: &Context<'_>, args: &SignOut) -> Result<Value> {
    let terminal = context.terminal;
    let (account, proxy, devices) = terminal
        .patient(look(context, args.account.as_deref()))
        .await?;
    let target = chosen(&devices, &args.device)?;
    let name = text::path(target.name.as_bytes());
    if !args.yes {
        let question = format!(
            "Ask {name} to sign {} out? It removes the files there once each is read back from \
             the storage.",
            text::path(account.state.identity.as_bytes())
        );
        if !terminal.confirm(&question).await? {
            return Err(Failure::new(Exit::Cancelled, "Nothing was asked."));
        }
    }
    let ask = async { Ok(proxy.sign_out(&target.sign_in_id).await?) };
    let request = terminal.patient(ask).await?;
    terminal.line(&format!(
        "{name} is asked to sign out. It does so when it sees this, if its own policy allows it; \
         `mooringctl devices` tells."
    ));
    // What it said to an earlier request says nothing about this one.
    let asked = Device {
        state: "asked".to_owned(),
        message: String::new(),
        ..target.clone()
    };
    Ok(json!({
        "account": account.state.id,
        "request": request,
        "device": device(&asked),
    }))
}

/// The device of this sign-in ID, or of this name.
fn chosen<'a>(devices: &'a [Device], wanted: &str) -> Result<&'a Device> {
    let here = || {
        devices
            .iter()
            .filter(|device| !device.sign_in_id.is_empty())
    };
    let target = match here().find(|device| device.sign_in_id == wanted) {
        Some(device) => device,
        None => named(here().filter(|device| device.name == wanted), wanted)?,
    };
    if target.this {
        return Err(Failure::usage("This is the device itself.")
            .hint("`mooringctl sign-out` signs out here."));
    }
    Ok(target)
}

fn named<'a>(fits: impl Iterator<Item = &'a Device>, wanted: &str) -> Result<&'a Device> {
    let fits: Vec<&Device> = fits.collect();
    match fits[..] {
        [device] => Ok(device),
        [] => {
            let shown = text::path(wanted.as_bytes());
            Err(
                Failure::new(Exit::Failed, format!("There is no device {shown}."))
                    .kind("NotFound")
                    .hint("`mooringctl devices` lists them."),
            )
        }
        _ => {
            let ids: Vec<String> = fits
                .iter()
                .map(|device| text::path(device.sign_in_id.as_bytes()))
                .collect();
            Err(
                Failure::usage("Several devices have this name: give the sign-in ID.")
                    .hint(format!("The IDs are {}.", ids.join(", "))),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn at(name: &str, id: &str, this: bool) -> Device {
        Device {
            name: name.to_owned(),
            sign_in_id: id.to_owned(),
            this,
            ..Device::default()
        }
    }

    #[test]
    fn a_device_is_chosen_by_a_name_that_is_clear_or_by_its_id() {
        let devices = [
            at("laptop", "a1", true),
            at("phone", "b2", false),
            at("phone", "c3", false),
            at("tablet", "d4", false),
            at("old", "", false),
        ];
        assert_eq!(chosen(&devices, "tablet").unwrap().sign_in_id, "d4");
        assert_eq!(chosen(&devices, "c3").unwrap().sign_in_id, "c3");
        let twice = chosen(&devices, "phone").unwrap_err();
        assert_eq!(twice.exit, Exit::Usage);
        assert!(twice.hint.contains("b2, c3"), "{}", twice.hint);
        assert_eq!(chosen(&devices, "laptop").unwrap_err().exit, Exit::Usage);
        for missing in ["old", "", "watch"] {
            assert_eq!(chosen(&devices, missing).unwrap_err().kind, "NotFound");
        }
    }
}
