//! What a seed draws: key files, jobs, bounds, and what goes wrong.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use perfecta_core::family::Family;
use perfecta_core::search::FamilyChoice;
use perfecta_io::{Fault, Random};
use perfecta_jobs::{
    Conflicts, Durability, Inputs, Job, Layout, NodePolicy, Output, Ramp, SessionLimits, Share,
};

use super::common::keys;

/// What kind of seed it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing goes wrong, and the clock of the session stands still.
    Timeless,
    /// Calls are slow, short and interrupted, and nothing may come of it.
    Harmless,
    /// Calls fail, the disk is full, users cancel.
    Rough,
    /// Processes die, and the power goes.
    Deadly,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Timeless, Self::Harmless, Self::Rough, Self::Deadly];

    pub(crate) fn of(seed: u64) -> Self {
        Self::ALL[(seed % 4) as usize]
    }
}

/// A seed's machine before anything runs, and what is asked of it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) kind: Kind,
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    pub(crate) jobs: Vec<Drawn>,
    /// The output holds tables of an older run.
    pub(crate) has_older: bool,
    pub(crate) rounds: Vec<Round>,
}

/// A job of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) job: Job,
    /// The job before it that has the same inputs, options and output.
    pub(crate) twin_of: Option<usize>,
    /// Another job writes to the same place at the same time.
    pub(crate) shares_output: bool,
    /// Which of its items fail depends on their order.
    pub(crate) is_loose: bool,
}

/// Sessions are one after another: each is a process of its own.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) limits: SessionLimits,
    pub(crate) num_nodes: usize,
    /// Bytes of each node's pool.
    pub(crate) pool_bytes: Option<usize>,
    /// One call in so many goes wrong in one of these ways.
    pub(crate) faults: Option<(u64, Vec<Fault>)>,
    /// From this call on it reaches nothing.
    pub(crate) dies_at_call: Option<u64>,
    /// After so many steps its process is gone.
    pub(crate) ends_at_step: Option<u64>,
    pub(crate) cuts_power: bool,
    /// Room that is left on the device.
    pub(crate) bytes_left: Option<u64>,
    /// Workers wake up for no reason.
    pub(crate) is_restless: bool,
    /// When each job is submitted, in steps.
    pub(crate) submit_at: Vec<u64>,
    /// When each job is cancelled.
    pub(crate) cancel_at: Vec<Option<When>>,
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Step(u64),
    Event(u64),
    Call(u64),
}

const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

impl Round {
    /// A session in which nothing happens but its jobs, one after another.
    pub(crate) fn quiet(num_jobs: usize) -> Self {
        let one = NonZeroUsize::MIN;
        Self {
            limits: SessionLimits {
                workers: one,
                files_in_flight_max: nonzero(8),
                io_depth: nonzero(8),
                memory_bytes_max: 1 << 30,
                jobs_active_max: one,
            },
            num_nodes: 1,
            pool_bytes: None,
            faults: None,
            dies_at_call: None,
            ends_at_step: None,
            cuts_power: false,
            bytes_left: None,
            is_restless: false,
            submit_at: vec![0; num_jobs],
            cancel_at: vec![None; num_jobs],
        }
    }

    /// Whether calls fail for good, or the disk is full.
    pub(crate) fn is_rough(&self) -> bool {
        let is_harmful = |fault: &Fault| !Fault::HARMLESS.contains(fault);
        let fails = self.faults.iter().any(|(_, faults)| faults.iter().any(is_harmful));
        fails || self.dies_at_call.is_some() || self.bytes_left.is_some()
    }

    fn draw(random: &mut Random, kind: Kind, num_jobs: usize) -> Self {
        let workers = 1 + random.index(4);
        let few = |random: &mut Random| nonzero(1 + random.index(6));
        let some = |random: &mut Random| {
            if random.one_in(3) { nonzero(200) } else { few(random) }
        };
        let limits = SessionLimits {
            workers: nonzero(workers),
            files_in_flight_max: some(random),
            io_depth: some(random),
            memory_bytes_max: if random.one_in(4) { 1 << 17 } else { 1 << 30 },
            jobs_active_max: nonzero(1 + random.index(3)),
        };
        let mut round = Self {
            limits,
            num_nodes: 1 + random.index(workers.min(2)),
            pool_bytes: random.one_in(3).then(|| (64 << 10) * (1 + random.index(3))),
            is_restless: kind != Kind::Timeless && random.one_in(4),
            submit_at: (0..num_jobs).map(|_| random.below(4) * random.below(60)).collect(),
            ..Self::quiet(num_jobs)
        };
        round.draw_trouble(random, kind, num_jobs);
        round
    }

