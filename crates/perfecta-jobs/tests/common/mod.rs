//! What the tests of jobs share: a renderer, key files, engines, some of which fail on request.

#![allow(dead_code, reason = "every test file takes a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use perfecta_core::family::Family;
use perfecta_core::geometry::Geometry;
use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{Downsize, KeySet, KeyWidth};
use perfecta_core::seeds::Seeds;
use perfecta_core::table::{PADDING_BYTES, Parameters, Table, TableView};
use perfecta_io::{
    BlockingEngine, Completion, Engine, Failure, FaultPlan, FileContent, IoError, IoErrorKind, Op,
    Operation, Token,
};
use perfecta_jobs::{
    CancelFlag, EngineSource, Estimate, Event, Facts, Inputs, ItemError, ItemReport, Job, Output,
    RenderError, RenderedFile, Renderer, Runtime, SessionLimits, Summary, run,
};

/// One job, by one worker, one key file at a time.
pub(crate) const ONE_AT_A_TIME: SessionLimits = SessionLimits {
    workers: NonZeroUsize::MIN,
    files_in_flight_max: NonZeroUsize::MIN,
    io_depth: NonZeroUsize::MIN,
    memory_bytes_max: 1 << 30,
    jobs_active_max: NonZeroUsize::MIN,
};

/// Writes a table as its parameters and its array.
pub(crate) struct PlainRenderer {
    /// A part of the fingerprint.
    pub(crate) version: u32,
}

impl Renderer for PlainRenderer {
    fn fingerprint(&self) -> String {
        format!("plain {}", self.version)
    }

    fn render(
        &self,
        facts: &Facts<'_>,
        table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        let bytes = encode(&table.view());
        let file = FileContent { name: format!("{}.pht", facts.identifier).into(), bytes };
        artifacts.push(RenderedFile { kind: "pht", file });
        let text = format!("{} {}\n", facts.keys.len(), self.version).into_bytes();
        let file = FileContent { name: format!("{}.h", facts.identifier).into(), bytes: text };
        artifacts.push(RenderedFile { kind: "c", file });
        Ok(())
    }

    fn check(
        &self,
        files: &[FileContent],
        keys: Option<&KeySet>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        let tables = files.iter().filter(|file| file.name.to_string_lossy().ends_with(".pht"));
        for file in tables {
            let Some(parameters) = decode(&file.bytes) else {
                let (file, reason) = (file.name.to_string_lossy(), "it is no table".to_owned());
                return Ok(Err(ItemError::Damaged { file: file.into_owned().into(), reason }));
            };
            let view = TableView::new(parameters, &file.bytes[HEADER_BYTES..]).unwrap();
            if let Some(keys) = keys
                && let Err(error) = view.verify_while(keys, keep_going)?
            {
                return Ok(Err(error.into()));
            }
        }
        Ok(Ok(()))
    }

    fn estimate(&self, _num_keys: u64, _width: KeyWidth, geometry: Geometry) -> Estimate {
        let array = u64::from(geometry.vertices()) * geometry.element_width().bytes() as u64;
        Estimate { files: 2, bytes: array + 80 }
    }
}

/// What a renderer is asked for.
pub(crate) enum Asked<'a> {
    Fingerprint,
    Render(&'a Facts<'a>),
    Check(&'a [FileContent]),
}

impl Asked<'_> {
    /// Whether it is asked to write or to check this table.
    pub(crate) fn is_of(&self, identifier: &str) -> bool {
        match self {
            Self::Fingerprint => false,
            Self::Render(facts) => facts.identifier.as_str() == identifier,
            Self::Check(files) => {
                files.iter().any(|file| file.name == format!("{identifier}.pht").as_str())
            }
        }
    }
}

/// Does as [`PlainRenderer`] does, unless this panics before, or says why a table cannot be written or is
/// not sound.
pub(crate) struct Meddled<M>(pub(crate) M);

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

