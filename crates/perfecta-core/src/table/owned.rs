//! [`Table`]: a table that owns its array.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use super::batch::HashedKey;
use super::{Elements, PADDING_BYTES, Parameters, TableView};
use crate::interrupt::{Interrupted, KeepGoing, spans};
use crate::key::{Key, KeySet, Keys};

/// A table in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    parameters: Parameters,
    /// Elements as little-endian words, then padding.
    assigned: Box<[u8]>,
}

/// The parameters; of the array, its length.
impl fmt::Debug for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Table");
        shown.field("parameters", &self.parameters).field("assigned_bytes", &self.assigned.len());
        shown.finish()
    }
}

/// A table that does not give a key its rank: a bug here, or damage since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The table was made for another number of keys.
    #[error("the table holds {table} keys and the key set {keys}")]
    KeyCount {
        /// Keys of the table.
        table: u32,
        /// Keys of the set.
        keys: usize,
    },
    /// The table was made for keys of another width.
    #[error("the table takes {table}-bit keys and the key set holds {keys}-bit keys")]
    KeyWidth {
        /// Bits of the table's keys.
        table: u32,
        /// Bits of the set's keys.
        keys: u32,
    },
    /// A key gets an index that is not its rank.
    #[error("key {key:#x} has index {index}, its rank is {rank}")]
    Index {
        /// The key.
        key: u64,
        /// What the table says.
        index: u32,
        /// What it should say.
        rank: u32,
    },
}

impl Table {
    /// A table of an assigned array: `values[v]` is the value of vertex `v`, below the edge
    /// capacity.
    ///
    /// # Panics
    /// If the parameters are not consistent, or there are not as many values as vertices.
    #[must_use]
    pub fn from_values(parameters: Parameters, values: &[u32]) -> Self {
        Self::of_values(parameters, values, &|| true).expect("never told to stop")
    }

    /// As [`Self::from_values`], if `keep_going` lets it.
    pub(crate) fn of_values(
        parameters: Parameters,
        values: &[u32],
        keep_going: &KeepGoing<'_>,
    ) -> Result<Self, Interrupted> {
        assert!(parameters.are_consistent(), "inconsistent parameters: {parameters:?}");
        assert_eq!(values.len(), parameters.geometry.vertices() as usize);
        let width = parameters.element_width().bytes();
        let mut assigned = vec![0; parameters.assigned_bytes() + PADDING_BYTES].into_boxed_slice();
        for span in spans(values.len(), keep_going) {
            let span = span?;
            let elements = &mut assigned[span.start * width..];
            match width {
                1 => fill::<1>(elements, &values[span]),
                2 => fill::<2>(elements, &values[span]),
                _ => fill::<4>(elements, &values[span]),
            }
        }
        Ok(Self { parameters, assigned })
    }

    /// The table, ready for look-ups.
    #[must_use]
    pub fn view(&self) -> TableView<'_> {
        let elements = Elements::new(&self.assigned, self.parameters.geometry);
        TableView::of_parts(self.parameters, elements.expect("allocated for them"))
    }

    /// All but the array.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The rank of a key of the set; see [`TableView::index`]. For many keys, keep one
    /// [`Self::view`].
    #[inline]
    #[must_use]
    pub fn index<K: Key>(&self, key: K) -> u32 {
        self.view().index(key)
    }
}

/// Writes the low `WIDTH` bytes of every value.
fn fill<const WIDTH: usize>(assigned: &mut [u8], values: &[u32]) {
    let (elements, _) = assigned.as_chunks_mut::<WIDTH>();
    for (element, value) in elements.iter_mut().zip(values) {
        element.copy_from_slice(&value.to_le_bytes()[..WIDTH]);
    }
}

impl TableView<'_> {
    /// Checks that every key of `keys` has its rank as index.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify(&self, keys: &KeySet) -> Result<(), VerifyError> {
        self.verify_while(keys, &|| true).expect("never told to stop")
    }

    /// As [`Self::verify`], if `keep_going` lets it: of large sets it is asked many times.
    ///
    /// # Errors
    /// [`Interrupted`]; the first difference is the result.
    pub fn verify_while(
        &self,
        keys: &KeySet,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), VerifyError>, Interrupted> {
        if let Err(misfit) = self.check_fits(keys) {
            return Ok(Err(misfit));
        }
        let wrong = if self.parameters().downsize == keys.downsize() {
            match keys.hashed() {
                Keys::U32(hashed) => self.first_wrong_of(hashed, keep_going)?,
                Keys::U64(hashed) => self.first_wrong_of(hashed, keep_going)?,
            }
        } else {
            self.first_wrong_of_given(keys, keep_going)?
        };
        Ok(wrong.map_or(Ok(()), |wrong| Err(wrong.error(keys))))
    }

    fn check_fits(&self, keys: &KeySet) -> Result<(), VerifyError> {
        let parameters = self.parameters();
        if parameters.num_keys as usize != keys.len() {
            return Err(VerifyError::KeyCount { table: parameters.num_keys, keys: keys.len() });
        }
        if parameters.key_width != keys.width() {
            let (table, keys) = (parameters.key_width.bits(), keys.width().bits());
            return Err(VerifyError::KeyWidth { table, keys });
        }
        Ok(())
    }

    /// The first key as given whose index is not its rank.
    fn first_wrong_of_given(
        &self,
        keys: &KeySet,
        keep_going: &KeepGoing<'_>,
    ) -> Result<Option<Wrong>, Interrupted> {
        for span in spans(keys.len(), keep_going) {
            let span = span?;
            let first_rank = span.start as u32;
            let wrong = first_wrong(first_rank, span.map(|rank| self.index(keys.key(rank))));
            if wrong.is_some() {
                return Ok(wrong);
            }
        }
        Ok(None)
    }

    /// The first of `hashed` (keys by rank, downsized if the table does so) whose index is not its
    /// rank.
    fn first_wrong_of<H: HashedKey>(
        &self,
        hashed: &[H],
        keep_going: &KeepGoing<'_>,
    ) -> Result<Option<Wrong>, Interrupted> {
        let mut indexes = [0; VERIFIED_AT_ONCE];
        for span in spans(hashed.len(), keep_going) {
            let span = span?;
            let first_ranks = (span.start as u32..).step_by(VERIFIED_AT_ONCE);
            for (first_rank, keys) in first_ranks.zip(hashed[span].chunks(VERIFIED_AT_ONCE)) {
                let indexes = &mut indexes[..keys.len()];
                self.index_hashed(keys, indexes, |key| key);
                // Without a branch for each key.
                let ranked = indexes.iter().zip(first_rank..);
                let differences = ranked.fold(0, |all, (&index, rank)| all | (index ^ rank));
                if differences != 0 {
                    return Ok(first_wrong(first_rank, indexes.iter().copied()));
                }
            }
        }
        Ok(None)
    }
}

/// Keys whose indexes are looked up before they are compared: 4 KiB of them.
const VERIFIED_AT_ONCE: usize = 1024;

/// An index that is not the rank of its key.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    rank: u32,
    index: u32,
}

impl Wrong {
    fn error(self, keys: &KeySet) -> VerifyError {
        let key = keys.key(self.rank as usize);
        VerifyError::Index { key, index: self.index, rank: self.rank }
    }
}

fn first_wrong(first_rank: u32, indexes: impl Iterator<Item = u32>) -> Option<Wrong> {
    let mut ranked = (first_rank..).zip(indexes);
    ranked.find(|(rank, index)| rank != index).map(|(rank, index)| Wrong { rank, index })
}
