//! The states of an item, and what is asked of each. The drawing is that of the item.

use std::fmt;

use perfecta_io::{Buffer, FileContent, Replace};

use crate::activity;
use crate::manifest::Origin;

/// Where an item is: moved by [`Item::on`](super::Item::on) and the steps that it calls.
pub(super) enum State {
    Queued,
    ReadingKeys,
    Comparing {
        bytes: Buffer,
        origin: Origin,
    },
    /// What is in its place was too much to be read.
    Listing {
        bytes: Buffer,
        origin: Origin,
    },
    Searching {
        origin: Option<Origin>,
        replace: Replace,
    },
    Packing,
    Reserving(Bundle),
    MakingParent(Bundle),
    Unchanged,
    Staging(Replace),
    Staged(Replace),
    Publishing(Replace),
    /// Somebody else published a table in its place since it was looked at.
    Overtaken,
    /// That table is the same: what is staged goes.
    Yielding,
    Clearing,
    Published(Replace),
    Abandoning,
    Settled,
    /// Only while a move is made.
    Moving,
}

/// A rendered table on its way to the disk.
pub(super) struct Bundle {
    /// The manifest is the last.
    pub(super) files: Vec<FileContent>,
    pub(super) replace: Replace,
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::ReadingKeys => "ReadingKeys",
            Self::Comparing { .. } => "Comparing",
            Self::Listing { .. } => "Listing",
            Self::Searching { .. } => "Searching",
            Self::Packing => "Packing",
            Self::Reserving(_) => "Reserving",
            Self::MakingParent(_) => "MakingParent",
            Self::Unchanged => "Unchanged",
            Self::Staging(_) => "Staging",
            Self::Staged(_) => "Staged",
            Self::Publishing(_) => "Publishing",
            Self::Overtaken => "Overtaken",
            Self::Yielding => "Yielding",
            Self::Clearing => "Clearing",
            Self::Published(_) => "Published",
            Self::Abandoning => "Abandoning",
            Self::Settled => "Settled",
            Self::Moving => "Moving",
        }
    }

    /// What an item is at, or waits for.
    pub(super) const fn activity(&self) -> &'static str {
        match self {
            Self::Queued => activity::AWAIT_BUFFER,
            Self::ReadingKeys => activity::READ_KEYS,
            Self::Comparing { .. } | Self::Listing { .. } | Self::Overtaken => activity::COMPARE,
            Self::Searching { .. } => activity::SEARCH,
            Self::Packing => activity::PACK,
            Self::Reserving(_) => activity::RESERVE,
            Self::MakingParent(_) => activity::MAKE_PARENT,
            Self::Staging(_) => activity::STAGE,
            Self::Unchanged | Self::Staged(_) => activity::AWAIT_SYNC,
            Self::Publishing(_) => activity::PUBLISH,
            Self::Clearing | Self::Yielding => activity::CLEAR,
            Self::Published(_) => activity::AWAIT_NAME_SYNC,
            Self::Abandoning => activity::ABANDON,
            Self::Settled => "end",
            Self::Moving => "move",
        }
    }

    /// Whether something of the item may lie in the staging directory.
    pub(super) const fn is_staged(&self) -> bool {
        match self {
            Self::Staging(_) | Self::Staged(_) | Self::Publishing(_) | Self::Overtaken => true,
            Self::Queued
            | Self::ReadingKeys
            | Self::Comparing { .. }
            | Self::Listing { .. }
            | Self::Searching { .. }
            | Self::Packing
            | Self::Reserving(_)
            | Self::MakingParent(_)
            | Self::Unchanged
            | Self::Yielding
            | Self::Clearing
            | Self::Published(_)
            | Self::Abandoning
            | Self::Settled
            | Self::Moving => false,
        }
    }

    /// Whether nothing of the item can be seen in the output yet.
    pub(super) const fn is_invisible(&self) -> bool {
        match self {
            Self::Queued
            | Self::ReadingKeys
            | Self::Comparing { .. }
            | Self::Listing { .. }
            | Self::Searching { .. }
            | Self::Packing
            | Self::Reserving(_)
            | Self::MakingParent(_)
            | Self::Unchanged
            | Self::Staging(_)
            | Self::Staged(_)
            | Self::Publishing(_)
            | Self::Overtaken => true,
            Self::Yielding
            | Self::Clearing
            | Self::Published(_)
            | Self::Abandoning
            | Self::Settled
            | Self::Moving => false,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
