//! The numbers of a report in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). No person and no account is
//! named: what is exported goes further than who may look at it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;

use crate::exit::{Exit, Failure, Result};
use crate::text;

/// Every state of a policy, so that a series does not vanish when the state changes.
const POLICY_STATES: [&str; 5] = ["none", "in-force", "last-good", "expired", "invalid"];

/// The metrics of a report.
pub fn text(report: &Value) -> String {
    let accounts = report["accounts"].as_array().map_or(&[][..], Vec::as_slice);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut out = Metrics::default();
    out.head(
        "mooring_accounts",
        "Accounts on this device by their state.",
    );
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for account in accounts {
        *states
            .entry(account["state"].as_str().unwrap_or(""))
            .or_default() += 1;
    }
    for (state, count) in states {
        out.sample("mooring_accounts", Some(("state", state)), count);
    }
    let synced = accounts.iter().map(|a| number(&a["last-sync"])).min();
    out.one(
        "mooring_last_sync_timestamp_seconds",
        "When the account that waits longest was last in sync; 0: one never was, or there is none.",
        synced.unwrap_or_default(),
    );
    let waiting = accounts.iter().map(|a| number(&a["waiting"])).sum();
    out.one(
        "mooring_files_waiting",
        "Files that are not in sync.",
        waiting,
    );
    let paused = accounts.iter().filter(|a| a["paused"] == true).count();
    out.one(
        "mooring_accounts_paused",
        "Accounts that a person paused: what waits there is as it was last seen.",
        paused as u64,
    );
    let policy = &report["policy"];
    out.head(
        "mooring_policy_state",
        "1 for the state that the policy is in.",
    );
    for state in POLICY_STATES {
        let here = u64::from(policy["state"] == state);
        out.sample("mooring_policy_state", Some(("state", state)), here);
    }
    out.one(
        "mooring_policy_problems",
        "What is wrong with policy and settings: files, contradictions, required accounts that are \
         not here.",
        policy["problems"]
            .as_array()
            .map_or(0, |all| all.len() as u64),
    );
    let bundle = &policy["bundle"];
    out.one(
        "mooring_policy_bundle_version",
        "Version of the signed bundle in force; 0: there is none.",
        number(&bundle["version"]),
    );
    out.one(
        "mooring_policy_bundle_expires_timestamp_seconds",
        "When the signed bundle has to have been renewed; 0: there is none.",
        number(&bundle["expires"]),
    );
    out.one(
        "mooring_sign_outs",
        "Receipts of sign-outs on this device.",
        number(&report["sign-outs"]),
    );
    let name = "mooring_sign_outs_refused_total";
    out.head_of(
        name,
        "Sign-outs that were refused, or held up, by the reason.",
        "counter",
    );
    for (reason, times) in report["refused-sign-outs"]
        .as_object()
        .into_iter()
        .flatten()
    {
        out.sample(name, Some(("reason", reason)), number(times));
    }
    out.one(
        "mooring_report_timestamp_seconds",
        "When these numbers were taken.",
        number(&report["when"]),
    );
    out.0
}

#[derive(Default)]
struct Metrics(String);

impl Metrics {
    fn head(&mut self, name: &str, help: &str) {
        self.head_of(name, help, "gauge");
    }

    fn head_of(&mut self, name: &str, help: &str, kind: &str) {
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: u64) {
        let label = label.map_or_else(String::new, |(key, word)| {
            let word = word
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{{{key}=\"{word}\"}}")
        });
        self.0.push_str(&format!("{name}{label} {value}\n"));
    }

    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help);
        self.sample(name, None, value);
    }
}

/// Puts the text into the file's place in one step: whoever collects it never reads half.
///
/// # Errors
/// [`Exit::Failed`] when it cannot be written; then the file is as before.
pub fn write(file: &Path, content: &str) -> Result<()> {
    let shown = text::os(file);
    let fail =
        |e: std::io::Error| Failure::new(Exit::Failed, format!("{shown} cannot be written: {e}."));
    // The collector reads `*.prom` only.
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits())
        .open(&new)
        .and_then(|mut out| out.write_all(content.as_bytes()))
        .and_then(|()| fs::rename(&new, file));
    written.map_err(fail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde_json::json;

    use super::*;

    /// Holds a text to the format, line by line; answers the samples.
    fn strictly(text: &str) -> BTreeMap<String, f64> {
        let mut samples = BTreeMap::new();
        let mut described = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                described = rest.split(' ').next().unwrap().to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let kind = match described.ends_with("_total") {
                    true => "counter",
                    false => "gauge",
                };
                assert_eq!(rest, format!("{described} {kind}"));
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                assert_eq!(bare, described, "a sample under another's head");
                assert!(bare.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
                assert!(name == bare || name.ends_with("\"}"), "{name}");
                let value = value.parse().unwrap();
                assert!(
                    samples.insert(name.to_owned(), value).is_none(),
                    "{name} twice"
                );
            }
        }
        assert!(text.ends_with('\n'));
        samples
    }

    #[test]
    fn the_numbers_are_there_and_nobody_is_named() {
        let report = json!({
            "when": 1_795_543_200,
            "policy": { "state": "expired", "bundle": { "version": 12, "expires": 7 } },
            "accounts": [
                { "identity": "alice", "state": "active", "last-sync": 20, "waiting": 2 },
                { "identity": "bob", "state": "active", "last-sync": 10, "waiting": 1 },
                { "identity": "eve", "state": "ne\"w", "last-sync": 30, "waiting": 0 },
            ],
            "sign-outs": 3,
            "refused-sign-outs": { "policy": 4, "unsynced": 0 },
        });
        let text = text(&report);
        let samples = strictly(&text);
        for (name, value) in [
            ("mooring_accounts{state=\"active\"}", 2.0),
            ("mooring_accounts{state=\"ne\\\"w\"}", 1.0),
            ("mooring_last_sync_timestamp_seconds", 10.0),
            ("mooring_files_waiting", 3.0),
            ("mooring_policy_state{state=\"expired\"}", 1.0),
            ("mooring_policy_state{state=\"in-force\"}", 0.0),
            ("mooring_policy_bundle_version", 12.0),
            ("mooring_sign_outs", 3.0),
            ("mooring_sign_outs_refused_total{reason=\"policy\"}", 4.0),
            ("mooring_sign_outs_refused_total{reason=\"unsynced\"}", 0.0),
        ] {
            assert_eq!(samples.get(name), Some(&value), "{name}");
        }
        assert!(!text.contains("alice"));
    }

    #[test]
    fn a_file_is_exchanged_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mooring.prom");
        write(&file, "a 1\n").unwrap();
        write(&file, "a 2\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a 2\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no/mooring.prom"), "").is_err());
    }
}
