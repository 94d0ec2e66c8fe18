//! Every call of a bulk run goes wrong once, on a real file system: call 0, then call 1, and so on,
//! until a run makes fewer calls than that.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{PlainRenderer, job, keys, tree};
use perfecta_core::format::pack::PackView;
use perfecta_io::{BlockingEngine, Call, Engine, Fault, FaultPlan, IoError};
use perfecta_jobs::{
    CancelFlag, Durability, EngineSource, Event, ItemError, ItemReport, Job, JobError, Layout,
    Runtime, Status, Summary, run,
};

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };
const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const ENOSYS: i32 = 38;

/// What comes to an end by itself: the call is made again, or goes on where it ended.
const RESUMED: [Fault; 4] =
    [Fault::Errno(EINTR), Fault::Errno(EAGAIN), Fault::ShortByOne, Fault::ShortByHalf];
const LASTING: [i32; 4] = [EIO, ENOSPC, EMFILE, ENOMEM];

/// Engines of one process whose calls go wrong by a plan.
struct Process<'p> {
    plan: &'p Arc<FaultPlan>,
    is_ring: bool,
}

impl EngineSource for Process<'_> {
    fn engine(&self) -> Box<dyn Engine> {
        if self.is_ring { ring(self.plan).unwrap() } else { self.desk() }
    }

    fn desk(&self) -> Box<dyn Engine> {
        Box::new(BlockingEngine::with_faults(None, Arc::clone(self.plan)))
    }
}

/// A run with one call gone wrong.
struct Run {
    hit: Call,
    outcome: Result<Summary, JobError>,
    /// By the names of tables.
    reports: BTreeMap<String, ItemReport>,
    notices: Vec<String>,
    calls: Vec<Call>,
    /// What stands in the output.
    left: BTreeMap<PathBuf, Vec<u8>>,
}

/// Where and how three tables are built, and what stands there then.
struct Loop {
    root: tempfile::TempDir,
    job: Job,
    is_ring: bool,
    whole: BTreeMap<PathBuf, Vec<u8>>,
}

impl Loop {
    fn new(layout: Layout, durability: Durability, is_ring: bool) -> Self {
        // Syncs of a file system in memory take no time.
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        let root = root.unwrap();
        let input = root.path().join("in");
        std::fs::create_dir_all(input.join("below")).unwrap();
        std::fs::write(input.join("small.keys"), keys(5, 77)).unwrap();
        std::fs::write(input.join("middle.keys"), keys(60, 7919)).unwrap();
        std::fs::write(input.join("below/large.keys"), keys(300, 104_729)).unwrap();
        let mut job = job(&input, &root.path().join("out"));
        let output = job.output.as_mut().unwrap();
        (output.layout, output.durability) = (layout, durability);
        let mut faults = Self { root, job, is_ring, whole: BTreeMap::new() };
        let (summary, plan) = (faults.build(&Arc::default()).0, FaultPlan::default());
        assert_eq!((summary.unwrap().ok, plan.num_calls()), (3, 0));
        faults.whole = faults.take_output();
        faults
    }

    fn build(
        &self,
        plan: &Arc<FaultPlan>,
    ) -> (Result<Summary, JobError>, BTreeMap<String, ItemReport>, Vec<String>) {
        let process = Process { plan, is_ring: self.is_ring };
        let runtime =
            Runtime { engines: &process, ..Runtime::new(Some(&PLAIN), CancelFlag::default()) };
        let (mut reports, mut notices) = (BTreeMap::new(), Vec::new());
        let outcome = run(&self.job, &runtime, &mut |event: &Event<'_>| match event {
            Event::Settled { report, .. } => {
                let before = reports.insert(report.identifier.clone(), (*report).clone());
                assert!(before.is_none(), "settled twice");
            }
            Event::Notice(notice) => notices.push((*notice).to_owned()),
            Event::Planned(_) | Event::Started { .. } | Event::Searching(_) => {}
        });
        (outcome, reports, notices)
    }

    fn output(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// What stands in the output, which is empty again.
    fn take_output(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let found = tree(&self.output());
        if self.output().exists() {
            std::fs::remove_dir_all(self.output()).unwrap();
        }
        found
    }

    /// Lets every call go wrong in this way, one a run.
    fn for_every_call(&self, fault: Fault, check: impl Fn(&Run)) {
        for number in 0.. {
            let plan = Arc::<FaultPlan>::default();
            plan.inject(number..=number, fault);
            let (outcome, reports, notices) = self.build(&plan);
            let Some(hit) = plan.first_hit() else {
                assert!(number > 50, "only {number} calls");
                assert_eq!(outcome.unwrap().ok, 3);
                self.take_output();
                break;
            };
            assert_eq!(self.open_files(), Vec::<PathBuf>::new(), "open after {hit}");
            let (calls, left) = (plan.calls(0), self.take_output());
            check(&Run { hit, outcome, reports, notices, calls, left });
        }
    }

    /// Files of this loop that the process has open.
    fn open_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
        let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|path| path.starts_with(self.root.path())).collect()
    }
}

