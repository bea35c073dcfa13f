//! What happens: one thing after another, chosen by chance, each told in a line, and after each the
//! checker's look.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mooring_tests::{Ctl, Output};
use serde_json::Value;

use crate::chance::Chance;
use crate::checker::{Checker, Violation, receipt_is_true};
use crate::device::{Device, IDENTITY};
use crate::disk::Disk;
use crate::ledger::Ledger;

/// How long an account may take to come to rest once nobody disturbs it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds of syncs in which both devices come in step.
const ROUNDS: usize = 12;
/// What `mooringctl` may end with when processes die and files change under it: everything that its
/// manual names.
const CODES: std::ops::RangeInclusive<i32> = 0..=7;
/// Every so many steps all comes to rest and is compared.
const REST_EVERY: u64 = 12;
/// The number of that among the things that happen; those before it are chosen by chance.
const REST: u64 = 21;
/// How often a daemon that died is looked for.
const CARE: Duration = Duration::from_millis(100);
/// A rule that forbids everything.
const DENY: &str = "[organisation]\nname = \"Torture\"\ncontact = \"nobody\"\n\n[[rule]]\nname = \
                    \"stay\"\nreason = \"Because.\"\nsign-out = \"deny\"\nactors = [\"person\", \
                    \"device\", \"organisation\"]\n";

/// What a full disk takes still, at most, in bytes: now a file, now half of one, now only its name.
const MOST_LEFT: u64 = 200_000;

/// Everything on the stage.
pub struct Stage {
    // Goes first: its folder is one of a device.
    disk: Option<Disk>,
    /// For so many more things that happen the disk is full.
    full_for: u64,
    chance: Chance,
    ledger: Arc<Mutex<Ledger>>,
    checker: Checker,
    devices: Vec<Device>,
    storage: PathBuf,
    password: String,
    kept: PathBuf,
    /// Whether a daemon died at its point since that was last told.
    struck: bool,
    done: BTreeMap<&'static str, u64>,
}

impl Stage {
    /// Two devices, signed in, at work.
    pub async fn new(seed: u64, kept: PathBuf, disks: bool) -> Self {
        let devices = vec![Device::new("left").await, Device::new("right").await];
        let disk = disks.then(|| Disk::new(&devices[0].world.folder().join("disk")));
        let storage = match &disk {
            // Below it: what is mounted cannot be taken away by a rename.
            Some(_) => devices[0].world.folder().join("disk/storage"),
            None => devices[0].world.storage(),
        };
        fs::create_dir_all(&storage).expect("the storage");
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let decoys = decoys(&devices, &storage);
        Self {
            disk,
            full_for: 0,
            chance: Chance::new(seed),
            checker: Checker::new(ledger.clone(), decoys),
            ledger,
            devices,
            storage,
            password: "the first password".to_owned(),
            kept,
            struck: false,
            done: BTreeMap::new(),
        }
    }

    /// How many contents were written, and how many are owed.
    pub fn counts(&self) -> (usize, usize) {
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .counts()
    }

