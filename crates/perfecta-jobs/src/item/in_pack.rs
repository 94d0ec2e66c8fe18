//! An item whose table is in a pack that is not published yet.

use std::sync::Arc;

use super::Item;
use super::state::State;
use crate::config::Doubt;
use crate::event::{ItemReport, SearchReport};
use crate::ledger::Status;
use crate::planned::Planned;

/// What the report of an item in a pack says that the plan does not. All items of a job are in its pack
/// before the first of them settles, and there may be a million.
#[must_use = "an item in a pack settles with it"]
#[derive(Debug)]
pub(crate) struct InPack {
    position: u32,
    keys_bytes: u64,
    keys: u64,
    doubt: Option<Doubt>,
    search: Option<SearchReport>,
    bytes: u64,
}

const _: () = assert!(size_of::<InPack>() <= 128, "of a million tables, each byte is a megabyte");

impl InPack {
    pub(crate) const fn position(&self) -> u32 {
        self.position
    }

    /// The item, planned so.
    pub(crate) fn into_item(self, planned: Arc<Planned>) -> Item {
        let Self { position, keys_bytes, keys, doubt, search, bytes } = self;
        let mut item = Item::new(planned, position);
        item.state = State::Packing;
        item.report = ItemReport { keys_bytes, keys, doubt, search, bytes, ..item.report };
        item
    }
}

impl Item {
    /// What is kept of it until its pack is published.
    ///
    /// # Panics
    /// If it is in no pack.
    pub(crate) fn into_pack(self) -> InPack {
        assert!(matches!(self.state, State::Packing), "{:?} is in no pack", self.state);
        let ItemReport {
            keys_file: _,
            identifier: _,
            status,
            keys_bytes,
            keys,
            doubt,
            // A pack is replaced as a whole.
            replaces_other_options: _,
            search,
            bytes,
            files,
            error,
        } = self.report;
        assert_eq!((status, files, error), (Status::Ok, 0, None), "a table in a pack is whole");
        InPack { position: self.position, keys_bytes, keys, doubt, search, bytes }
    }
}