/// Directory and files of a table below the output.
fn is_of_table(path: &Path, identifier: &str) -> bool {
    path.iter().any(|part| part == identifier)
}

fn is_staged(path: &Path) -> bool {
    path.to_string_lossy().contains(".perfecta-stage-")
}

fn is_sync(call: &Call) -> bool {
    call.name.starts_with("sync")
}

fn io_error(report: &ItemReport) -> Option<&IoError> {
    match report.error.as_ref()? {
        ItemError::Input(error) | ItemError::Output(error) => Some(error),
        other => panic!("{other:?} is not what went wrong"),
    }
}

impl Run {
    /// Whether it says what went wrong where.
    fn names_the_call(&self, error: &IoError) {
        let Self { hit, .. } = self;
        assert_eq!(error.errno().map(Err), hit.answer.map(|answer| answer.map(drop)), "{hit}");
        // A path is resolved part by part.
        let is_part = hit.name == "resolve" && error.path.starts_with(&hit.path);
        assert!(error.path == hit.path || is_part, "{error} at {hit}");
    }

    fn failed(&self) -> Vec<&ItemReport> {
        self.reports.values().filter(|report| report.status == Status::Failed).collect()
    }

    fn files_left(&self, is_meant: impl Fn(&Path) -> bool) -> BTreeMap<&Path, &[u8]> {
        files(&self.left, is_meant)
    }
}

fn files(
    tree: &BTreeMap<PathBuf, Vec<u8>>,
    is_meant: impl Fn(&Path) -> bool,
) -> BTreeMap<&Path, &[u8]> {
    let is_file = |path: &Path| path.extension().is_some() && is_meant(path);
    let files = tree.iter().filter(|(path, _)| is_file(path));
    files.map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect()
}

impl Loop {
    /// Everything is built as if nothing had gone wrong.
    fn check_whole(&self, run: &Run) {
        let Run { hit, outcome, left, notices, .. } = run;
        assert_eq!(outcome.as_ref().map(|summary| summary.ok), Ok(3), "{hit}");
        let names: Vec<_> = left.keys().collect();
        assert!(*left == self.whole, "{hit} left {names:?}");
        assert!(notices.is_empty(), "{notices:?} at {hit}");
    }

    /// What the call was needed for fails and says why, all else is built, nothing is left behind.
    fn check_failed(&self, run: &Run) {
        let Run { hit, outcome, reports, left, .. } = run;
        assert!(!left.keys().any(|path| is_staged(path)), "{hit} leaves a stage");
        let summary = match outcome {
            Ok(summary) => summary,
            Err(JobError::Input(error) | JobError::Output(error)) => {
                // Before the first item: where key files are listed, and the output is opened.
                let is_item =
                    |call: &Call| call.name == "open" && call.path.ends_with("large.keys");
                assert!(!run.calls.iter().any(is_item), "{hit} is not the whole job's");
                assert!(reports.is_empty() && left.is_empty(), "{hit}");
                return run.names_the_call(error);
            }
            Err(error) => panic!("{error:?} at {hit}"),
        };
        let failed = run.failed();
        failed.iter().for_each(|report| run.names_the_call(io_error(report).unwrap()));
        match failed[..] {
            [] => {
                assert!(is_staged(&hit.path), "nobody heard of {hit}");
                self.check_whole(run);
            }
            [one] => {
                assert_eq!((summary.ok, summary.failed), (2, 1), "{hit}");
                self.check_two_built(run, &one.identifier);
            }
            [one, other] => {
                // They have the directory of the output in common, where the third does not lie.
                assert_eq!((summary.ok, summary.failed), (1, 2), "{hit}");
                let failed = [&one.identifier, &other.identifier];
                let is_third = |path: &Path| !failed.iter().any(|it| is_of_table(path, it));
                let expected = files(&self.whole, is_third);
                assert!(expected.len() == 3 && run.files_left(|_| true) == expected, "{hit}");
            }
            [..] => {
                assert_eq!((summary.ok, summary.failed), (0, 3), "{hit}");
                self.check_none_built(run);
            }
        }
    }

