//! The broker side by side with goa-daemon, the account daemon of GNOME: the same bus, the same
//! number of accounts, the same client, one after the other in each run.
//!
//! `RUNS` (default 5) and `ACCOUNTS` (default 200) may be set. What goa-daemon knows of its accounts
//! is made up: nobody answers at those servers, and nothing of them is asked for.

use std::time::Duration;

use crate::server::{Figures, Server};
use crate::stage::Stage;
use crate::table::Table;
use crate::{machine, number};

/// A person with one account of their own and one of their work.
const FEW: usize = 2;
const MANY: usize = 200;
const PEER: &str = "goa-daemon";

/// Measures, and prints the table.
pub fn run() {
    let runs = number("RUNS", 5);
    let many = number("ACCOUNTS", MANY);
    let servers = [Server::mooring(), Server::goa()];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut table = Table::default();
    runtime.expect("a runtime").block_on(async {
        for wanted in [FEW, many] {
            let stage = Stage::new(wanted).await;
            for run in 1..=runs {
                eprintln!("{} accounts, run {run} of {runs}", stage.accounts);
                measure(&stage, &servers, run, &mut table).await;
            }
        }
    });
    machine::print();
    println!(
        "{runs} runs of both on one private bus, {}; medians.\n",
        Server::goa_version()
    );
    table.print();
}

/// Both, in turn the one and the other first.
async fn measure(stage: &Stage, servers: &[Server; 2], run: usize, table: &mut Table) {
    let [mooring, goa] = servers;
    let (ours, theirs) = if run.is_multiple_of(2) {
        let theirs = goa.measure(stage).await;
        (mooring.measure(stage).await, theirs)
    } else {
        let ours = mooring.measure(stage).await;
        (ours, goa.measure(stage).await)
    };
    let row = |what: &str| format!("{what}, {} accounts", stage.accounts);
    for (what, of, goal) in MEMORY {
        table.add_pair_kib(&row(what), PEER, of(&ours), of(&theirs), goal);
    }
    for (what, of, goal) in TIMES {
        table.add_pair_time(&row(what), PEER, of(&ours), of(&theirs), goal);
    }
}

/// A row: what it is called, where its figure is, and the ratio not to exceed. The ratios below 1 are what a
/// broker with two accounts may need of what goa-daemon does: 8 of 51 MB, 1.5 of 11 MB, 10 of 300 ms.
type Rows<T, const N: usize> = [(&'static str, fn(&Figures) -> T, f64); N];

const MEMORY: Rows<u64, 3> = [
    ("At rest: resident", |f| f.resident, 0.156),
    ("At rest: its share (PSS)", |f| f.share, 0.156),
    ("At rest: private and dirty", |f| f.dirty, 0.134),
];

const TIMES: Rows<Duration, 4> = [
    ("Start to name owned", |f| f.start, 0.033),
    ("`Peer.Ping`", |f| f.ping, 1.0),
    ("`GetManagedObjects`", |f| f.objects, 1.0),
    (
        "A call (`Properties.GetAll`) among those of 32 clients",
        |f| f.together,
        1.0,
    ),
];
