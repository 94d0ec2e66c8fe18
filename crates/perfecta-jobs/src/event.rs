//! What a job tells while it runs and at its end.

use std::path::{Path, PathBuf};

use perfecta_core::family::Family;
use perfecta_core::seeds::Seeds;

use crate::config::Doubt;
use crate::error::{ExitClass, ItemError};
use crate::ledger::{Ledger, Status};

/// Is told everything, one event at a time, from whichever thread it happens on.
pub trait Observer: Send {
    /// Called for every event, in the order in which the job's counts change.
    fn observe(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>) + Send> Observer for F {
    fn observe(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The items are known; counts in it are those of the whole job.
    Planned(&'a Progress),
    /// A worker took an item.
    Started {
        /// The key file.
        keys_file: &'a Path,
        /// Its keys, as its length says.
        keys: u64,
    },
    /// An item reached its final state.
    Settled {
        /// What came of it.
        report: &'a ItemReport,
        /// Where the job is now.
        progress: &'a Progress,
    },
    /// Attempts of a hard item went by.
    Searching(&'a Progress),
    /// Something the user should know, once.
    Notice(&'a str),
}

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Where the items are.
    pub ledger: Ledger,
    /// Keys of settled items, as the files' lengths say.
    pub keys_done: u64,
    /// Keys of all items, as the files' lengths say.
    pub keys_total: u64,
    /// Seconds since the job began.
    pub wall_seconds: f64,
    /// The running item with the most attempts, once it has more than a range of them.
    pub hardest: Option<Hardest>,
}

/// A running item that takes many attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardest {
    /// The key file.
    pub keys_file: PathBuf,
    /// Attempts so far.
    pub attempts: u64,
}

/// What came of an item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemReport {
    /// The key file, as found.
    pub keys_file: PathBuf,
    /// The table's name, an identifier.
    pub identifier: String,
    /// Its final state.
    pub status: Status,
    /// Bytes of the key file that were read.
    pub keys_bytes: u64,
    /// Keys in the set; 0 if it was never read.
    pub keys: u64,
    /// What else they may be.
    pub doubt: Option<Doubt>,
    /// The table that was in its place was made with other options.
    pub replaces_other_options: bool,
    /// The search, if there was one to its end.
    pub search: Option<SearchReport>,
    /// Bytes written for it, manifest included.
    pub bytes: u64,
    /// Files written for it, manifest included.
    pub files: u32,
    /// Why there is no table.
    pub error: Option<ItemError>,
}

impl ItemReport {
    /// An item of which nothing is known but its end.
    #[must_use]
    pub const fn new(keys_file: PathBuf, identifier: String, status: Status) -> Self {
        Self {
            keys_file,
            identifier,
            status,
            keys_bytes: 0,
            keys: 0,
            doubt: None,
            replaces_other_options: false,
            search: None,
            bytes: 0,
            files: 0,
            error: None,
        }
    }
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchReport {
    /// Edges that the last graph could hold.
    pub edge_capacity: u32,
    /// Its vertices.
    pub vertices: u32,
    /// The hash family.
    pub hash: Family,
    /// Seeds of the winner; zeros without one.
    pub seeds: Seeds,
    /// Attempts made, the winner's included.
    pub attempts: u64,
    /// The winner's number within its stage, from 1.
    pub winning_attempt: Option<u64>,
    /// Attempts in which some key had the same vertex twice.
    pub vertex_collisions: u64,
    /// Attempts whose graph held a cycle.
    pub cyclic: u64,
    /// Doublings of the vertices.
    pub grows: u8,
    /// Wall time of the search.
    pub seconds: f64,
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Items.
    pub tables: u32,
    /// Built.
    pub ok: u32,
    /// Published already.
    pub unchanged: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled, also those that were never begun.
    pub cancelled: u32,
    /// Whether it was cancelled because its time was over.
    pub is_expired: bool,
    /// Keys of the tables that were built or unchanged.
    pub keys: u64,
    /// Wall time.
    pub wall_seconds: f64,
    /// CPU time of the process during the job, all threads, user and system.
    pub cpu_seconds: f64,
    /// Bytes published.
    pub bytes: u64,
    /// Files published.
    pub files: u64,
    /// The class of the first failure, in the order of the plan.
    pub first_failure: Option<ExitClass>,
}

impl Summary {
    /// What the exit code says: the item's own class if the job had just one.
    #[must_use]
    pub fn exit_class(&self) -> ExitClass {
        if self.cancelled > 0 {
            return if self.is_expired { ExitClass::Expired } else { ExitClass::Cancelled };
        }
        class_of(self.first_failure, self.tables)
    }
}

/// What is said of so many items of which this is the first failure.
const fn class_of(first_failure: Option<ExitClass>, items: u32) -> ExitClass {
    match first_failure {
        None => ExitClass::Ok,
        Some(class) if items == 1 => class,
        Some(_) => ExitClass::SomeFailed,
    }
}

/// What a job would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DryRun {
    /// Tables that would be built, or found unchanged.
    pub tables: u32,
    /// Their keys, as the files' lengths say.
    pub keys: u64,
    /// Files that would be written.
    pub files: u64,
    /// Bytes that would be written.
    pub bytes: u64,
    /// Items that would fail whatever their keys, and why.
    pub refused: Vec<(PathBuf, ItemError)>,
    /// What a run would say before it begins: of its inputs, and of the pack that it replaces.
    pub notices: Vec<String>,
}

impl DryRun {
    /// What the exit code says: as of a run in which nothing else fails.
    #[must_use]
    pub fn exit_class(&self) -> ExitClass {
        let first_failure = self.refused.first().map(|(_, error)| error.exit_class());
        class_of(first_failure, self.tables + self.refused.len() as u32)
    }
}
