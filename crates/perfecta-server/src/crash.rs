//! Reports of what should not happen: a panic in any thread of the daemon, and daemons that died.
//!
//! What the system ends a process by (a segmentation fault, a killer of those that take too much
//! memory) cannot be caught without unsafe code that runs in a broken process. The next daemon sees by
//! the journal that the one before it died, and reports with which requests.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use perfecta_jobs::{Artifacts, Event, Renderer, SystemClock};

use crate::clock::WallClock;
use crate::endpoint::EndpointError;
use crate::record::Record;
use crate::state::StateDirectory;

/// Reports of one daemon: what happens more often is the same.
const REPORTS_MAX: u32 = 20;

/// Reports that are there when a daemon starts; older ones are removed.
const REPORTS_KEPT: usize = 80;

/// Items that a worker began last, at most; it has fewer in hand.
const IN_HAND_MAX: usize = 64;

thread_local! {
    /// What this thread began, and was not told to be settled: request and key file.
    static IN_HAND: RefCell<VecDeque<(String, PathBuf)>> = const { RefCell::new(VecDeque::new()) };
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
                 its signal. It had not answered:";
    write(directory, "death", &format!("{}{about}\n{list}", head()))
}

/// Takes note of what a worker has in hand, which is the thread that tells of it.
pub(crate) fn observe(record: &Record, event: &Event<'_>) {
    match event {
        Event::Started { keys_file, .. } => {
            IN_HAND.with_borrow_mut(|in_hand| {
                in_hand.truncate(IN_HAND_MAX - 1);
                in_hand.push_front((record.id.clone(), keys_file.to_path_buf()));
            });
            deliberate(keys_file, "crash-worker.keys");
        }
        Event::Settled { report, .. } => IN_HAND.with_borrow_mut(|in_hand| {
            in_hand.retain(|(id, keys_file)| *id != record.id || *keys_file != report.keys_file);
        }),
        Event::Planned(_) | Event::Searching(_) | Event::Notice(_) => {}
    }
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
    let thread = std::thread::current();
    let message = panic.payload_as_str().unwrap_or("a panic without words");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let in_hand = IN_HAND.with(|in_hand| {
        let in_hand = in_hand.try_borrow();
        let in_hand = in_hand.iter().flat_map(|in_hand| in_hand.iter());
        let lines =
            in_hand.map(|(id, file)| format!("request: {id}\nkey file: {}\n", file.display()));
        lines.collect::<String>()
    });
    format!(
        "{}thread: {}\nmessage: {message}\nplace: {place}\n{in_hand}backtrace:\n{}\n",
        head(),
        thread.name().unwrap_or("?"),
        Backtrace::force_capture()
    )
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
mod tests {
    use super::*;

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