    /// What was done how often.
    pub fn summary(&self) -> String {
        let words = self
            .done
            .iter()
            .map(|(what, times)| format!("{what} {times}"));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Keeps everything as it stands.
    pub fn keep(&mut self) {
        let _still: Vec<_> = self.devices.iter().map(Device::freeze).collect();
        fs::create_dir_all(&self.kept).expect("a folder to keep it in");
        for device in &self.devices {
            device.keep(&self.kept);
        }
    }

    /// One thing, and the look after it.
    ///
    /// # Errors
    /// With what is lost, touched, or told wrongly.
    pub async fn step(&mut self, nr: u64) -> Result<(), Violation> {
        let at = usize::try_from(self.chance.below(2)).unwrap_or(0);
        let rests = nr.is_multiple_of(REST_EVERY);
        let what = if rests { REST } else { self.chance.below(REST) };
        self.use_disk(rests);
        let begin = Instant::now();
        let told = self.act(at, what).await?;
        for device in &mut self.devices {
            self.struck |= device.care().await;
        }
        let died = if std::mem::take(&mut self.struck) {
            " (died at its point)"
        } else {
            ""
        };
        let name = self.devices[at].name;
        println!(
            "{nr:5} {:6} ms  {name}: {told}{died}",
            begin.elapsed().as_millis()
        );
        self.checker.nothing_is_lost(&self.devices, &self.storage)
    }

    async fn act(&mut self, at: usize, what: u64) -> Result<String, Violation> {
        let (name, told): (&'static str, String) = match what {
            0 | 1 => ("work", self.work(at).await),
            2 => ("kill", self.kill(at)),
            3 | 4 => (
                "point",
                self.devices[at].start_to_die(&mut self.chance).await,
            ),
            5 => ("restart", self.restart(at).await),
            6 | 7 => ("sync", self.call(at, &["sync", IDENTITY, "--wait"]).await?),
            8 => ("sign-out busy", self.sign_out(at, &[]).await?),
            9 => (
                "sign-out keep",
                self.sign_out(at, &["--keep", "documents"]).await?,
            ),
            10 => ("sign-out proof", self.sign_out_alone(at).await?),
            11 => ("sign-out remote", self.remote(at).await?),
            12 => ("backup", self.backup(at).await?),
            13 => ("restore", self.restore(at).await?),
            14 => ("policy", self.policy(at).await?),
            15 => ("password", self.change_password(at).await?),
            16 => {
                let verb = self.either("pause", "resume");
                ("pause", self.call(at, &[verb, IDENTITY]).await?)
            }
            17 => {
                let answer = self.either("--keep", "--delete");
                (
                    "resolve",
                    self.call(at, &["resolve", IDENTITY, answer]).await?,
                )
            }
            18 => ("undelete", self.undelete(at).await?),
            19 => ("storage away", self.storage_away().await),
            20 => ("storage full", self.storage_full()),
            _ => {
                self.rest().await?;
                for device in &mut self.devices {
                    let works = !self.chance.once_in(4);
                    device.works(works, &self.ledger, &mut self.chance);
                }
                ("rest", "all at rest, and the same everywhere".to_owned())
            }
        };
        *self.done.entry(name).or_default() += 1;
        let signed_in = self.sign_in(at).await?;
        Ok(format!("{name}: {told}{signed_in}"))
    }

    fn either(&mut self, one: &'static str, other: &'static str) -> &'static str {
        if self.chance.once_in(2) { one } else { other }
    }

    /// A call that may end in any way the manual names.
    async fn call(&mut self, at: usize, arguments: &[&str]) -> Result<String, Violation> {
        let call = self.devices[at].world.ctl(arguments);
        told(self.cared_for(call).await)
    }

    /// The end of a call, while daemons that die are started again.
    async fn cared_for(&mut self, call: Ctl) -> Output {
        let running = call.start().await;
        let mut output = pin!(running.output());
        loop {
            tokio::select! {
                output = &mut output => return output,
                () = tokio::time::sleep(CARE) => for device in &mut self.devices {
                    self.struck |= device.care().await;
                },
            }
        }
    }

    async fn work(&mut self, at: usize) -> String {
        let length = Duration::from_millis(200 + self.chance.below(2500));
        self.devices[at].works(true, &self.ledger, &mut self.chance);
        tokio::time::sleep(length).await;
        let stays = self.chance.once_in(2);
        self.devices[at].works(stays, &self.ledger, &mut self.chance);
        format!(
            "{} ms, {}",
            length.as_millis(),
            if stays { "goes on" } else { "rests" }
        )
    }

    fn kill(&mut self, at: usize) -> String {
        match self.chance.below(3) {
            0 => {
                self.devices[at].kill();
                "broker".to_owned()
            }
            1 => format!("worker ({})", self.devices[at].kill_worker()),
            _ => {
                self.devices.iter_mut().for_each(Device::kill);
                "everything".to_owned()
            }
        }
    }

    async fn restart(&mut self, at: usize) -> String {
        self.devices[at].restart().await;
        "SIGTERM".to_owned()
    }

    /// Signs in where nobody is, now and then.
    async fn sign_in(&mut self, at: usize) -> Result<String, Violation> {
        if self.devices[at].state().await != "none" || self.chance.once_in(3) {
            return Ok(String::new());
        }
        let device = &self.devices[at];
        let storage = self.storage.to_str().expect("a plain name");
        let arguments = [
            "sign-in",
            "local",
            "--identity",
            IDENTITY,
            "--storage",
            storage,
            "--device",
            device.name,
            "--adopt",
            "--yes",
        ];
        let call = device.world.ctl(&arguments).password(&self.password);
        let said = told(self.cared_for(call).await)?;
        self.devices[at].works(true, &self.ledger, &mut self.chance);
        Ok(format!("; signs in: {said}"))
    }