    fn check_two_built(&self, run: &Run, failed: &str) {
        let Run { hit, left, .. } = run;
        match self.layout() {
            Layout::Dirs => {
                let is_other = |path: &Path| !is_of_table(path, failed);
                let expected = files(&self.whole, is_other);
                assert!(expected.len() == 6 && run.files_left(|_| true) == expected, "{hit}");
            }
            Layout::Packed => {
                let pack = &left[Path::new("tables.packed/tables.phtpack")];
                let whole = &self.whole[Path::new("tables.packed/tables.phtpack")];
                let (pack, whole) = (images(pack), images(whole));
                let is_other = |name: &&Vec<u8>| {
                    !is_of_table(Path::new(std::str::from_utf8(name).unwrap()), failed)
                };
                assert_eq!(pack.len(), 2, "{hit}");
                assert!(pack.keys().all(|name| is_other(&name)), "{hit}");
                assert!(pack.iter().all(|(name, image)| whole[name] == *image), "{hit}");
            }
        }
    }

    /// All share what failed: a sync, or the pack. Tables whose names could not be synced stay.
    fn check_none_built(&self, run: &Run) {
        let Run { hit, left, calls, .. } = run;
        let output = self.output();
        let is_published = calls.iter().any(|call| {
            call.name.starts_with("rename")
                && call.number < hit.number
                && call.answer == Some(Ok(0))
        });
        match self.layout() {
            Layout::Dirs => assert!(is_sync(hit), "{hit} is not of all tables"),
            Layout::Packed => assert!(hit.path.starts_with(&output), "{hit} is not of the pack"),
        }
        if is_published {
            assert!(*left == self.whole, "{hit} tore what was published");
        } else {
            assert!(run.files_left(|_| true).is_empty(), "{hit}");
        }
    }

    fn layout(&self) -> Layout {
        self.job.output.as_ref().unwrap().layout
    }

    /// Somebody else has the lock of the first stage, so it is his to remove.
    fn check_stage_of_others(&self, run: &Run) {
        let is_ours = |path: &Path| !is_staged(path);
        assert_eq!(run.outcome.as_ref().unwrap().ok, 3, "{}", run.hit);
        assert!(run.files_left(is_ours) == files(&self.whole, is_ours), "{}", run.hit);
        assert_eq!(run.left.keys().filter(|path| path.ends_with("lock")).count(), 1);
    }
}

fn images(pack: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pack = PackView::decode(pack).unwrap();
    pack.iter().map(|entry| (entry.name.to_vec(), entry.image.to_vec())).collect()
}

