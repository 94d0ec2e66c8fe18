//! Reports of what should not happen: a panic in any thread of the daemon, and daemons that died.
//!
//! What the system ends a process by (a segmentation fault, a killer of those that take too much
//! memory) cannot be caught without unsafe code that runs in a broken process. The next daemon sees by
//! the journal that the one before it died, and reports with which requests.

use std::backtrace::Backtrace;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;
use perfecta_jobs::{Artifacts, Event, Renderer, SystemClock};

use crate::clock::WallClock;
use crate::endpoint::EndpointError;
use crate::record::Record;
use crate::state::StateDirectory;

/// Reports of one daemon: what happens more often is the same.
const REPORTS_MAX: u32 = 20;

/// Reports that are there when a daemon starts; older ones are removed.
const REPORTS_KEPT: usize = 80;

/// Items that a thread began last, at most; of those of a pack, which settle together, it has begun more.
const IN_HAND_MAX: usize = 64;

/// A report does not wait longer for what threads have in hand: the one that panics may hold the lock.
const LOCK_TIME_MAX: Duration = Duration::from_millis(100);

/// Of all threads: an item settles on whichever is told so, its own or one that closes a pack or a batch.
static IN_HAND: LazyLock<Mutex<InHand>> = LazyLock::new(Mutex::default);

/// Request and key file.
type Item = (String, PathBuf);

/// What threads began, and nobody was told to be settled, of requests that have not ended.
#[derive(Default)]
struct InHand {
    begun_by: HashMap<Item, ThreadId>,
    /// The latest of each thread first.
    items: HashMap<ThreadId, VecDeque<Item>>,
}

impl InHand {
    fn begin(&mut self, thread: ThreadId, item: Item) {
        // A file that is named twice is begun twice.
        self.settle(&item);
        let items = self.items.entry(thread).or_default();
        items.push_front(item.clone());
        if items.len() > IN_HAND_MAX
            && let Some(earliest) = items.pop_back()
        {
            self.begun_by.remove(&earliest);
        }
        self.begun_by.insert(item, thread);
    }

    fn settle(&mut self, item: &Item) {
        let Some(thread) = self.begun_by.remove(item) else { return };
        if let Some(items) = self.items.get_mut(&thread) {
            items.retain(|begun| begun != item);
        }
    }

    fn forget(&mut self, request: &str) {
        self.begun_by.retain(|(id, _), _| id != request);
        self.items.values_mut().for_each(|items| items.retain(|(id, _)| id != request));
    }
}

/// Has every panic from now on reported in `directory`.
///
/// # Errors
/// [`EndpointError`] if that is no directory of this user's alone.
pub(crate) fn report_panics(directory: &Path) -> Result<(), EndpointError> {
    StateDirectory::at(directory).prepare()?;
    remove_old(directory);
    let (directory, written) = (directory.to_owned(), AtomicU32::new(0));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if written.fetch_add(1, Ordering::Relaxed) < REPORTS_MAX {
            // A process that goes wrong has nobody to tell that its report went wrong as well.
            let _ = write(&directory, "panic", &of_panic(panic));
        }
    }));
    Ok(())
}

/// Reports that a daemon died before it had answered these requests.
pub(crate) fn report_death(directory: &Path, requests: &[String]) -> io::Result<PathBuf> {
    let list: String = requests.iter().map(|id| format!("request: {id}\n")).collect();
    let about = "the daemon before this one died, and could not say of what. See the system's log for \
                 its signal.";
    let unanswered = match requests {
        [] => "It had answered all requests.",
        _ => "It had not answered:",
    };
    write(directory, "death", &format!("{}{about} {unanswered}\n{list}", head()))
}

/// Takes note of what a worker has in hand: the thread that tells of it begins it, and any may settle it.
pub(crate) fn observe(record: &Record, event: &Event<'_>) {
    let item = |keys_file: &Path| (record.id.clone(), keys_file.to_path_buf());
    match event {
        Event::Started { keys_file, .. } => {
            let item = item(keys_file);
            IN_HAND.lock().begin(thread::current().id(), item);
            deliberate(keys_file, "crash-worker.keys");
        }
        Event::Settled { report, .. } => {
            let item = item(&report.keys_file);
            IN_HAND.lock().settle(&item);
        }
        Event::Planned(_) | Event::Searching(_) | Event::Notice(_) => {}
    }
}

/// Of a request that has ended nothing is in hand, also where a bug kept items of it from being settled.
pub(crate) fn forget(record: &Record) {
    IN_HAND.lock().forget(&record.id);
}

/// The renderer of a request.
#[cfg(not(debug_assertions))]
pub(crate) fn renderer(artifacts: Artifacts) -> Arc<dyn Renderer> {
    Arc::new(artifacts)
}

/// The renderer of a request, which panics where a test wants it to.
#[cfg(debug_assertions)]
pub(crate) fn renderer(artifacts: Artifacts) -> Arc<dyn Renderer> {
    Arc::new(fragile::Fragile(artifacts))
}

/// In programs that are built for tests, a key file of this name is a bug.
fn deliberate(keys_file: &Path, name: &str) {
    assert!(!cfg!(debug_assertions) || !keys_file.ends_with(name), "a deliberate crash");
}

fn of_panic(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let message = panic.payload_as_str().unwrap_or("a panic without words");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    format!(
        "{}thread: {}\nmessage: {message}\nplace: {place}\n{}backtrace:\n{}\n",
        head(),
        thread.name().unwrap_or("?"),
        in_hand(&IN_HAND),
        Backtrace::force_capture()
    )
}

