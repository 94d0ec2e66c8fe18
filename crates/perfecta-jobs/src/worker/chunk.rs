//! A chunk of a pack: appended, read back, and every table in it checked.

use std::sync::Arc;

use perfecta_core::interrupt::Interrupted;
use perfecta_core::key::KeySet;
use perfecta_io::{Op, Outcome, Symlinks};

use super::{Slot, Worker, token};
use crate::activity;
use crate::error::ItemError;
use crate::guard::guarded;
use crate::manifest::PackedEntry;
use crate::pack::Chunk;
use crate::render::check_image;
use crate::watch::{Named, Station};
use crate::work::Work;

/// A chunk on its way into the pack.
pub(super) struct ChunkInHand<'a> {
    work: Arc<Work<'a>>,
    offset: u64,
    tables: Vec<(PackedEntry, Arc<KeySet>)>,
    phase: Phase,
}

enum Phase {
    Appending,
    /// With what was appended.
    ReadingBack(Vec<u8>),
}

impl<'a> Worker<'_, 'a> {
    /// Appends a chunk to the pack.
    pub(super) fn append(&mut self, work: Arc<Work<'a>>, chunk: Chunk) {
        let Chunk { offset, bytes, tables } = chunk;
        let path = work.pack.clone().expect("only a pack has chunks");
        let slot = self.slots.open();
        let (station, named) = (Station::Slot(slot), Named::Path(path.clone()));
        self.session.note(self.number, station, &work.observer, named, activity::APPEND);
        let in_hand = ChunkInHand { work, offset, tables, phase: Phase::Appending };
        self.slots.put(slot, Slot::Chunk(Box::new(in_hand)));
        self.engine.submit(token(slot), Op::Append { path, offset, bytes });
    }

    pub(super) fn chunk_completed(
        &mut self,
        slot: usize,
        mut chunk: ChunkInHand<'a>,
        outcome: Outcome,
    ) {
        let payload = match outcome {
            Ok(payload) => payload,
            Err(failure) => {
                return self.chunk_ends(slot, &chunk.work, Err(ItemError::Output(failure.error)));
            }
        };
        match std::mem::replace(&mut chunk.phase, Phase::Appending) {
            Phase::Appending => {
                let bytes = payload.into_written();
                let path = chunk.work.pack.clone().expect("only a pack has chunks");
                let buffer = self.session.spare.take_buffer(self.node, bytes.len() as u64);
                let (offset, length) = (chunk.offset, bytes.len());
                chunk.phase = Phase::ReadingBack(bytes);
                self.slots.put(slot, Slot::Chunk(Box::new(chunk)));
                let symlinks = Symlinks::Refuse;
                let op = Op::ReadRange { path, offset, bytes: length, buffer, symlinks };
                self.engine.submit(token(slot), op);
            }
            Phase::ReadingBack(bytes) => {
                let read = payload.into_bytes();
                let checked = guarded(|| chunk.check(&bytes, &read));
                let checked = checked.unwrap_or_else(|message| Err(ItemError::Panicked(message)));
                self.session.spare.give_buffer(self.node, read);
                let ChunkInHand { work, offset, tables, .. } = chunk;
                let outcome = checked.map(|()| Chunk { offset, bytes, tables });
                self.chunk_ends(slot, &work, outcome);
            }
        }
    }

    fn chunk_ends(&mut self, slot: usize, work: &Work<'a>, outcome: Result<Chunk, ItemError>) {
        self.leave(slot);
        self.session.change(work, |state| state.appended(outcome));
    }
}

impl ChunkInHand<'_> {
    fn check(&self, written: &[u8], read: &[u8]) -> Result<(), ItemError> {
        if read != written {
            let path = self.work.pack.as_ref().expect("only a pack has chunks");
            let reason = "what was read back is not what was written".to_owned();
            return Err(ItemError::Damaged { file: path.to_owned(), reason });
        }
        let keep_going = self.work.cancel.keep_going();
        for (entry, keys) in &self.tables {
            let from = (entry.offset - self.offset) as usize;
            let image = &read[from..from + entry.bytes as usize];
            match check_image(entry.shown(), image, Some(keys), &keep_going) {
                Ok(checked) => checked?,
                // What is not checked then is not published: who closes the pack looks at the same flag.
                Err(Interrupted) => return Ok(()),
            }
        }
        Ok(())
    }
}