/// Both layouts, durable and not, on every backend that there is.
fn for_every_loop(check: impl Fn(&Loop)) {
    for layout in [Layout::Dirs, Layout::Packed] {
        for durability in [Durability::Process, Durability::Power] {
            for &is_ring in backends() {
                check(&Loop::new(layout, durability, is_ring));
            }
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn ring(plan: &Arc<FaultPlan>) -> Option<Box<dyn Engine>> {
    let engine = perfecta_io::UringEngine::with_faults(None, Arc::clone(plan)).ok()?;
    Some(Box::new(engine))
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn ring(_plan: &Arc<FaultPlan>) -> Option<Box<dyn Engine>> {
    None
}

/// Whether a ring is used: without one, and where there are rings, with one as well.
fn backends() -> &'static [bool] {
    if ring(&Arc::default()).is_some() { &[false, true] } else { &[false] }
}

#[test]
fn a_call_that_is_interrupted_or_short_goes_on_and_all_tables_are_built() {
    for_every_loop(|faults| {
        for fault in RESUMED {
            faults.for_every_call(fault, |run| match run.hit.name {
                // A lock that is held, a sync that failed and a file that is closed answer so for good.
                "lock" if fault == Fault::Errno(EAGAIN) => faults.check_stage_of_others(run),
                "close" if fault == Fault::Errno(EAGAIN) => faults.check_failed(run),
                _ if fault == Fault::Errno(EAGAIN) && is_sync(&run.hit) => faults.check_failed(run),
                _ => faults.check_whole(run),
            });
        }
    });
}

#[test]
fn a_call_that_fails_costs_what_it_was_made_for_and_nothing_is_left_behind() {
    for_every_loop(|faults| {
        for errno in LASTING {
            faults.for_every_call(Fault::Errno(errno), |run| faults.check_failed(run));
        }
    });
}

impl Loop {
    /// Publishes tables, and again after the keys of one were changed.
    fn replace(&self, plan: &Arc<FaultPlan>) -> (BTreeMap<String, ItemReport>, Vec<String>) {
        let small = self.root.path().join("in/small.keys");
        std::fs::write(&small, keys(5, 77)).unwrap();
        self.build(&Arc::default()).0.unwrap();
        std::fs::write(&small, keys(6, 77)).unwrap();
        let (outcome, reports, notices) = self.build(plan);
        outcome.unwrap();
        (reports, notices)
    }
}

#[test]
fn what_can_neither_be_replaced_nor_be_put_back_stays_where_its_error_says_in_a_stage_that_is_kept()
{
    for (layout, place) in [(Layout::Dirs, "small"), (Layout::Packed, "tables.packed")] {
        let mut faults = Loop::new(layout, Durability::Process, false);
        faults.job.limits.threads = 1.try_into().unwrap();
        let plan = Arc::<FaultPlan>::default();
        faults.replace(&plan);
        let calls = plan.calls(0);
        let exchange = calls.iter().find(|call| call.name == "exchange with").unwrap().number;
        faults.take_output();
        let earlier = &faults.whole;
        // Nothing but a plain rename is known, and only what was there before goes aside.
        let plan = Arc::<FaultPlan>::default();
        plan.inject(exchange..=exchange, Fault::Errno(ENOSYS));
        plan.inject(exchange + 2..=exchange + 102, Fault::Errno(EIO));
        let (reports, notices) = faults.replace(&plan);
        let report = reports.values().find(|report| report.identifier == "small").unwrap();
        let message = report.error.as_ref().unwrap().to_string();
        let (_, to) = message.split_once("it lies at ").unwrap();
        assert!(plan.calls(exchange).iter().skip(103).all(|call| call.fault.is_none()));
        let stage =
            notices[0].strip_suffix(" stays: what could not be put back lies in it").unwrap();
        assert!(to.starts_with(stage) && notices.len() == 1, "{notices:?}");
        let is_old = |at: &Path| {
            let files = tree(at);
            !files.is_empty()
                && files.iter().all(|(name, bytes)| earlier[&Path::new(place).join(name)] == *bytes)
        };
        assert!(is_old(Path::new(to)) && !faults.output().join(place).exists());
        // The next run publishes what this one could not, and sweeps nothing.
        let (outcome, _, notices) = faults.build(&Arc::default());
        assert_eq!((outcome.unwrap().failed, notices), (0, Vec::new()));
        assert!(faults.output().join(place).exists() && is_old(Path::new(to)));
    }
}

/// As a run does that made it and published nothing.
#[test]
fn an_output_directory_that_goes_while_it_is_prepared_is_made_again() {
    for layout in [Layout::Dirs, Layout::Packed] {
        let mut faults = Loop::new(layout, Durability::Process, false);
        faults.job.limits.threads = 1.try_into().unwrap();
        let num_removed = Arc::<AtomicU32>::default();
        for at in 0.. {
            let plan = Arc::<FaultPlan>::default();
            let (output, removed) = (faults.output(), Arc::clone(&num_removed));
            plan.meanwhile(at, move || {
                removed.fetch_add(std::fs::remove_dir(output).is_ok().into(), Ordering::Relaxed);
            });
            let (outcome, ..) = faults.build(&plan);
            assert_eq!(outcome.map(|summary| summary.ok), Ok(3), "{layout:?}, removed at {at}");
            assert!(faults.take_output() == faults.whole, "{layout:?}, removed at {at}");
            if plan.num_calls() <= at {
                break;
            }
        }
        assert!(num_removed.load(Ordering::Relaxed) > 1, "{layout:?}");
    }
}

#[test]
fn a_table_that_is_removed_while_it_is_looked_at_is_built() {
    for (layout, place) in [(Layout::Dirs, "small"), (Layout::Packed, "tables.packed")] {
        let mut faults = Loop::new(layout, Durability::Process, false);
        faults.job.limits.threads = 1.try_into().unwrap();
        let place = faults.output().join(place);
        let plan = Arc::<FaultPlan>::default();
        faults.build(&Arc::default()).0.unwrap();
        faults.build(&plan).0.unwrap();
        let is_list = |call: &&Call| call.name == "list" && call.path == place;
        let at = plan.calls(0).iter().find(is_list).unwrap().number;
        let (plan, table) = (Arc::<FaultPlan>::default(), place.clone());
        plan.meanwhile(at, move || std::fs::remove_dir_all(table).unwrap());
        let (outcome, ..) = faults.build(&plan);
        assert!(is_list(&&plan.calls(at)[0]));
        assert_eq!(outcome.unwrap().failed, 0, "{layout:?}");
        assert!(faults.take_output() == faults.whole, "{layout:?}");
    }
}
