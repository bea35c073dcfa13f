use std::path::{Path, PathBuf};
use std::sync::{Arc, atomic::AtomicBool};
use std::time::Instant;
use mooring_core::collection::Collection;
use mooring_worker::account::{Account, Spec};
use mooring_worker::files::real::RealFiles;
use mooring_worker::state::State;
use mooring_worker::*;
fn main() {
    let base = PathBuf::from(std::env::args().nth(1).unwrap());
    let tree = PathBuf::from(std::env::args().nth(2).unwrap());
    let _ = std::fs::remove_dir_all(&base);
    std::fs::create_dir_all(base.join("nas")).unwrap();
    std::fs::create_dir_all(base.join("state")).unwrap();
    std::fs::create_dir_all(base.join("home")).unwrap();
    let files = RealFiles::new();
    storage::create_identity(&files, &base.join("nas"), "x=1\n").unwrap();
    let spec = Spec { id: "a1".into(), identity: "alice".into(), storage: base.join("nas"), storage_id: "s".into(), sign_in_id: "i".into(), device: "d".into(), home: base.join("home"), collections: vec![(Collection::Documents, base.join("home/docs"))] };
    let account = Account { spec, files, state: State::open(&base.join("state")).unwrap(), report: Box::new(|_| {}), stop: Arc::new(AtomicBool::new(false)) };
    let t = |name: &str, at: Instant| println!("{name:24} {:8.3} s", at.elapsed().as_secs_f64());
    let at = Instant::now(); signin::sign_in(&account, false).unwrap(); t("sign in, empty", at);
    std::process::Command::new("cp").arg("-a").arg(tree.join(".")).arg(base.join("home/docs")).status().unwrap();
    std::process::Command::new("sync").status().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let all = [Collection::Documents];
    let at = Instant::now(); let l = sync::sync(&account, &all, mooring_core::sync::Phase::Active).unwrap(); t(&format!("first sync {}", l.uploaded), at);
    for _ in 0..3 { let at = Instant::now(); let l= sync::sync(&account, &all, mooring_core::sync::Phase::Active).unwrap(); t(&format!("look {} {} {}", l.uploaded, l.adopted, l.seen), at); }
    let at = Instant::now(); let l = signin::sync_now(&account, true).unwrap(); t(&format!("read back {}", l.read_back), at);
    let at = Instant::now(); let p = plan::plan(&account, &[]).unwrap(); t(&format!("plan {:?}", p.blockers), at);
    let at = Instant::now(); let d = leave::drain(&account, &[]).unwrap(); t(&format!("drain {}", d.unsynced_total), at);
    let at = Instant::now(); let (v, proof) = verify::verify(&account, &[], "r1").unwrap(); t(&format!("verify {} {}", v.proven.files, v.read_back.files), at);
    let at = Instant::now(); let r = remove::remove(&account, proof.unwrap(), &[]).unwrap(); t(&format!("remove {:?} {} {}", r.removed, r.remaining, r.left.len()), at);
    let at = Instant::now(); let l = erase::erase_roots(&account, &[]).unwrap(); account.state.destroy().unwrap(); t(&format!("erase {}", l.len()), at);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|l| l.starts_with("VmHWM")).unwrap());
    let _ = Path::new("");
}