    fn draw_trouble(&mut self, random: &mut Random, kind: Kind, num_jobs: usize) {
        let harmful = [EIO, EAGAIN, ENOMEM, EMFILE, ENOSPC].map(Fault::Errno);
        match kind {
            Kind::Timeless => {}
            Kind::Harmless => {
                self.faults = Some((3 + random.below(40), Fault::HARMLESS.to_vec()));
            }
            Kind::Rough => {
                if !random.one_in(4) {
                    let faults = [&harmful[..], &Fault::HARMLESS].concat();
                    self.faults = Some((15 + random.below(200), faults));
                }
                self.bytes_left = random.one_in(4).then(|| random.below(16 << 10));
            }
            Kind::Deadly => {
                self.dies_at_call = random.one_in(2).then(|| random.below(400));
                self.ends_at_step = random.one_in(2).then(|| random.below(150));
                if random.one_in(4) {
                    self.faults = Some((50 + random.below(200), harmful.to_vec()));
                }
                self.cuts_power = !random.one_in(3);
            }
        }
        if kind != Kind::Harmless {
            let mut when = |_| {
                random.one_in(5).then(|| match random.below(3) {
                    0 => When::Step(random.below(150)),
                    1 => When::Event(random.below(8)),
                    _ => When::Call(random.below(300)),
                })
            };
            self.cancel_at = (0..num_jobs).map(&mut when).collect();
        }
    }
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let kind = Kind::of(seed);
        let mut random = Random::new(seed);
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        for number in 0..1 + random.index(2) {
            let directory = PathBuf::from(format!("/in{number}"));
            directories.push(directory.join("below"));
            draw_files(&mut random, &directory, &mut files);
        }
        let mut jobs: Vec<Drawn> = Vec::new();
        for number in 0..1 + random.index(3) {
            let twin_of = (number > 0 && random.one_in(6)).then(|| random.index(number));
            let drawn = match twin_of {
                Some(other) => twin(&mut random, &jobs[other], other),
                None => draw_job(&mut random, kind, number, &files),
            };
            jobs.push(drawn);
        }
        for number in 0..jobs.len() {
            let output = jobs[number].job.output.as_ref().map(|output| output.directory.clone());
            let is_same = |other: &Drawn| {
                other.job.output.as_ref().map(|output| &output.directory) == output.as_ref()
            };
            let sharing = jobs.iter().filter(|other| is_same(other)).count();
            jobs[number].shares_output = output.is_some() && sharing > 1;
        }
        let num_rounds = if kind == Kind::Deadly { 1 + random.index(2) } else { 1 };
        let rounds = (0..num_rounds).map(|_| Round::draw(&mut random, kind, jobs.len())).collect();
        Self { kind, directories, files, jobs, has_older: random.one_in(4), rounds }
    }
}

fn draw_files(random: &mut Random, directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let many = random.one_in(150);
    let count = if many { 70 + random.index(10) } else { random.index(6) };
    for number in 0..count {
        let name = format!("set{number}.keys");
        let path = match random.below(4) {
            0 => directory.join("below").join(name),
            _ => directory.join(name),
        };
        let bytes = if many { keys(1 + number as u32, 77) } else { draw_keys(random) };
        files.push((path, bytes));
    }
    if random.one_in(12) {
        files.push((directory.join("large.keys"), keys(16_384 + random.below(999) as u32, 7919)));
    }
}

