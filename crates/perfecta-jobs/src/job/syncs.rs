//! The syncs that durable items of a job share, one at a time.
//!
//! ```text
//!  staged --> [waiting] -- enough, or nobody else comes --> taken --> published, settled
//!                 ^                                           |
//!                 `-------- names that are to be safe --------'
//! ```

use perfecta_io::IoError;

use super::{Holding, StagedItem};

/// Items that wait for a common sync, and whether one is made.
#[derive(Default)]
pub(super) struct Syncs {
    waiting: Unsynced,
    /// What those of them wrote that are staged.
    staged_bytes: u64,
    /// Whether somebody syncs: an error of writing back is told once, and who syncs beside would not
    /// hear of it.
    is_syncing: bool,
    /// Items that are being synced and published.
    in_publication: usize,
}

/// Items that wait for a common sync.
#[derive(Default)]
pub(crate) struct Unsynced {
    /// What they staged is to be safe before it is published.
    pub(crate) stages: Vec<StagedItem>,
    /// They are published; their names are to be safe.
    pub(crate) names: Vec<StagedItem>,
    /// An earlier sync failed. What of theirs was lost with it another sync would not tell.
    pub(crate) lost: Option<IoError>,
}

impl Unsynced {
    const fn len(&self) -> usize {
        self.stages.len() + self.names.len()
    }
}

impl Syncs {
    /// Items that share one sync. Every one holds a staged directory, no memory and no descriptor.
    const BATCH_ITEMS: usize = 1024;

    /// What they may have written together: the largest come first, and are not to be synced in one
    /// go. Decision 0007 has what other sizes cost.
    const BATCH_BYTES: u64 = 8 << 20;

    /// An item is staged, and waits for the next sync.
    pub(super) fn join(&mut self, item: StagedItem) {
        self.staged_bytes += item.item.bytes_written();
        self.waiting.stages.push(item);
    }

    /// Items that were synced wait for the next sync as well: those that were published for their names,
    /// those in whose places is what others published for all of it.
    pub(super) fn join_again(
        &mut self,
        mut published: Vec<StagedItem>,
        mut overtaken: Vec<StagedItem>,
    ) {
        self.in_publication -= published.len() + overtaken.len();
        let items = published.iter_mut().chain(&mut overtaken);
        items.for_each(|item| item.holding.is_in_publication = false);
        self.waiting.names.append(&mut published);
        self.waiting.stages.append(&mut overtaken);
    }

    /// Whether enough is staged for a sync.
    pub(super) fn is_due(&self) -> bool {
        let is_enough = self.waiting.stages.len() >= Self::BATCH_ITEMS
            || self.staged_bytes >= Self::BATCH_BYTES;
        is_enough && !self.is_syncing
    }

    /// Whether something waits, and nobody syncs.
    pub(super) const fn is_awaited(&self) -> bool {
        self.waiting.len() > 0 && !self.is_syncing
    }

    /// What waits, for somebody who makes the sync: [`Self::end`] comes next.
    pub(super) fn take(&mut self) -> Unsynced {
        let lost = self.waiting.lost.clone();
        let mut taken =
            std::mem::replace(&mut self.waiting, Unsynced { lost, ..Unsynced::default() });
        self.staged_bytes = 0;
        self.is_syncing = true;
        self.in_publication += taken.len();
        let items = taken.stages.iter_mut().chain(&mut taken.names);
        items.for_each(|item| item.holding.is_in_publication = true);
        taken
    }

    /// What a sync came to; whether it is the first that failed.
    pub(super) fn end(&mut self, outcome: &Result<(), IoError>) -> bool {
        assert!(self.is_syncing, "a sync ends that nobody began");
        self.is_syncing = false;
        let Err(error) = outcome else { return false };
        self.waiting.lost.replace(error.clone()).is_none()
    }

    /// An item settles.
    pub(super) fn settle(&mut self, holding: &Holding) {
        self.in_publication -= usize::from(holding.is_in_publication);
    }

    /// Items that wait, or are being synced and published.
    pub(super) const fn num_parked(&self) -> usize {
        self.waiting.len() + self.in_publication
    }

    /// # Panics
    /// If anything waits, or is under way.
    pub(super) fn assert_quiet(&self) {
        assert!(self.num_parked() == 0, "items wait for a sync");
        assert!(!self.is_syncing, "somebody syncs");
    }
}