impl<M: Fn(&Asked<'_>) -> Result<(), &'static str> + Send + Sync> Renderer for Meddled<M> {
    fn fingerprint(&self) -> String {
        self.0(&Asked::Fingerprint).expect("a fingerprint is never refused");
        PLAIN.fingerprint()
    }

    fn render(
        &self,
        facts: &Facts<'_>,
        table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        match self.0(&Asked::Render(facts)) {
            Ok(()) => PLAIN.render(facts, table, artifacts),
            Err(reason) => {
                Err(RenderError { artifact: "pht".to_owned(), reason: reason.to_owned() })
            }
        }
    }

    fn check(
        &self,
        files: &[FileContent],
        keys: Option<&KeySet>,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        match self.0(&Asked::Check(files)) {
            Ok(()) => PLAIN.check(files, keys, keep_going),
            Err(reason) => {
                let file = files[0].name.to_string_lossy().into_owned();
                Ok(Err(ItemError::Damaged { file: file.into(), reason: reason.to_owned() }))
            }
        }
    }

    fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate {
        PLAIN.estimate(num_keys, width, geometry)
    }
}

const HEADER_BYTES: usize = 64;

fn encode(table: &TableView<'_>) -> Vec<u8> {
    let parameters = table.parameters();
    let mut bytes = vec![parameters.family.id(), parameters.geometry.edge_capacity_log2()];
    bytes.push(parameters.key_width.bits() as u8);
    bytes.push(u8::from(parameters.downsize.is_some()));
    bytes.extend(parameters.num_keys.to_le_bytes());
    bytes.extend(parameters.first_key.to_le_bytes());
    bytes.extend(parameters.last_key.to_le_bytes());
    bytes.extend(parameters.downsize.map_or(0, Downsize::bitmap).to_le_bytes());
    bytes.extend(parameters.seeds.words().iter().flat_map(|word| word.to_le_bytes()));
    assert_eq!(bytes.len(), HEADER_BYTES);
    bytes.extend(table.assigned_bytes());
    bytes.extend([0; PADDING_BYTES]);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Parameters> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let mut seeds = [0; 8];
    for (place, seed) in seeds.iter_mut().enumerate() {
        *seed = word(32 + 4 * place)?;
    }
    let parameters = Parameters {
        family: Family::from_id(*bytes.first()?)?,
        geometry: Geometry::from_edge_capacity_log2(bytes[1])?,
        key_width: KeyWidth::from_bits(u32::from(bytes[2]))?,
        downsize: if bytes[3] == 1 { Downsize::new(long(24)?) } else { None },
        num_keys: word(4)?,
        first_key: long(8)?,
        last_key: long(16)?,
        seeds: Seeds::from_words(seeds),
    };
    (bytes.len() == HEADER_BYTES + parameters.assigned_bytes() + PADDING_BYTES)
        .then_some(parameters)
}

/// The bytes of `num_keys` spread keys.
pub(crate) fn keys(num_keys: u32, stride: u32) -> Vec<u8> {
    (1..=num_keys).flat_map(|key| (key * stride).to_le_bytes()).collect()
}

/// Three good key files, one of them in a directory below.
pub(crate) fn three_good(root: &Path) {
    std::fs::create_dir_all(root.join("below")).unwrap();
    std::fs::write(root.join("small.keys"), keys(5, 77)).unwrap();
    std::fs::write(root.join("middle.keys"), keys(300, 7919)).unwrap();
    std::fs::write(root.join("below/large.keys"), keys(3000, 104_729)).unwrap();
}

/// Every file below a directory, by its path, with its bytes.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(root) else { return found };
    for entry in entries {
        let entry = entry.unwrap();
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(
                tree(&entry.path()).into_iter().map(|(path, bytes)| (name.join(path), bytes)),
            );
            found.insert(name, Vec::new());
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// A job from one directory to another.
pub(crate) fn job(input: &Path, output: &Path) -> Job {
    Job { output: Some(Output::new(output)), ..Job::new(Inputs::tree(input)) }
}

/// Runs a job and keeps its reports, by the names of their key files.
pub(crate) fn run_all(job: &Job, runtime: &Runtime<'_>) -> (Summary, BTreeMap<String, ItemReport>) {
    let mut reports = BTreeMap::new();
    let summary = run(job, runtime, &mut |event: &Event<'_>| {
        if let Event::Settled { report, progress } = event {
            let ledger = &progress.ledger;
            let sum = ledger.queued() + ledger.running() + ledger.settled();
            assert_eq!(sum, ledger.admitted());
            let name = report.keys_file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(reports.insert(name, (*report).clone()).is_none(), "settled twice");
        }
    })
    .unwrap();
    let parts = summary.ok + summary.unchanged + summary.failed + summary.cancelled;
    assert_eq!(parts, summary.tables);
    assert_eq!(reports.len(), summary.tables as usize);
    (summary, reports)
}

/// Engines that a function makes, for workers that are on so many nodes by turns.
pub(crate) struct Made<F> {
    make: F,
    num_nodes: usize,
}

/// The blocking engine, on one node.
pub(crate) static BLOCKING: Made<fn() -> Box<dyn Engine>> =
    Made { make: || Box::new(BlockingEngine::default()), num_nodes: 1 };

impl<F: Fn() -> Box<dyn Engine> + Sync> Made<F> {
    pub(crate) fn by(make: F) -> Self {
        Self { make, num_nodes: 1 }
    }

    pub(crate) fn on_two_nodes(make: F) -> Self {
        Self { make, num_nodes: 2 }
    }
}

impl<F: Fn() -> Box<dyn Engine> + Sync> EngineSource for Made<F> {
    fn engine(&self) -> Box<dyn Engine> {
        (self.make)()
    }

    fn num_nodes(&self) -> NonZeroUsize {
        self.num_nodes.try_into().unwrap()
    }

    fn node_of(&self, worker: usize) -> usize {
        worker % self.num_nodes
    }
}

/// A blocking engine of which somebody hears before every operation.
pub(crate) struct Overheard<F> {
    engine: BlockingEngine,
    hear: F,
    capacity: usize,
}

impl<F: Fn(&Op)> Overheard<F> {
    pub(crate) fn by(hear: F) -> Self {
        let engine = BlockingEngine::default();
        let capacity = engine.capacity();
        Self { engine, hear, capacity }
    }

    /// One that takes so many operations at once.
    pub(crate) fn taking(capacity: usize, hear: F) -> Self {
        Self { capacity, ..Self::by(hear) }
    }
}

impl<F: Fn(&Op)> Engine for Overheard<F> {
    fn submit(&mut self, token: Token, op: Op) {
        assert!(self.num_in_flight() < self.capacity, "{token:?} has no room");
        (self.hear)(&op);
        self.engine.submit(token, op);
    }

    fn poll(&mut self) -> Option<Completion> {
        self.engine.poll()
    }

    fn wait(&mut self, timeout: Option<std::time::Duration>) {
        self.engine.wait(timeout);
    }

    fn waker(&self) -> std::task::Waker {
        self.engine.waker()
    }

    fn cancel(&mut self, token: Token) {
        self.engine.cancel(token);
    }

    fn num_in_flight(&self) -> usize {
        self.engine.num_in_flight()
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

/// What the engines of a [`Faulty`] do to the operation that the test points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, all others go on.
    Once(i32),
    /// It fails without a trace, and so does everything after: the process died here.
    Death,
    /// It is done and the user presses Ctrl-C.
    Cancel,
    /// If it writes a part of a pack, one byte of it is another on the disk.
    Flip,
}

/// Makes engines that number all operations of a job and fail number `at`.
pub(crate) struct Faulty {
    pub(crate) at: usize,
    pub(crate) fault: Fault,
    pub(crate) cancel: CancelFlag,
    submitted: Arc<AtomicUsize>,
}

impl Faulty {
    pub(crate) fn new(at: usize, fault: Fault) -> Self {
        Self { at, fault, cancel: CancelFlag::default(), submitted: Arc::default() }
    }

    /// Operations so far.
    pub(crate) fn submitted(&self) -> usize {
        self.submitted.load(Ordering::Relaxed)
    }
}

impl EngineSource for Faulty {
    fn engine(&self) -> Box<dyn Engine> {
        Box::new(FaultyEngine {
            inner: BlockingEngine::default(),
            failed: Vec::new(),
            at: self.at,
            fault: self.fault,
            cancel: self.cancel.clone(),
            submitted: Arc::clone(&self.submitted),
        })
    }
}

/// Engines whose calls go wrong by a plan.
pub(crate) fn planned(plan: &Arc<FaultPlan>) -> Made<impl Fn() -> Box<dyn Engine> + Sync + use<>> {
    let plan = Arc::clone(plan);
    Made::by(move || Box::new(BlockingEngine::with_faults(None, Arc::clone(&plan))))
}

/// Changes the last byte of a file.
pub(crate) fn flip_last(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

struct FaultyEngine {
    inner: BlockingEngine,
    failed: Vec<Completion>,
    at: usize,
    fault: Fault,
    cancel: CancelFlag,
    submitted: Arc<AtomicUsize>,
}

impl Engine for FaultyEngine {
    fn submit(&mut self, token: Token, op: Op) {
        let number = self.submitted.fetch_add(1, Ordering::Relaxed);
        let errno = match self.fault {
            Fault::Once(errno) if number == self.at => errno,
            // EIO
            Fault::Death if number >= self.at => 5,
            Fault::Cancel if number == self.at => {
                self.cancel.cancel();
                return self.inner.submit(token, op);
            }
            Fault::Flip if number == self.at => {
                let written =
                    if let Op::Append { path, .. } = &op { Some(path.clone()) } else { None };
                self.inner.submit(token, op);
                return written.iter().for_each(|path| flip_last(path));
            }
            Fault::Once(_) | Fault::Death | Fault::Cancel | Fault::Flip => {
                return self.inner.submit(token, op);
            }
        };
        // A write that fails may have got somewhere.
        if let Op::WriteDirectory { parent, name, files } = op {
            std::fs::create_dir(parent.join(&name)).unwrap();
            if let Some(file) = files.first() {
                std::fs::write(parent.join(&name).join(&file.name), &file.bytes[..1]).unwrap();
            }
        }
        let kind = IoErrorKind::System(errno);
        let error = IoError::new(Operation::Write, Path::new("injected"), kind);
        self.failed.push(Completion { token, outcome: Err(Failure { error, buffer: None }) });
    }

    fn poll(&mut self) -> Option<Completion> {
        self.failed.pop().or_else(|| self.inner.poll())
    }

    fn wait(&mut self, timeout: Option<std::time::Duration>) {
        self.inner.wait(timeout);
    }
    fn waker(&self) -> std::task::Waker {
        self.inner.waker()
    }
    fn cancel(&mut self, token: Token) {
        self.inner.cancel(token);
    }
    fn num_in_flight(&self) -> usize {
        self.failed.len() + self.inner.num_in_flight()
    }

    fn capacity(&self) -> usize {
        self.inner.capacity()
    }
}
