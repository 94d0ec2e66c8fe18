//! [`Table`]: a table that owns its array.

use alloc::boxed::Box;
use alloc::vec;

use super::batch::HashedKey;
use super::{Elements, PADDING_BYTES, Parameters, TableView};
use crate::key::{Key, KeySet, Keys};

/// A table in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    parameters: Parameters,
    /// Elements as little-endian words, then padding.
    assigned: Box<[u8]>,
}

/// A table that does not give a key its rank: a bug here, or damage since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
        assert!(parameters.are_consistent(), "inconsistent parameters: {parameters:?}");
        assert_eq!(values.len(), parameters.geometry.vertices() as usize);
        let width = parameters.element_width().bytes();
        let mut assigned = vec![0; parameters.assigned_bytes() + PADDING_BYTES].into_boxed_slice();
        match width {
            1 => fill::<1>(&mut assigned, values),
            2 => fill::<2>(&mut assigned, values),
            _ => fill::<4>(&mut assigned, values),
        }
        Self { parameters, assigned }
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
        let parameters = self.parameters();
        if parameters.num_keys as usize != keys.len() {
            return Err(VerifyError::KeyCount { table: parameters.num_keys, keys: keys.len() });
        }
        if parameters.key_width != keys.width() {
            let (table, keys) = (parameters.key_width.bits(), keys.width().bits());
            return Err(VerifyError::KeyWidth { table, keys });
        }
        if parameters.downsize != keys.downsize() {
            let all_ranks = keys.iter().map(|key| self.index(key));
            return match first_wrong(0, all_ranks) {
                None => Ok(()),
                Some(wrong) => Err(wrong.error(keys)),
            };
        }
        let wrong = match keys.hashed() {
            Keys::U32(hashed) => self.first_wrong_of(hashed),
            Keys::U64(hashed) => self.first_wrong_of(hashed),
        };
        wrong.map_or(Ok(()), |wrong| Err(wrong.error(keys)))
    }

    /// The first of `hashed` (keys by rank, downsized if the table does so) whose index is not its
    /// rank.
    fn first_wrong_of<H: HashedKey>(&self, hashed: &[H]) -> Option<Wrong> {
        let mut indexes = [0; VERIFIED_AT_ONCE];
        for (chunk, keys) in hashed.chunks(VERIFIED_AT_ONCE).enumerate() {
            let indexes = &mut indexes[..keys.len()];
            self.index_hashed(keys, indexes, |key| key);
            let first_rank = (chunk * VERIFIED_AT_ONCE) as u32;
            let ranks = first_rank..;
            // Without a branch for each key.
            let differences =
                indexes.iter().zip(ranks).fold(0, |all, (&index, rank)| all | (index ^ rank));
            if differences != 0 {
                return first_wrong(first_rank, indexes.iter().copied());
            }
        }
        None
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