    /// A sign-out while people work and processes die.
    async fn sign_out(&mut self, at: usize, more: &[&str]) -> Result<String, Violation> {
        let mut arguments = vec!["sign-out", IDENTITY, "--yes"];
        arguments.extend_from_slice(more);
        if self.chance.once_in(2) {
            arguments.push("--keep-here");
        }
        let call = self.devices[at]
            .world
            .ctl(&arguments)
            .password(&self.password);
        if self.chance.once_in(2) {
            return told(self.cared_for(call).await);
        }
        let after = Duration::from_millis(self.chance.below(1500));
        let running = tokio::spawn(call.start().await.output());
        tokio::time::sleep(after).await;
        let what = self.kill(at);
        for device in &mut self.devices {
            device.care().await;
        }
        let said = told(running.await.map_err(|e| e.to_string())?)?;
        Ok(format!(
            "killed {what} after {} ms: {said}",
            after.as_millis()
        ))
    }

    /// A sign-out in which nobody else does anything: the receipt has to be exact.
    async fn sign_out_alone(&mut self, at: usize) -> Result<String, Violation> {
        self.rest().await?;
        let device = &self.devices[at];
        if device.state().await != "active" {
            return Ok("nobody is signed in".to_owned());
        }
        if self.checker.in_step(device, &self.storage, true).is_err() {
            return Ok("a conflict copy that was changed twice waits for a person".to_owned());
        }
        let before = self.checker.content(&device.root())?;
        let arguments = ["sign-out", IDENTITY, "--yes"];
        let output = device.ctl_with(&arguments, &self.password).await;
        if output.code != 0 {
            return Err(format!("a sign-out at rest fails: {output:?}"));
        }
        let after = self.checker.content(&device.root())?;
        receipt_is_true(device, &self.storage, &before, &after)?;
        let (gone, stay) = (before.len() - after.len(), after.len());
        Ok(format!("{gone} removed, {stay} stay, as the receipt says"))
    }

    /// One device signs the other out.
    async fn remote(&mut self, at: usize) -> Result<String, Violation> {
        let other = self.devices[1 - at].name;
        let arguments = ["devices", "sign-out", other, "--account", IDENTITY, "--yes"];
        let said = self.call(at, &arguments).await?;
        self.devices[1 - at].works(false, &self.ledger, &mut self.chance);
        Ok(format!("{other} is asked to leave: {said}"))
    }

    async fn backup(&mut self, at: usize) -> Result<String, Violation> {
        let to = self.devices[at].world.folder().join("backups");
        fs::create_dir_all(&to).map_err(|e| e.to_string())?;
        let to = to.to_str().expect("a plain name");
        let call = self.devices[at]
            .world
            .ctl(&["backup", IDENTITY, "--to", to, "--json"]);
        let output = self.cared_for(call).await;
        let whole = output.code == 0;
        let said = told(output)?;
        if !whole {
            return Ok(said);
        }
        let checked = check_newest_backup(to)?;
        Ok(format!(
            "{said}, {checked} files have the bytes that B3SUMS says"
        ))
    }

    async fn restore(&mut self, at: usize) -> Result<String, Violation> {
        let backups = self.devices[at].world.folder().join("backups");
        let Some(newest) = newest(&backups) else {
            return Ok("there is no backup yet".to_owned());
        };
        let newest = newest.to_str().expect("a plain name").to_owned();
        self.call(at, &["restore", IDENTITY, "--from", &newest])
            .await
    }

    /// A rule that denies comes, is heard, and goes.
    async fn policy(&mut self, at: usize) -> Result<String, Violation> {
        let device = &self.devices[at];
        let folder = device.world.config().join("policy.d");
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let file = folder.join("50-stay.toml");
        let broken = self.chance.once_in(3);
        let text = if broken {
            &DENY[..DENY.len() - 9]
        } else {
            DENY
        };
        fs::write(&file, text).map_err(|e| e.to_string())?;
        device
            .world
            .ctl(&["policy", "show"])
            .run()
            .await
            .code
            .to_string();
        let before = device.state().await;
        let output = device
            .ctl_with(&["sign-out", IDENTITY, "--yes"], &self.password)
            .await;
        let code = output.code;
        fs::remove_file(&file).map_err(|e| e.to_string())?;
        // Files of policy are read when the kernel tells of them, which is soon, and not at once.
        let held = matches!(code, 1 | 3 | 5 | 6) || broken || before != "active";
        let late = !held && code == 0;
        told(output)?;
        let word = if broken { "broken" } else { "whole" };
        Ok(format!(
            "{word} rule: exit {code}{}",
            if late { " (not heard yet)" } else { "" }
        ))
    }

