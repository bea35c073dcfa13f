//! The shapes of `--json`: kebab-case keys, sizes in bytes, times in seconds since the Unix epoch.
//!
//! A path is a string; where it is not UTF-8, unknown bytes are U+FFFD and the exact bytes follow,
//! in hexadecimal, under the same key with `-bytes`.

use std::fmt::Write as _;

use mooring_api::{
    Blocked, CollectionStatus, Denial, JobOutcome, LastBackup, Plan, PlanCollection,
    PolicyDecision, PolicyStatus, Progress, ReceiptSummary,
};
use serde_json::{Map, Value, json};
use zbus::OwnedObjectPath;

use crate::bus::{Account, JobState, job_number};
use crate::text;

/// The text of a document, in one line. Characters that could steer a terminal are escaped; they
/// can only stand inside strings, where `\uXXXX` means the same.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if text::is_unsafe(c) {
            // All of them lie in the basic plane. Writing into a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Puts a path under `key`, and its bytes beside it where they are not UTF-8.
fn put_path(object: &mut Map<String, Value>, key: &str, path: &[u8]) {
    object.insert(key.to_owned(), String::from_utf8_lossy(path).into());
    if std::str::from_utf8(path).is_err() {
        object.insert(format!("{key}-bytes"), hex(path).into());
    }
}

