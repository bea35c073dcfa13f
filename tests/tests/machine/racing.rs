//! Programs of two people, each of which changes its own person's files while they sign out, with
//! links to somebody else's files and to `/etc` in place of folders. What they wrote is there in the
//! end, and what is not of the account is what it was.
//!
//! `MOORING_RACE_ROUNDS` says how many attacks at least (`mooring_tests::Race`).

use std::fs;
use std::os::unix::fs::chown;
use std::process::{Command, Output};
use std::time::Instant;

use mooring_tests::{Attacks, Machine, Manifest, Race, Raced, Racer};

use crate::people::{PASSWORD, ctl, said, sign_out};

const DEFAULT_ROUNDS: usize = 400;
/// Attacks in one sign-out, at most.
const IN_ONE: usize = 2000;
/// Files that are raced for.
const FILES: usize = 1600;
/// How often a sign-out is asked to go on after the last attack.
const LOOKS: usize = 20;
/// What is ann's own and none of her account's, with the names of the files that are raced for.
const DECOYS: &str = "/home/ann/decoys";

struct Person {
    name: &'static str,
    uid: u32,
    race: Race,
}

impl Person {
    fn new(name: &'static str, uid: u32) -> Self {
        let race = Race {
            root: format!("/home/{name}/Accounts/{name}/Documents"),
            files: FILES,
            decoys: vec![DECOYS.to_owned(), "/etc".to_owned()],
            bind: false,
        };
        Self { name, uid, race }
    }

    fn sign_in(&self, machine: &Machine) {
        let name = self.name;
        let storage = format!("/home/{name}/Storage");
        machine.run_as(name, &["mkdir", "-p", &storage]);
        let words = [
            "sign-in",
            "local",
            "--identity",
            name,
            "--storage",
            &storage,
        ];
        let more = ["--yes", "--adopt", "--password-fd", "0"];
        machine.run_as_with(name, &ctl(&[&words[..], &more].concat()), PASSWORD);
    }

    /// Puts the files there that are raced for, and into the storage.
    fn fill(&self, machine: &Machine, number: usize) -> Raced {
        let mut raced = Raced::default();
        for nr in 0..FILES {
            let path = format!("{}/{}", self.race.root, Race::file(nr));
            let content = self.race.content(nr, number);
            let outside = machine.path(&path);
            let folder = outside.parent().unwrap();
            fs::create_dir_all(folder).unwrap();
            chown(folder, Some(self.uid), Some(self.uid)).unwrap();
            fs::write(&outside, &content).unwrap();
            chown(&outside, Some(self.uid), Some(self.uid)).unwrap();
            raced.owed.insert(path, content);
        }
        machine.run_as(self.name, &ctl(&["sync", self.name, "--wait"]));
        raced
    }

    /// Signs out while it is raced; answers what the programs did and are owed.
    fn leave(&self, machine: &Machine, number: usize, rounds: usize) -> Raced {
        let mut raced = self.fill(machine, number);
        let command = |words: &[&str]| machine.command_as(self.name, words);
        let mut racers = [0, 1].map(|part| {
            let number = 2 * number + part;
            self.race.start(part, number, rounds.div_ceil(2), command)
        });
        let mut told = sign_out(machine, self.name);
        let mut looks = 0;
        while !told.status.success() {
            if racers.iter_mut().all(Racer::is_done) {
                looks += 1;
                assert!(looks < LOOKS, "{}", said(&told));
            }
            // Files changed and folders were swapped: it is to look again.
            told = self.go_on(machine);
        }
        for racer in racers {
            racer.end(&mut raced);
        }
        raced
    }

    fn go_on(&self, machine: &Machine) -> Output {
        let jobs = machine.run_as(self.name, &ctl(&["--json", "jobs"]));
        let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
        let mut all = jobs["jobs"].as_array().unwrap().iter();
        let job = all.rfind(|job| job["kind"] == "sign-out").unwrap();
        let number = job["number"].to_string();
        let run = |what| {
            machine
                .command_as(self.name, &ctl(&["jobs", what, &number]))
                .output()
        };
        // It may have gone on by itself meanwhile.
        drop(run("retry").unwrap());
        run("follow").unwrap()
    }

    fn check(&self, machine: &Machine, raced: &Raced) {
        let home = Manifest::of(&machine.path(&format!("/home/{}", self.name)));
        raced.expect_in(&[home]);
    }
}

/// A home in memory itself: on the machine's own layers a lease keeps out no mapping.
fn homes_in_memory(machine: &Machine) {
    let script = "cp -a /home /run/home && mount -t tmpfs -o mode=0755 tmpfs /home && \
                  cp -a /run/home/. /home";
    machine.run(&["sh", "-ec", script]);
}

fn decoys(machine: &Machine) {
    let to = machine.path(DECOYS);
    let copied = Command::new("cp")
        .arg("-a")
        .arg(machine.path("/etc"))
        .arg(&to)
        .status();
    assert!(copied.unwrap().success());
    for nr in 0..FILES {
        fs::write(to.join(format!("{nr:04}")), "a decoy").unwrap();
    }
    machine.run(&["chown", "-R", "ann:ann", DECOYS]);
}

#[tokio::test]
async fn programs_race_their_own_persons_removal_and_reach_nothing_else() {
    let rounds = std::env::var("MOORING_RACE_ROUNDS");
    let rounds = rounds.map_or(DEFAULT_ROUNDS, |n| n.parse().unwrap());
    let machine = Machine::new();
    let rule = "polkit.addRule(function(action, subject) { if (action.id == 'org.mooring1.sign-in' \
                || action.id == 'org.mooring1.sign-out') return polkit.Result.YES; });";
    fs::write(machine.path("/etc/polkit-1/rules.d/10-test.rules"), rule).unwrap();
    homes_in_memory(&machine);
    decoys(&machine);
    let untouched = ["/etc", DECOYS].map(|path| Manifest::of(&machine.path(path)));
    let people = [Person::new("ann", 1000), Person::new("bob", 1001)];
    let began = Instant::now();
    let (mut attacks, mut number) = (Attacks::default(), 0);
    while attacks.all() < rounds {
        people.iter().for_each(|person| person.sign_in(&machine));
        let each = rounds.div_ceil(2).min(IN_ONE);
        let all = std::thread::scope(|scope| {
            let machine = &machine;
            let leave = |person: &'_ Person| person.leave(machine, number, each);
            let [ann, bob] = people
                .each_ref()
                .map(|person| scope.spawn(move || leave(person)));
            [ann.join().unwrap(), bob.join().unwrap()]
        });
        for (person, raced) in people.iter().zip(all) {
            person.check(&machine, &raced);
            attacks.add(raced);
        }
        for (before, path) in untouched.iter().zip(["/etc", DECOYS]) {
            before.assert_same(&Manifest::of(&machine.path(path)));
        }
        number += 1;
    }
    println!(
        "{number} sign-outs of two people, {:?}; {attacks}",
        began.elapsed()
    );
}
