//! `cargo bench -p perfecta-bench --bench create -- KEYS SCRATCH [ROUNDS [NAME ...]]`: what the files of a bulk run
//! cost to create, by a bare program that has them in memory, and what the whole run costs.
//!
//! All but solving make the same tree from `KEYS` below `SCRATCH`, in turn and always under fresh names: file
//! systems without a journal are slow for minutes where files were removed, so remove `SCRATCH`
//! afterwards, not between rounds. The bare program verifies nothing, stages nothing and publishes
//! nothing: it is the least that any program pays. Two more of them rename, and read back, as every table that appears
//! whole must. Four more read the key files, hash all, solve the keys, or both, before they make files that they have in
//! memory already: no bulk run that does so can be quicker.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use perfecta_emit::{ArtifactKind, ArtifactKinds};
use perfecta_jobs::{
    Artifacts, CancelFlag, Clock, Durability, Event, Inputs, Job, Output, Runtime, SelfTest,
    SystemClock, run,
};

use self::bare::{Before, Finish, Share, Tree};

mod bare;

/// Makes the tree at a place.
type Contest<'a> = &'a dyn Fn(&Path);

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [keys, scratch, rest @ ..] = &arguments[..] else {
        return println!("create needs a directory of key files and one to write below");
    };
    let (rounds, named) =
        rest.split_first().map_or((None, rest), |(rounds, named)| (Some(rounds), named));
    let rounds = rounds.map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut places = Places { scratch: scratch.into(), taken: 0 };
    let first = places.next();
    bulk_create(keys, &first, threads, Durability::Process);
    let tree = Tree::read(&first, Path::new(keys));
    println!("{} directories, {} files, {threads} threads", tree.len(), tree.num_files());
    let bare = |place: &Path, before, finish| {
        tree.create(place, threads.get(), Share::Dealt, before, finish);
    };
    let contestants: [(&str, Contest<'_>); 13] = [
        ("bare, 1 thread", &|place| {
            tree.create(place, 1, Share::Dealt, Before::Nothing, Finish::Close);
        }),
        ("bare, dealt out", &|place| bare(place, Before::Nothing, Finish::Close)),
        ("bare, in parts", &|place| {
            tree.create(place, threads.get(), Share::Parts, Before::Nothing, Finish::Close);
        }),
        ("bare, renamed", &|place| bare(place, Before::Nothing, Finish::Rename)),
        (YARDSTICK, &|place| bare(place, Before::Nothing, Finish::RenameFromRoom)),
        ("and keys read", &|place| bare(place, Before::ReadKeys, Finish::RenameFromRoom)),
        ("read and hashed", &|place| bare(place, Before::Hash, Finish::RenameFromRoom)),
        ("and solved", &|place| bare(place, Before::Solve, Finish::RenameFromRoom)),
        ("solved and hashed", &|place| bare(place, Before::SolveAndHash, Finish::RenameFromRoom)),
        ("and read back", &|place| {
            bare(place, Before::Solve, Finish::ReadBackAndRenameFromRoom);
        }),
        ("solving alone", &|_| bulk_solve(keys, threads)),
        ("perfecta", &|place| bulk_create(keys, place, threads, Durability::Process)),
        ("perfecta, durable", &|place| bulk_create(keys, place, threads, Durability::Power)),
    ];
    let is_named = |name: &str| named.is_empty() || named.iter().any(|other| other == name);
    let contestants: Vec<_> =
        contestants.into_iter().filter(|(name, _)| is_named(name) || *name == YARDSTICK).collect();
    let mut costs = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds {
        for ((_, create), costs) in contestants.iter().zip(&mut costs) {
            let place = places.next();
            // What others left to be written would be paid for by whoever comes next.
            rustix::fs::sync();
            costs.push(cost(|| create(&place)));
        }
    }
    println!("median of {rounds} rounds, seconds: wall, CPU; in brackets the least");
    println!("last: wall time by that of {YARDSTICK:?} in the same round, least, median, most");
    let yardstick = contestants.iter().position(|(name, _)| *name == YARDSTICK);
    let yardstick = &costs[yardstick.expect("it takes part")];
    for ((name, _), costs) in contestants.iter().zip(&costs) {
        let [wall, cpu] = [0, 1].map(|which| Spread::of(costs.iter().map(|cost| cost[which])));
        let mut ratios: Vec<f64> =
            costs.iter().zip(yardstick).map(|(own, its)| own[0].div_duration_f64(its[0])).collect();
        ratios.sort_by(f64::total_cmp);
        let [least, median, most] = [0, ratios.len() / 2, ratios.len() - 1].map(|at| ratios[at]);
        println!("{name:18} {wall} {cpu}   {least:.2} {median:.2} {most:.2}");
    }
}

/// What the others are compared with: by medians it is the quickest way to make the tree.
const YARDSTICK: &str = "from rooms apart";

/// Fresh names below one directory.
struct Places {
    scratch: PathBuf,
    taken: u32,
}

impl Places {
    fn next(&mut self) -> PathBuf {
        loop {
            self.taken += 1;
            let place = self.scratch.join(format!("tree-{}", self.taken));
            if !place.exists() {
                return place;
            }
        }
    }
}

/// Wall and CPU time.
fn cost(work: impl FnOnce()) -> [Duration; 2] {
    let (wall, cpu) = (SystemClock.now(), SystemClock.cpu());
    work();
    [SystemClock.now() - wall, SystemClock.cpu() - cpu]
}

struct Spread {
    least: Duration,
    median: Duration,
}

impl Spread {
    fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut durations: Vec<Duration> = durations.collect();
        durations.sort();
        Self { least: durations[0], median: durations[durations.len() / 2] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { least, median } = self;
        write!(formatter, "{:8.3} ({:.3})", median.as_secs_f64(), least.as_secs_f64())
    }
}

/// Read, solve, verify; render and write nothing.
fn bulk_solve(keys: &str, threads: NonZeroUsize) {
    let mut job = Job::new(Inputs::tree(keys));
    job.limits.threads = threads;
    job.limits.cpus = threads;
    let runtime = Runtime::new(None, CancelFlag::default());
    let summary = run(&job, &runtime, &mut |_: &Event<'_>| {}).expect("the job runs");
    assert_eq!(summary.ok, summary.tables, "every table is solved");
}

/// The whole of it: solve, verify, write, read back, publish.
fn bulk_create(keys: &str, place: &Path, threads: NonZeroUsize, durability: Durability) {
    let mut job = Job::new(Inputs::tree(keys));
    job.output = Some(Output { durability, ..Output::new(place) });
    job.limits.threads = threads;
    job.limits.cpus = threads;
    let kinds = ArtifactKinds::new(&[ArtifactKind::C, ArtifactKind::Rust]);
    let artifacts = Artifacts::new(kinds, SelfTest::FromFile);
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    let summary = run(&job, &runtime, &mut |_: &Event<'_>| {}).expect("the job runs");
    assert_eq!(summary.ok, summary.tables, "every table is published");
}