/// Puts paths under `key`; where one is not UTF-8, the bytes of all of them beside it.
fn put_paths(object: &mut Map<String, Value>, key: &str, paths: &[Vec<u8>]) {
    let lossy: Vec<_> = paths.iter().map(|p| String::from_utf8_lossy(p)).collect();
    object.insert(key.to_owned(), json!(lossy));
    if paths.iter().any(|p| std::str::from_utf8(p).is_err()) {
        let exact: Vec<_> = paths.iter().map(|p| hex(p)).collect();
        object.insert(format!("{key}-bytes"), json!(exact));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// An account and its files.
pub fn account(account: &Account) -> Value {
    let state = &account.state;
    let mut out = object(json!({
        "id": state.id,
        "identity": state.identity,
        "provider": state.provider,
        "state": state.state,
        "state-detail": state.state_detail,
        "state-message": state.state_message,
        "signed-in-at": state.signed_in_at,
        "job": job_ref(&state.job),
    }));
    put_path(&mut out, "storage", &state.storage);
    if let Some(files) = &account.files {
        out.insert("last-sync".to_owned(), files.last_sync.into());
        let backup = files.last_backup.as_ref().filter(|last| last.when > 0);
        out.insert(
            "last-backup".to_owned(),
            backup.map_or(Value::Null, last_backup),
        );
        out.insert("paused".to_owned(), files.paused.into());
        let resting = files.resting.as_deref().unwrap_or_default();
        out.insert("resting".to_owned(), resting.into());
        let collections: Vec<Value> = files.collections.iter().map(collection).collect();
        out.insert("collections".to_owned(), collections.into());
    }
    Value::Object(out)
}

/// The last backup.
fn last_backup(last: &LastBackup) -> Value {
    let mut out = object(json!({
        "when": last.when,
        "files": last.files,
        "bytes": last.bytes,
        "missing": last.missing,
    }));
    put_path(&mut out, "path", &last.path);
    Value::Object(out)
}

fn collection(c: &CollectionStatus) -> Value {
    let mut out = object(json!({
        "name": c.name,
        "mode": c.mode,
        "items": c.items,
        "bytes": c.bytes,
        "unsynced": c.unsynced,
        "held": c.held,
        "conflicts": c.conflicts,
        "verified": c.verified,
        "here-before": c.here_before,
        "skipped": c.skipped,
        "bad-lines": c.bad_lines,
    }));
    put_path(&mut out, "root", &c.root);
    Value::Object(out)
}

/// A job by its number and path; null for none.
pub fn job_ref(path: &OwnedObjectPath) -> Value {
    match job_number(path).parse::<u64>() {
        Ok(number) => json!({ "number": number, "path": path.as_str() }),
        Err(_) => Value::Null,
    }
}

/// A job and how it stands.
pub fn job(path: &OwnedObjectPath, state: &JobState) -> Value {
    json!({
        "number": state.number,
        "path": path.as_str(),
        "kind": state.kind,
        "account": state.account.as_str().rsplit('/').next(),
        "stages": state.stages,
        "stage": state.stage,
        "state": state.state,
        "cancellable": state.cancellable,
        "progress": progress(&state.progress),
        "blocked": blocked(&state.blocked),
        "outcome": if state.state == "finished" { outcome(&state.outcome) } else { Value::Null },
    })
}

fn progress(p: &Progress) -> Value {
    json!({
        "activity": p.activity,
        "done": p.done,
        "total": p.total,
        "done-bytes": p.done_bytes,
        "total-bytes": p.total_bytes,
    })
}

fn blocked(b: &Blocked) -> Value {
    if b.error.is_empty() {
        return Value::Null;
    }
    let mut out = object(json!({
        "error": b.error,
        "message": b.message,
        "next-attempt": b.next_attempt,
        "items-total": b.items_total,
    }));
    put_paths(&mut out, "items", &b.items);
    Value::Object(out)
}

/// How a job ended.
pub fn outcome(o: &JobOutcome) -> Value {
    let mut out = object(json!({
        "success": o.success,
        "error": o.error,
        "message": o.message,
        "receipt": o.receipt,
        "uploaded": o.uploaded,
        "downloaded": o.downloaded,
        "moved": o.moved,
        "adopted": o.adopted,
        "conflicts": o.conflicts,
        "held": o.held,
        "deleted": o.deleted,
        "pending-total": o.pending_total,
        "removed": o.removed,
        "kept": o.kept,
        "left": o.left,
        "gone-before": o.gone_before,
    }));
    put_paths(&mut out, "pending", &o.pending);
    out.insert("copied".to_owned(), o.copied.into());
    out.insert("copied-bytes".to_owned(), o.copied_bytes.into());
    put_path(&mut out, "path", &o.path);
    let problems = o.problems.iter().map(problem).collect();
    out.insert("problems".to_owned(), Value::Array(problems));
    out.insert("problems-total".to_owned(), o.problems_total.into());
    let mut returned = object(json!({
        "receipt": o.returned.receipt,
        "expected": o.returned.expected,
        "checked": o.returned.checked,
        "changed-since": o.returned.changed_since,
        "deleted-since": o.returned.deleted_since,
        "held": o.returned.held,
        "missing-total": o.returned.missing_total,
    }));
    put_paths(&mut returned, "missing", &o.returned.missing);
    out.insert("returned".to_owned(), Value::Object(returned));
    Value::Object(out)
}

fn problem(p: &mooring_api::Problem) -> Value {
    let mut out = object(json!({ "reason": p.reason }));
    put_path(&mut out, "path", &p.path);
    Value::Object(out)
}

/// How a file stands.
pub fn why(file: &[u8], account: Option<&str>, w: &mooring_api::WhyAnswer) -> Value {
    let mut out = object(json!({
        "account": account,
        "state": w.state,
        "reason": w.reason,
        "next": w.next,
        "collection": w.collection,
        "read-back-at": w.read_back_at,
        "unseen": w.unseen,
    }));
    put_path(&mut out, "file", file);
    put_paths(&mut out, "copies", &w.copies);
    Value::Object(out)
}

/// What a sign-out would do.
pub fn plan(p: &Plan) -> Value {
    let collections: Vec<Value> = p.collections.iter().map(plan_collection).collect();
    let blockers: Vec<Value> = p
        .blockers
        .iter()
        .map(|b| json!({ "error": b.error, "message": b.message }))
        .collect();
    let mut out = object(json!({
        "digest": p.digest,
        "verb": p.verb,
        "identity": p.identity,
        "collections": collections,
        "blockers": blockers,
        "warnings": p.warnings,
        "policy": decision(&p.policy),
        "last-sync": p.last_sync,
    }));
    put_path(&mut out, "storage", &p.storage);
    Value::Object(out)
}

fn plan_collection(c: &PlanCollection) -> Value {
    let mut out = object(json!({
        "name": c.name,
        "keep": c.keep,
        "items": c.items,
        "bytes": c.bytes,
        "here-before": c.here_before,
        "unsynced": c.unsynced,
        "to-read-back": c.to_read_back,
        "held": c.held,
        "conflicts": c.conflicts,
        "hard-links": c.hard_links,
        "stays": c.stays,
        "losses": c.losses,
    }));
    put_path(&mut out, "root", &c.root);
    put_paths(&mut out, "stays-names", &c.stays_names);
    Value::Object(out)
}

/// What policy decides.
pub fn decision(d: &PolicyDecision) -> Value {
    let denials: Vec<Value> = d.denials.iter().map(denial).collect();
    json!({
        "verb": d.verb,
        "actor": d.actor,
        "allowed": d.allowed,
        "data": d.data,
        "denials": denials,
        "explanation": d.explanation,
        "known": d.known,
        "enforced": d.enforced,
    })
}

fn denial(d: &Denial) -> Value {
    json!({
        "organisation": d.organisation,
        "rule": d.rule,
        "file": d.file,
        "line": d.line,
        "reason": d.reason,
        "contact": d.contact,
    })
}

/// The policy in force.
pub fn policy(p: &PolicyStatus) -> Value {
    json!({
        "state": p.state,
        "files": p.files,
        "problems": p.problems,
        "effective": p.effective,
        "enforced": p.enforced,
        "bundle": bundle(p),
    })
}

/// The signed bundle in force; null when there is none.
pub fn bundle(p: &PolicyStatus) -> Value {
    if p.bundle_version == 0 {
        return Value::Null;
    }
    json!({
        "organisation": p.bundle_organisation,
        "version": p.bundle_version,
        "expires": p.bundle_expires,
        "key": p.bundle_key,
    })
}

/// A receipt in the list.
pub fn receipt(r: &ReceiptSummary) -> Value {
    let mut out = object(json!({
        "id": r.id,
        "identity": r.identity,
        "when": r.when,
        "removed": r.removed,
        "left": r.left,
    }));
    put_path(&mut out, "path", &r.path);
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_beside_paths_that_are_not_text() {
        let mut out = Map::new();
        put_path(&mut out, "root", b"/home/a");
        put_path(&mut out, "path", b"/h\xff");
        put_paths(&mut out, "items", &[b"a".to_vec(), b"\xfe".to_vec()]);
        let expected = json!({
            "root": "/home/a",
            "path": "/h\u{fffd}", "path-bytes": "2f68ff",
            "items": ["a", "\u{fffd}"], "items-bytes": ["61", "fe"],
        });
        assert_eq!(Value::Object(out), expected);
    }

    #[test]
    fn documents_cannot_drive_the_terminal() {
        let text = text(&json!({ "a": "\u{1b}[2J\u{9b}1m\u{202e}" }));
        assert_eq!(text, r#"{"a":"\u001b[2J\u009b1m\u202e"}"#);
    }
}