/// What this thread began, and nobody was told to be settled, a line each for request and key file.
fn in_hand(all: &Mutex<InHand>) -> String {
    let Some(in_hand) = all.try_lock_for(LOCK_TIME_MAX) else { return String::new() };
    let items = in_hand.items.get(&thread::current().id());
    let line = |(id, file): &Item| format!("request: {id}\nkey file: {}\n", file.display());
    items.into_iter().flatten().map(line).collect()
}

fn head() -> String {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "perfecta {} ({build})\ntime: {} seconds since 1970\nprocess: {}\n",
        env!("CARGO_PKG_VERSION"),
        SystemClock.since_1970().as_secs(),
        std::process::id()
    )
}

/// Writes a report under a name that sorts by time.
fn write(directory: &Path, kind: &str, text: &str) -> io::Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (time, process) = (SystemClock.since_1970().as_secs(), std::process::id());
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!("{time:012}-{process}-{number}-{kind}.txt"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

fn remove_old(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut reports: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    reports.sort_unstable();
    for report in reports.iter().rev().skip(REPORTS_KEPT) {
        // One that stays is one too many, and no more.
        let _ = fs::remove_file(report);
    }
}

#[cfg(debug_assertions)]
mod fragile {
    //! A renderer with a bug, for tests of what becomes of one.

    use std::path::Path;

    use perfecta_core::geometry::Geometry;
    use perfecta_core::interrupt::{Interrupted, KeepGoing};
    use perfecta_core::key::{KeySet, KeyWidth};
    use perfecta_core::table::Table;
    use perfecta_io::FileContent;
    use perfecta_jobs::{
        Artifacts, Estimate, Facts, ItemError, RenderError, RenderedFile, Renderer,
    };

    pub(super) struct Fragile(pub(super) Artifacts);

    impl Renderer for Fragile {
        fn fingerprint(&self) -> String {
            self.0.fingerprint()
        }

        fn render(
            &self,
            facts: &Facts<'_>,
            table: &Table,
            artifacts: &mut Vec<RenderedFile>,
        ) -> Result<(), RenderError> {
            super::deliberate(Path::new(facts.identifier.as_str()), "crash_item");
            self.0.render(facts, table, artifacts)
        }

        fn check(
            &self,
            files: &[FileContent],
            keys: Option<&KeySet>,
            keep_going: &KeepGoing<'_>,
        ) -> Result<Result<(), ItemError>, Interrupted> {
            self.0.check(files, keys, keep_going)
        }

        fn estimate(&self, num_keys: u64, width: KeyWidth, geometry: Geometry) -> Estimate {
            self.0.estimate(num_keys, width, geometry)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use perfecta_jobs::{ItemReport, Progress, Status};

    use super::*;
    use crate::access::Caller;
    use crate::clock::tests::any;

    fn record(id: &str) -> Record {
        let json = r#"{"inputs": {"files": ["/a"]}, "output": null}"#;
        Record::new(id.to_owned(), Caller::Owner, serde_json::from_str(json).unwrap(), any())
    }

    fn start(record: &Record, keys_file: &str) {
        observe(record, &Event::Started { keys_file: Path::new(keys_file), keys: 1 });
    }

    fn settle(record: &Record, keys_file: &str) {
        let report = ItemReport::new(keys_file.into(), "a".to_owned(), Status::Ok);
        let progress = Progress::default();
        observe(record, &Event::Settled { report: &report, progress: &progress });
    }

    /// What a report of this thread would tell.
    pub(crate) fn in_hand_here() -> String {
        in_hand(&IN_HAND)
    }

    fn lines(items: &[(&str, &str)]) -> String {
        items.iter().map(|(id, file)| format!("request: {id}\nkey file: {file}\n")).collect()
    }

    #[test]
    fn what_another_thread_settles_is_in_hand_no_more() {
        let [one, other] = ["crash-1", "crash-2"].map(record);
        for record in [&one, &other] {
            ["/a", "/b"].iter().for_each(|file| start(record, file));
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(in_hand_here(), "");
                settle(&one, "/b");
                settle(&other, "/a");
                settle(&other, "/unknown");
            });
        });
        assert_eq!(in_hand_here(), lines(&[("crash-2", "/b"), ("crash-1", "/a")]));
        settle(&one, "/a");
        settle(&other, "/b");
        assert_eq!(in_hand_here(), "");
    }

    #[test]
    fn a_report_of_who_holds_what_is_in_hand_is_written_without() {
        let all = Mutex::new(InHand::default());
        let mut held = all.lock();
        held.begin(thread::current().id(), ("crash-4".to_owned(), "/a".into()));
        assert_eq!(in_hand(&all), "");
        drop(held);
        assert_eq!(in_hand(&all), lines(&[("crash-4", "/a")]));
    }

    #[test]
    fn of_what_a_thread_began_and_nobody_settled_the_latest_is_told() {
        let record = record("crash-3");
        let files: Vec<String> = (0..IN_HAND_MAX + 9).map(|number| format!("/{number}")).collect();
        files.iter().for_each(|file| start(&record, file));
        let latest: Vec<(&str, &str)> =
            files[9..].iter().rev().map(|file| ("crash-3", file.as_str())).collect();
        assert_eq!(in_hand_here(), lines(&latest));
        files.iter().for_each(|file| settle(&record, file));
        assert_eq!(in_hand_here(), "");
    }

    #[test]
    fn only_so_many_reports_are_kept_and_those_are_the_latest() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::write(directory.path().join(format!("{number:012}-1-0-panic.txt")), "").unwrap();
        }
        remove_old(directory.path());
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort_unstable();
        assert_eq!(names.len(), REPORTS_KEPT);
        assert_eq!(names[0].to_str(), Some("000000000020-1-0-panic.txt"));
    }
}
