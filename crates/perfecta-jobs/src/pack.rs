//! One file for all tables: entries arrive in any order and leave in that of the plan, so that the
//! bytes do not depend on threads.
//!
//! ```text
//!            deliver / skip            position is next            take_chunk         written
//!  item ---------------------> arrived ----------------> in chunk ----------> writing -------> safe
//! ```
//!
//! A chunk is written, read back and checked against all keys of its tables before the next one.
//! What has arrived and not left is bounded: an item begins only while it is within
//! [`PackWindow::AHEAD_MAX`] of the first that has not arrived, and less than
//! [`PackWindow::WAITING_BYTES_MAX`] wait; the first itself may unless so much waits for the disk alone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use perfecta_core::format::pack::{ImagePlace, PackWriter};
use perfecta_core::key::KeySet;
use serde::{Serialize, Serializer};

use crate::error::{ItemError, RenderError};
use crate::manifest::{Digest, PackManifest, PackedEntry};

/// A table on its way into the pack.
pub(crate) struct PackedTable {
    /// Where its directory would be, below the output directory.
    pub(crate) name: Vec<u8>,
    /// The table file.
    pub(crate) entry: Vec<u8>,
    pub(crate) keys: Arc<KeySet>,
    pub(crate) keys_blake3: Digest,
}

impl PackedTable {
    /// Bytes that are written of it: the entry, and what index and manifest say of it. How many digits its
    /// offset has is not known yet; it counts as the longest.
    pub(crate) fn output_bytes(&self) -> u64 {
        let (bytes, num_keys) = (self.entry.len() as u64, self.keys.len() as u64);
        let listed = PackedEntry::new(&self.name, u64::MAX, bytes, num_keys, self.keys_blake3);
        bytes + PackWriter::index_bytes(&self.name) as u64 + listed.manifest_bytes()
    }

    /// Bytes of the entry and of the keys that it is checked with.
    fn memory_bytes(&self) -> usize {
        self.entry.len() + self.keys.len() * self.keys.hashed().width().bytes()
    }
}

impl fmt::Debug for PackedTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.name))
    }
}

/// Bytes to append, and the tables in them.
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) tables: Vec<(PackedEntry, Arc<KeySet>)>,
}

/// The end of a pack: its index, and what the manifest says of all of it.
pub(crate) struct Ending {
    pub(crate) tables: PackedTables,
    pub(crate) bytes: Vec<u8>,
    pub(crate) offset: u64,
    pub(crate) blake3: Digest,
}

/// All tables of a pack, as its manifest lists them: each entry is made where it is written.
pub(crate) struct PackedTables {
    writer: PackWriter,
    /// Keys of each table, in the order of their images.
    num_keys: Vec<u32>,
}

impl PackedTables {
    /// Bytes of all images.
    pub(crate) fn bytes(&self) -> u64 {
        self.writer.images().iter().map(|image| image.place.bytes).sum()
    }
}

impl Serialize for PackedTables {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let images = self.writer.images();
        assert_eq!(images.len(), self.num_keys.len(), "every table of a pack has keys");
        serializer.collect_seq(images.iter().zip(&self.num_keys).map(|(image, &num_keys)| {
            let ImagePlace { offset, bytes, .. } = image.place;
            PackedEntry::new(image.name, offset, bytes, num_keys.into(), *image.keys_blake3)
        }))
    }
}

/// The order of a pack. See the drawing.
///
/// Invariant: every position below `next` has left the window; `end` is the offset after all chunks
/// that were handed out.
pub(crate) struct PackWindow {
    num_items: u32,
    writer: PackWriter,
    next: u32,
    arrived: BTreeMap<u32, Option<PackedTable>>,
    /// Bytes of what arrived and is in no chunk that was handed out: entries and keys.
    waiting_bytes: usize,
    bytes: Vec<u8>,
    tables: Vec<(PackedEntry, Arc<KeySet>)>,
    end: u64,
    is_writing: bool,
    hasher: blake3::Hasher,
    /// Keys of each table that was taken in.
    num_keys: Vec<u32>,
    failure: Option<ItemError>,
}

impl PackWindow {
    /// Items that may run ahead of the slowest.
    const AHEAD_MAX: u32 = 4096;
    /// Bytes that may wait for the slowest, or for the disk.
    const WAITING_BYTES_MAX: usize = 16 << 20;
    /// Bytes from which a chunk is worth a write.
    const CHUNK_BYTES: usize = 1 << 20;

    pub(crate) fn new(num_items: u32) -> Self {
        Self {
            num_items,
            writer: PackWriter::default(),
            next: 0,
            arrived: BTreeMap::new(),
            waiting_bytes: 0,
            bytes: PackWriter::header().to_vec(),
            tables: Vec::new(),
            end: 0,
            is_writing: false,
            hasher: blake3::Hasher::new(),
            num_keys: Vec::new(),
            failure: None,
        }
    }

