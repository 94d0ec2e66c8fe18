//! A file's bytes: as they are read, and as they are on the device.

use std::ops::Range;

use crate::random::Random;

/// The bytes of a file in memory and on the device.
#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    on_device: Vec<u8>,
    /// What was written since, and would be written by a sync.
    dirty: Vec<Range<usize>>,
    /// It says that it is empty, as files of `/proc` do.
    hides_length: bool,
}

impl Content {
    /// What has been on the device for long.
    pub(super) fn settled(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), on_device: bytes.to_vec(), ..Self::default() }
    }

    /// What says that it has no bytes.
    pub(super) fn hidden(bytes: &[u8]) -> Self {
        Self { hides_length: true, ..Self::settled(bytes) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length that it says it has.
    pub(super) const fn told_bytes(&self) -> u64 {
        if self.hides_length { 0 } else { self.bytes.len() as u64 }
    }

    pub(super) fn read(&self, into: &mut [u8], offset: u64) -> usize {
        let begin = offset.min(self.bytes.len() as u64) as usize;
        let count = into.len().min(self.bytes.len() - begin);
        into[..count].copy_from_slice(&self.bytes[begin..begin + count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        // What was skipped reads as zeros.
        let begin = offset.min(self.bytes.len());
        self.bytes.resize(end.max(self.bytes.len()), 0);
        self.bytes[offset..end].copy_from_slice(bytes);
        match self.dirty.last_mut() {
            Some(last) if last.end == begin => last.end = end,
            Some(_) | None => self.dirty.push(begin..end),
        }
    }

    /// Writes to the device what is dirty, and only that: what an earlier sync lost stays lost.
    pub(super) fn sync(&mut self) {
        for Range { start, end } in self.dirty.drain(..) {
            self.on_device.resize(end.max(self.on_device.len()), 0);
            self.on_device[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }

    /// A sync failed: what was dirty counts as written, and is not on the device.
    pub(super) fn lose(&mut self) {
        self.dirty.clear();
    }

    /// Some of what is dirty may have been written by itself: nothing, the first part, or all of
    /// the length but zeros in it.
    pub(super) fn write_back_some(&mut self, random: &mut Random) {
        if self.dirty.is_empty() {
            return;
        }
        match random.below(4) {
            0 => {}
            1 => self.sync(),
            2 => {
                let length = random.index(self.bytes.len() + 1);
                self.dirty.retain_mut(|range| {
                    range.end = range.end.min(length);
                    range.start < range.end
                });
                self.sync();
            }
            3 => {
                let length = self.bytes.len().max(self.on_device.len());
                self.on_device.resize(length, 0);
            }
            _ => unreachable!("a number below 4"),
        }
    }

    /// The power is gone: what is on the device is what is left.
    pub(super) fn revert(&mut self) {
        self.bytes.clone_from(&self.on_device);
        self.dirty.clear();
    }

    /// Nothing leads to it any more in memory.
    pub(super) fn forget(&mut self) {
        self.bytes = Vec::new();
        self.dirty.clear();
    }
}