    async fn change_password(&mut self, at: usize) -> Result<String, Violation> {
        let next = format!("password number {}", self.chance.next());
        let call = self.devices[at]
            .world
            .ctl(&["password", "change", IDENTITY]);
        let call = call
            .password(&self.password)
            .secret("--new-password-fd", &next);
        let output = self.cared_for(call).await;
        if output.code == 0 {
            self.password = next;
        }
        told(output)
    }

    async fn undelete(&mut self, at: usize) -> Result<String, Violation> {
        let output = self.devices[at]
            .ctl(&["undelete", "--account", IDENTITY, "--json"])
            .await;
        let Ok(list) = serde_json::from_str::<Value>(&output.stdout) else {
            return told(output);
        };
        let paths: Vec<String> = list["trash"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry["path"].as_str()?.to_owned()))
            .filter(|path| !path.contains('\u{fffd}'))
            .collect();
        let Some(path) = self.chance.pick(&paths).cloned() else {
            return Ok("the trash is empty".to_owned());
        };
        let call = self.devices[at]
            .world
            .ctl(&["undelete", "--account", IDENTITY, &path]);
        let output = self.cared_for(call).await;
        // The trash may have been emptied of it by somebody else since it was listed.
        if output.code == 2 && output.stderr.contains("the trash has no") {
            return Ok("somebody was faster".to_owned());
        }
        told(output)
    }

    /// The disk goes away and comes back.
    async fn storage_away(&mut self) -> String {
        let away = self.storage.with_extension("away");
        fs::rename(&self.storage, &away).expect("the storage goes");
        let length = Duration::from_millis(200 + self.chance.below(2000));
        tokio::time::sleep(length).await;
        let empty = fs::symlink_metadata(&self.storage).is_err();
        if empty {
            fs::rename(&away, &self.storage).expect("the storage comes back");
        }
        assert!(empty, "something was made where the storage is not");
        format!("{} ms", length.as_millis())
    }

    /// The disk is full from now on.
    fn storage_full(&mut self) -> String {
        let left = self.chance.below(MOST_LEFT);
        let Some(disk) = &self.disk else {
            return "only as root".to_owned();
        };
        disk.fill(left);
        self.full_for = 1 + self.chance.below(4);
        format!("{left} bytes left, for {} more", self.full_for)
    }

    /// Time goes by for a full disk; it ends before all comes to rest.
    fn use_disk(&mut self, rests: bool) {
        if self.full_for == 0 {
            return;
        }
        self.full_for = if rests { 0 } else { self.full_for - 1 };
        if let (0, Some(disk)) = (self.full_for, &self.disk) {
            disk.free();
        }
    }

    /// Nobody does anything, nothing dies, and all comes to rest and in step.
    ///
    /// # Errors
    /// When it does not, and what is lost.
    pub async fn rest(&mut self) -> Result<(), Violation> {
        self.use_disk(true);
        for device in &mut self.devices {
            device.works(false, &self.ledger, &mut self.chance);
        }
        for device in &mut self.devices {
            // Without a point of death in it.
            device.kill();
            device.start().await;
        }
        for at in 0..self.devices.len() {
            self.settle(at).await?;
            let _ = self.devices[at].ctl(&["resume", IDENTITY]).await;
        }
        self.converge().await?;
        self.checker.nothing_is_lost(&self.devices, &self.storage)
    }

    /// A sign-in or a sign-out that is under way comes to its end.
    async fn settle(&mut self, at: usize) -> Result<(), Violation> {
        let begin = Instant::now();
        loop {
            let state = self.devices[at].state().await;
            if !state.starts_with("signing") {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                let jobs = self.devices[at].ctl(&["jobs"]).await.stdout;
                let name = self.devices[at].name;
                return Err(format!(
                    "{name} does not come to rest: it is {state}\n{jobs}"
                ));
            }
            self.push(at).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Gives a job that waits what it waits for.
    async fn push(&mut self, at: usize) {
        let output = self.devices[at].ctl(&["jobs", "--json"]).await;
        let document: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        for job in document["jobs"].as_array().into_iter().flatten() {
            if job["state"] != "blocked" {
                continue;
            }
            let number = job["number"].to_string();
            let what: &[&str] = match job["blocked"]["error"].as_str() {
                Some("UnsyncedData") => &["jobs", "retry", &number, "--keep-here"],
                // Nobody is there to answer: whoever asked for it went away.
                Some("IncorrectPassword" | "TooManyAttempts") => &["jobs", "cancel", &number],
                _ => &["jobs", "retry", &number],
            };
            let _ = self.devices[at].ctl(what).await;
        }
    }

    async fn converge(&mut self) -> Result<(), Violation> {
        let mut last = Ok(());
        for _ in 0..ROUNDS {
            let mut active = Vec::new();
            for at in 0..self.devices.len() {
                // Another device may have asked it to leave.
                self.settle(at).await?;
                let account = self.devices[at].account().await.unwrap_or_default();
                if account.is_null() {
                    continue;
                }
                active.push(at);
                let collections = account["collections"].as_array();
                let held = |c: &Value| c["held"].as_u64().unwrap_or(0);
                if collections.into_iter().flatten().map(held).sum::<u64>() > 0 {
                    let answer = self.either("--keep", "--delete");
                    self.call(at, &["resolve", IDENTITY, answer]).await?;
                }
                self.call(at, &["sync", IDENTITY, "--wait"]).await?;
            }
            last = Ok(());
            for at in active {
                if self.devices[at].state().await.starts_with("signing") {
                    last = Err("a device was asked to leave".to_owned());
                    continue;
                }
                let same = self
                    .checker
                    .in_step(&self.devices[at], &self.storage, false);
                last = last.and(same);
            }
            if last.is_ok() {
                return Ok(());
            }
        }
        let mut told = last;
        for device in &self.devices {
            let status = device.ctl(&["status"]).await.stdout;
            told = told.map_err(|text| format!("{text}\n{status}"));
        }
        told
    }
}

/// What a call said, if it ended as it may.
fn told(output: Output) -> Result<String, Violation> {
    let crashed = output.stderr.contains("panicked") || !CODES.contains(&output.code);
    if crashed || output.code == 2 {
        return Err(format!("a call ends as none may: {output:?}"));
    }
    let line = |text: &str| {
        text.lines()
            .map(str::trim)
            .find(|l| !l.is_empty())
            .map(str::to_owned)
    };
    let said = if output.code == 0 {
        String::new()
    } else {
        line(&output.stderr).unwrap_or_default()
    };
    Ok(format!("exit {} {said}", output.code))
}

/// Files that are nobody's business: beside the collections, and in the storage.
fn decoys(devices: &[Device], storage: &std::path::Path) -> Vec<PathBuf> {
    let homes = devices
        .iter()
        .map(|device| device.world.home().join("Desktop"));
    let all: Vec<_> = homes.chain([storage.join("Not of any account")]).collect();
    for folder in &all {
        fs::create_dir_all(folder.join("below")).expect("a decoy");
        fs::write(folder.join("below/mine.txt"), "mine").expect("a decoy");
    }
    all
}

fn newest(backups: &std::path::Path) -> Option<PathBuf> {
    let entries = fs::read_dir(backups)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    entries.filter(|path| path.join("B3SUMS").is_file()).max()
}

/// Compares the files of the newest backup with its sums, as `b3sum -c` does.
fn check_newest_backup(backups: &str) -> Result<usize, Violation> {
    let folder = newest(backups.as_ref()).ok_or("a backup that succeeded has no B3SUMS")?;
    let sums = fs::read_to_string(folder.join("B3SUMS")).map_err(|e| e.to_string())?;
    let mut checked = 0;
    for line in sums.lines() {
        let (hash, name) = line.split_once("  ").ok_or(format!("no sum: {line}"))?;
        // b3sum writes a line with a backslash in front where the name has characters to escape.
        let (hash, path) = match hash.strip_prefix('\\') {
            Some(hash) => (
                hash,
                folder.join(name.replace("\\n", "\n").replace("\\\\", "\\")),
            ),
            None => (hash, folder.join(name)),
        };
        let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        if blake3::hash(&bytes).to_hex().as_str() != hash {
            return Err(format!(
                "{} is not what {} says",
                path.display(),
                folder.display()
            ));
        }
        checked += 1;
    }
    Ok(checked)
}