    /// The most bytes of a pack and its manifest that are no table's.
    pub(crate) fn frame_bytes_max() -> u64 {
        PackWriter::FRAME_BYTES_MAX as u64 + PackManifest::frame_bytes_max()
    }

    /// Whether an item at `position` may begin.
    pub(crate) const fn admits(&self, position: u32) -> bool {
        let is_near = position - self.next < Self::AHEAD_MAX;
        // What waits for nothing but the disk gets less without it.
        let is_disk_behind = self.is_writing && self.bytes.len() >= Self::WAITING_BYTES_MAX;
        let is_awaited = position == self.next && !is_disk_behind;
        is_awaited || (is_near && self.waiting_bytes < Self::WAITING_BYTES_MAX)
    }

    /// An item comes with its table, or will never have one.
    pub(crate) fn arrive(&mut self, position: u32, table: Option<PackedTable>) {
        assert!(position >= self.next, "item {position} arrives twice");
        self.waiting_bytes += table.as_ref().map_or(0, PackedTable::memory_bytes);
        let before = self.arrived.insert(position, table);
        assert!(before.is_none(), "item {position} arrives twice");
        while let Some(arrived) = self.arrived.remove(&self.next) {
            self.next += 1;
            if let Some(table) = arrived {
                self.take_in(table);
            }
        }
    }

    fn take_in(&mut self, table: PackedTable) {
        if self.failure.is_some() {
            return;
        }
        let PackedTable { name, entry, keys, keys_blake3 } = table;
        let offset = match self.writer.append(&name, &entry, keys_blake3) {
            Ok(offset) => offset,
            Err(error) => {
                let name = String::from_utf8_lossy(&name).into_owned();
                let error = RenderError { artifact: name, reason: error.to_string() };
                self.failure.get_or_insert(ItemError::Render(error));
                return;
            }
        };
        assert_eq!(offset, self.end + self.bytes.len() as u64, "an image lies where it is written");
        let (bytes, num_keys) = (entry.len() as u64, keys.len() as u64);
        let packed = PackedEntry::new(&name, offset, bytes, num_keys, keys_blake3);
        self.bytes.extend_from_slice(&entry);
        self.num_keys.push(keys.len() as u32);
        self.tables.push((packed, keys));
    }

    /// Whether there is enough for a chunk, and none is being written.
    pub(crate) fn has_chunk(&self) -> bool {
        let is_last = self.next == self.num_items && !self.tables.is_empty();
        let is_due = self.bytes.len() >= Self::CHUNK_BYTES || is_last;
        is_due && !self.is_writing && self.failure.is_none()
    }

    /// The next chunk to write.
    pub(crate) fn take_chunk(&mut self) -> Option<Chunk> {
        if !self.has_chunk() {
            return None;
        }
        self.is_writing = true;
        self.waiting_bytes = self.arrived.values().flatten().map(PackedTable::memory_bytes).sum();
        let chunk = Chunk {
            offset: self.end,
            bytes: std::mem::take(&mut self.bytes),
            tables: std::mem::take(&mut self.tables),
        };
        self.end += chunk.bytes.len() as u64;
        Some(chunk)
    }