/// The bytes of a key file, one in three of them bad or hard.
fn draw_keys(random: &mut Random) -> Vec<u8> {
    let count_max = [10, 40, 200][random.index(3)];
    let count = 1 + random.below(count_max) as u32;
    let mut bytes = keys(count, 1 + random.below(1 << 24) as u32);
    match random.below(18) {
        0 => bytes.clear(),
        1 => bytes.push(7),
        2 => bytes.extend_from_within(bytes.len() - 4..),
        3 => bytes.extend(0u32.to_le_bytes()),
        // They differ in high bits only, which a plain product makes nothing of.
        4 => bytes = keys(100 + count, 1 << 23),
        _ => {}
    }
    bytes
}

fn draw_job(random: &mut Random, kind: Kind, number: usize, files: &[(PathBuf, Vec<u8>)]) -> Drawn {
    let mut job = Job::new(draw_inputs(random, files));
    draw_search(random, kind, &mut job);
    job.share = draw_share(random);
    job.nodes = match random.below(4) {
        0 => NodePolicy::RoundRobin,
        1 => NodePolicy::Fixed(0),
        _ => NodePolicy::LeastLoaded,
    };
    if random.one_in(6) {
        job.limits.memory_bytes_max = (8 << 10) << random.below(6);
    }
    job.limits.disk_full_max = 1 + random.below(3) as u32;
    let mut is_loose = false;
    match random.below(20) {
        0 => job.limits.item_time_max = Some(Duration::from_micros(random.below(3000))),
        1 => job.limits.output_bytes_max = random.below(20_000),
        _ => {}
    }
    is_loose |= job.limits.item_time_max.is_some() || job.limits.output_bytes_max != u64::MAX;
    if !random.one_in(4) {
        job.output = Some(Output {
            layout: if random.one_in(3) { Layout::Packed } else { Layout::Dirs },
            durability: draw_durability(random),
            conflicts: if random.one_in(4) { Conflicts::Replace } else { Conflicts::Refuse },
            ..Output::new(format!("/out{number}"))
        });
    }
    Drawn { job, twin_of: None, shares_output: false, is_loose }
}

fn draw_inputs(random: &mut Random, files: &[(PathBuf, Vec<u8>)]) -> Inputs {
    match random.below(12) {
        0 => Inputs::tree("/nowhere"),
        1 | 2 => {
            let mut named: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
            random.shuffle(&mut named);
            // Two for one place: if one cannot be looked at, the other is built.
            let mut names = BTreeSet::new();
            named.retain(|path| names.insert(path.file_name().unwrap().to_owned()));
            named.truncate(random.index(5));
            named.push("/in0/missing.keys".into());
            Inputs::Files(named)
        }
        3 | 4 => Inputs::tree("/in1"),
        _ => Inputs::tree("/in0"),
    }
}

fn draw_search(random: &mut Random, kind: Kind, job: &mut Job) {
    let families: Vec<Family> = Family::all().collect();
    if random.one_in(3) {
        job.search.family = FamilyChoice::Named(families[random.index(families.len())]);
    }
    job.search.attempts_max = 1030 + random.below(300);
    if random.one_in(20) {
        job.search.fixed_attempts = Some(1030);
    }
    let every = match random.below(4) {
        0 => None,
        step => Some(Duration::from_micros(100 * (step - 1))),
    };
    let initial = NonZeroU32::MIN.saturating_add(random.below(4) as u32);
    let every = if kind == Kind::Timeless && random.one_in(2) { None } else { every };
    job.ramp = Ramp { initial, every, ..Ramp::default() };
}

fn draw_share(random: &mut Random) -> Share {
    let files_in_flight_max =
        if random.one_in(3) { nonzero(1 + random.index(3)) } else { NonZeroUsize::MAX };
    let weight = NonZeroU32::MIN.saturating_add(random.below(5) as u32);
    Share { weight, files_in_flight_max }
}

fn draw_durability(random: &mut Random) -> Durability {
    if random.one_in(2) { Durability::Power } else { Durability::Process }
}

/// A job that does the same, at another pace.
fn twin(random: &mut Random, other: &Drawn, number: usize) -> Drawn {
    let mut job = other.job.clone();
    job.share = draw_share(random);
    if let Some(output) = &mut job.output {
        output.durability = draw_durability(random);
    }
    Drawn { job, twin_of: Some(number), shares_output: false, is_loose: other.is_loose }
}

pub(crate) fn nonzero(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}