    /// A chunk was read back and is what it should be, or the pack is lost.
    pub(crate) fn written(&mut self, outcome: Result<Chunk, ItemError>) {
        assert!(self.is_writing, "a chunk comes back that was not handed out");
        self.is_writing = false;
        match outcome {
            Ok(chunk) => {
                self.hasher.update(&chunk.bytes);
            }
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Why the pack is lost, if it is.
    pub(crate) fn failure(&self) -> Option<&ItemError> {
        self.failure.as_ref()
    }

    /// Whether every item arrived and everything is written, or lost.
    pub(crate) fn is_through(&self) -> bool {
        let is_written = self.tables.is_empty() || self.failure.is_some();
        self.next == self.num_items && !self.is_writing && is_written
    }

    /// What is left to do when all is through.
    pub(crate) fn finish(mut self) -> Ending {
        assert!(self.is_through(), "the pack is not through");
        assert!(self.failure.is_none(), "a pack that is lost has no end");
        self.bytes.extend(self.writer.finish());
        self.hasher.update(&self.bytes);
        Ending {
            tables: PackedTables { writer: self.writer, num_keys: self.num_keys },
            offset: self.end,
            blake3: *self.hasher.finalize().as_bytes(),
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfecta_core::key::Repair;

    const IMAGE: usize = 64;

    fn table(name: &str, images: usize) -> PackedTable {
        let keys = Arc::new(KeySet::from_u32(vec![1], Repair::default()).unwrap());
        let entry = vec![name.as_bytes()[0]; images * IMAGE];
        PackedTable { name: name.into(), entry, keys, keys_blake3: [0; 32] }
    }

    #[test]
    fn tables_leave_in_the_order_of_the_plan_however_they_arrive() {
        let mut window = PackWindow::new(4);
        window.arrive(3, Some(table("d", 3)));
        window.arrive(1, Some(table("b", 2)));
        assert!(window.take_chunk().is_none());
        window.arrive(2, None);
        window.arrive(0, Some(table("a", 1)));
        let chunk = window.take_chunk().unwrap();
        let firsts: Vec<u8> = chunk.bytes.iter().step_by(IMAGE).skip(1).copied().collect();
        assert_eq!((chunk.offset, &*firsts), (0, &b"abbddd"[..]));
        let offsets: Vec<u64> = chunk.tables.iter().map(|(entry, _)| entry.offset).collect();
        assert_eq!(offsets, [64, 128, 256]);
        assert!(!window.is_through());
        window.written(Ok(chunk));
        let ending = window.finish();
        assert_eq!((ending.tables.num_keys.len(), ending.offset), (3, 448));
        let tables = serde_json::to_value(&ending.tables).unwrap();
        let listed: Vec<_> =
            tables.as_array().unwrap().iter().map(|it| (&it["name"], &it["offset"])).collect();
        assert_eq!(
            serde_json::json!(listed),
            serde_json::json!([["a", 64], ["b", 128], ["d", 256]])
        );
    }

    #[test]
    fn a_pack_that_is_lost_holds_nothing_more() {
        let mut window = PackWindow::new(3);
        window.arrive(0, Some(table("a", 1)));
        window.arrive(1, Some(table("a", 2)));
        let failure = window.failure().expect("a name is there twice").to_string();
        assert!(failure.starts_with("a cannot be rendered"), "{failure}");
        window.arrive(2, Some(table("c", 3)));
        assert_eq!(window.bytes.len(), 2 * IMAGE, "the header, and the first");
        assert!(!window.has_chunk() && window.is_through());
    }

    #[test]
    fn one_chunk_is_written_at_a_time_and_nobody_runs_too_far_ahead() {
        let mut window = PackWindow::new(10_000);
        assert!(window.admits(PackWindow::AHEAD_MAX - 1));
        assert!(!window.admits(PackWindow::AHEAD_MAX));
        let images = PackWindow::CHUNK_BYTES / IMAGE;
        window.arrive(0, Some(table("a", images)));
        assert!(window.admits(PackWindow::AHEAD_MAX));
        let chunk = window.take_chunk().unwrap();
        window.arrive(1, Some(table("b", images)));
        assert!(window.take_chunk().is_none());
        window.written(Ok(chunk));
        assert_eq!(window.take_chunk().unwrap().offset, (PackWindow::CHUNK_BYTES + 64) as u64);
    }

    #[test]
    fn what_comes_in_order_waits_for_the_disk() {
        let mut window = PackWindow::new(100);
        let images = PackWindow::WAITING_BYTES_MAX / 4 / IMAGE;
        window.arrive(0, Some(table("a", images)));
        let chunk = window.take_chunk().unwrap();
        for position in 1..=4 {
            assert!(window.admits(position));
            window.arrive(position, Some(table(&"bcde"[position as usize - 1..], images)));
        }
        assert!(!window.admits(5), "a chunk of all that waits may be, and none of more");
        window.written(Ok(chunk));
        assert!(window.has_chunk() && window.admits(5));
        assert_eq!(window.take_chunk().unwrap().bytes.len(), PackWindow::WAITING_BYTES_MAX);
        assert!(window.admits(5));
    }

    #[test]
    fn what_waits_for_an_item_does_not_keep_it_out() {
        let mut window = PackWindow::new(100);
        window.arrive(1, Some(table("b", PackWindow::WAITING_BYTES_MAX / IMAGE)));
        assert!(window.admits(0) && !window.admits(2));
        window.arrive(0, Some(table("a", PackWindow::CHUNK_BYTES / IMAGE)));
        let chunk = window.take_chunk().unwrap();
        window.arrive(3, Some(table("d", PackWindow::WAITING_BYTES_MAX / IMAGE)));
        assert!(window.admits(2) && !window.admits(4));
        window.written(Ok(chunk));
        assert!(window.admits(2));
    }

    #[test]
    fn a_name_that_comes_twice_loses_the_pack() {
        let mut window = PackWindow::new(2);
        window.arrive(0, Some(table("a", 1)));
        window.arrive(1, Some(table("a", 1)));
        assert!(window.failure().is_some());
        assert!(window.is_through());
    }
}
