//! [`KeySet`]: keys that are known to be sorted and distinct.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::downsize::Downsize;
use super::misread;
use super::text::{self, TextError};
use super::{Key, KeyWidth};
use crate::geometry::Geometry;

/// Keys in ascending order, each once, at least one, at most [`Geometry::KEYS_MAX`].
///
/// A key's rank in this order is the index that a table gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    width: KeyWidth,
    bitmap: u64,
    first: u64,
    last: u64,
    downsize: Option<Downsize>,
    hashed: Keys,
}

/// Sorted, distinct keys of one width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// 32-bit keys, also those gathered from 64-bit ones.
    U32(Box<[u32]>),
    /// 64-bit keys that use more than 32 bits.
    U64(Box<[u64]>),
}

impl Keys {
    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U32(keys) => keys.len(),
            Self::U64(keys) => keys.len(),
        }
    }

    /// Never true for the keys of a [`KeySet`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The width that is hashed.
    #[must_use]
    pub fn width(&self) -> KeyWidth {
        match self {
            Self::U32(_) => KeyWidth::Bits32,
            Self::U64(_) => KeyWidth::Bits64,
        }
    }
}

/// What may be put right in an input that is not sorted and distinct. Only on request: a rank means
/// something else after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repair {
    /// Sort keys that are not in order.
    pub sort: bool,
    /// Keep one of several equal keys.
    pub dedupe: bool,
}

/// Where a key stands in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Keys before it.
    pub index: usize,
    /// By what it is found.
    pub at: At,
}

/// By what a key is found in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Of keys in memory: [`Place::index`] itself.
    Index,
    /// Of packed words: bytes before it.
    Byte(usize),
    /// Of a text: its line, counted from 1.
    Line(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            At::Index => write!(formatter, "at index {}", self.index),
            At::Byte(offset) => write!(formatter, "at byte {offset:#x} (key {})", self.index),
            At::Line(line) => write!(formatter, "in line {line} (key {})", self.index),
        }
    }
}

impl Place {
    /// Among keys in memory.
    const fn in_memory(index: usize) -> Self {
        Self { index, at: At::Index }
    }

    /// In the packed words that the keys were read from.
    fn in_words(self, width: KeyWidth) -> Self {
        Self { at: At::Byte(self.index * width.bytes()), ..self }
    }

    /// In the text that the keys were read from.
    fn in_text(self, text: &[u8]) -> Self {
        Self { at: At::Line(text::line_of_key(text, self.index)), ..self }
    }
}

/// Why an input is no key set. Places are those of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No keys.
    #[error("there are no keys")]
    Empty,
    /// The last key is cut off.
    #[error(
        "{} no whole number of {key_bytes}-byte keys: {} left at byte {offset:#x}",
        bytes_are(*.bytes), bytes_are(*.rest)
    )]
    OddLength {
        /// Bytes of the input.
        bytes: usize,
        /// Bytes of a key.
        key_bytes: usize,
        /// Bytes after the last whole key.
        rest: usize,
        /// Where they begin.
        offset: usize,
    },
    /// More than [`Geometry::KEYS_MAX`].
    #[error("{keys} keys are more than a table can hold ({max})")]
    TooMany {
        /// Keys of the input.
        keys: usize,
        /// The limit.
        max: usize,
    },
    /// A key is smaller than the one before it.
    #[error(
        "keys are not sorted: {key:#0digits$x} {place} follows {previous:#0digits$x}",
        digits = .width.bytes() * 2 + 2
    )]
    NotSorted {
        /// The key's place.
        place: Place,
        /// The key before it.
        previous: u64,
        /// The key.
        key: u64,
        /// Width of the keys.
        width: KeyWidth,
        /// Whether they can be halves of keys of 64 bits: words of 32 bits, and an even number.
        can_be_halves: bool,
    },
    /// A key is there twice.
    #[error(
        "duplicate key {key:#0digits$x} {place}, first {first}",
        digits = .width.bytes() * 2 + 2
    )]
    Duplicate {
        /// Place of the later one.
        place: Place,
        /// Place of the earlier one.
        first: Place,
        /// The key.
        key: u64,
        /// Width of the keys.
        width: KeyWidth,
        /// Whether two neighbours together look like one key of 64 bits.
        looks_halved: bool,
    },
    /// As packed keys it is wrong in this way, and it may well be no such file.
    #[error("{0}")]
    LooksLikeText(Box<Self>),
    /// It is a table file or a pack of ours.
    #[error("it is a table file of perfecta, not a file of keys")]
    TableFile,
    /// As packed keys it is wrong in this way, and it may well be a table file that is damaged.
    #[error("{0}")]
    LooksLikeTableFile(Box<Self>),
    /// A line of a text input is no key.
    #[error(transparent)]
    Text(#[from] TextError),
}

fn bytes_are(count: usize) -> String {
    if count == 1 { "1 byte is".to_owned() } else { format!("{count} bytes are") }
}

impl KeyError {
    /// What the user can do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "a table needs at least one key",
            Self::OddLength { .. } => {
                "check that the file is complete and that --key-size says its width (auto: 64 where the name does); if it is text, give --text"
            }
            Self::TooMany { .. } => "split the set",
            Self::NotSorted { place: Place { at: At::Index, .. }, .. } => {
                "sort the keys, or have a KeySet sort them (Repair::sort; an index is then the rank in sorted order)"
            }
            Self::Duplicate { place: Place { at: At::Index, .. }, .. } => {
                "remove one, or have a KeySet keep the first (Repair::dedupe)"
            }
            // The upper halves of wide keys look like small keys out of order.
            Self::NotSorted {
                can_be_halves: true, place: Place { at: At::Byte(_), .. }, ..
            } => {
                "if the keys have 64 bits, give --key-size 64; else sort the file, or give --sort to have the keys sorted (an index is then the rank in sorted order)"
            }
            Self::NotSorted { .. } => {
                "sort the file, or give --sort to have the keys sorted (an index is then the rank in sorted order)"
            }
            Self::Duplicate {
                looks_halved: true, place: Place { at: At::Byte(_), .. }, ..
            } => {
                "the keys look like halves of 64-bit keys: if they are, give --key-size 64; else remove one, or give --dedupe to keep the first"
            }
            Self::Duplicate { .. } => "remove one, or give --dedupe to keep the first",
            Self::LooksLikeText(_) => {
                "if the file is text, as it looks, give --text; if its keys are packed, check --key-size and the order of the keys"
            }
            Self::TableFile => {
                "name the key file that it was made of; `perfecta inspect` shows what is in it, `perfecta verify` checks the directory that it lies in"
            }
            Self::LooksLikeTableFile(_) => {
                "it begins like a table file of perfecta whose line ends or first bytes were changed: copy it again, as a binary file"
            }
            Self::Text(error) => error.remedy(),
        }
    }

    /// The same, with places in the input that the keys in memory were read from.
    fn in_input(self, found: impl Fn(Place) -> Place) -> Self {
        match self {
            Self::NotSorted { place, previous, key, width, can_be_halves } => {
                let place = found(place);
                Self::NotSorted { place, previous, key, width, can_be_halves }
            }
            Self::Duplicate { place, first, key, width, looks_halved } => {
                let (place, first) = (found(place), found(first));
                Self::Duplicate { place, first, key, width, looks_halved }
            }
            other => other,
        }
    }
}

impl KeySet {
    /// Whether so many bytes may be packed keys of `width`.
    ///
    /// # Errors
    /// [`KeyError::Empty`] or [`KeyError::OddLength`].
    pub const fn check_length(bytes: usize, width: KeyWidth) -> Result<(), KeyError> {
        let key_bytes = width.bytes();
        let rest = bytes % key_bytes;
        if rest != 0 {
            return Err(KeyError::OddLength { bytes, key_bytes, rest, offset: bytes - rest });
        }
        if bytes == 0 { Err(KeyError::Empty) } else { Ok(()) }
    }

    /// Keys from packed little-endian words of `width`.
    ///
    /// # Errors
    /// [`KeyError`], with the place in `bytes`.
    pub fn from_le_bytes(bytes: &[u8], width: KeyWidth, repair: Repair) -> Result<Self, KeyError> {
        if misread::is_table_file(bytes) {
            return Err(KeyError::TableFile);
        }
        Self::from_words(bytes, width, repair).map_err(|error| {
            if text::looks_like_text(bytes) {
                KeyError::LooksLikeText(Box::new(error))
            } else if misread::looks_like_table_file(bytes) {
                KeyError::LooksLikeTableFile(Box::new(error))
            } else {
                error
            }
        })
    }

    fn from_words(bytes: &[u8], width: KeyWidth, repair: Repair) -> Result<Self, KeyError> {
        Self::check_length(bytes.len(), width)?;
        let keys = match width {
            KeyWidth::Bits32 => {
                let (words, _) = bytes.as_chunks::<4>();
                Self::from_u32(words.iter().map(|word| u32::from_le_bytes(*word)).collect(), repair)
            }
            KeyWidth::Bits64 => {
                let (words, _) = bytes.as_chunks::<8>();
                Self::from_u64(words.iter().map(|word| u64::from_le_bytes(*word)).collect(), repair)
            }
        };
        keys.map_err(|error| error.in_input(|place| place.in_words(width)))
    }

    /// Keys from text: one decimal or `0x` number a line; blank lines and `#` comments pass.
    ///
    /// # Errors
    /// [`KeyError`], with the place in `text`.
    pub fn from_text(text: &[u8], width: KeyWidth, repair: Repair) -> Result<Self, KeyError> {
        let keys = match width {
            KeyWidth::Bits32 => {
                Self::from_u32(text::parse(text, u64::from(u32::MAX), |key| key as u32)?, repair)
            }
            KeyWidth::Bits64 => Self::from_u64(text::parse(text, u64::MAX, |key| key)?, repair),
        };
        keys.map_err(|error| error.in_input(|place| place.in_text(text)))
    }

    /// Keys of 32 bits.
    ///
    /// # Errors
    /// [`KeyError`], with the index in `keys`.
    pub fn from_u32(keys: Vec<u32>, repair: Repair) -> Result<Self, KeyError> {
        let keys = in_order(keys, repair)?;
        let bitmap = u64::from(keys.iter().fold(0, |bits, key| bits | key));
        let (first, last) = (u64::from(keys[0]), u64::from(keys[keys.len() - 1]));
        let width = KeyWidth::Bits32;
        Ok(Self { width, bitmap, first, last, downsize: None, hashed: Keys::U32(keys) })
    }

    /// Keys of 64 bits; those that use at most 32 of them are made smaller.
    ///
    /// # Errors
    /// [`KeyError`], with the index in `keys`.
    pub fn from_u64(keys: Vec<u64>, repair: Repair) -> Result<Self, KeyError> {
        let keys = in_order(keys, repair)?;
        let bitmap = keys.iter().fold(0, |bits, key| bits | key);
        let (first, last) = (keys[0], keys[keys.len() - 1]);
        let width = KeyWidth::Bits64;
        let downsize = Downsize::new(bitmap);
        let hashed = match downsize {
            Some(downsize) => Keys::U32(keys.iter().map(|&key| downsize.apply(key)).collect()),
            None => Keys::U64(keys),
        };
        Ok(Self { width, bitmap, first, last, downsize, hashed })
    }

    /// Number of keys, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key set is never empty")]
    pub fn len(&self) -> usize {
        self.hashed.len()
    }

    /// Width of the keys as given.
    #[must_use]
    pub const fn width(&self) -> KeyWidth {
        self.width
    }

    /// All bits that some key uses, before downsizing.
    #[must_use]
    pub const fn bitmap(&self) -> u64 {
        self.bitmap
    }

    /// The smallest key, as given.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The greatest key, as given.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// How keys as given become keys that are hashed, if not as they are.
    #[must_use]
    pub const fn downsize(&self) -> Option<Downsize> {
        self.downsize
    }

    /// The keys that are hashed.
    #[must_use]
    pub const fn hashed(&self) -> &Keys {
        &self.hashed
    }

    /// The keys as given, by rank.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.len()).map(|rank| self.key(rank))
    }

    /// The key of a rank, as given.
    ///
    /// # Panics
    /// If there are not so many keys.
    #[must_use]
    pub fn key(&self, rank: usize) -> u64 {
        match &self.hashed {
            Keys::U32(keys) => self.restored(keys[rank]),
            Keys::U64(keys) => keys[rank],
        }
    }

    /// Undoes the downsizing of one key (x86's PDEP).
    fn restored(&self, hashed: u32) -> u64 {
        let Some(downsize) = self.downsize else { return u64::from(hashed) };
        downsize.runs().fold(0, |key, run| key | ((u64::from(hashed) & run.mask) << run.shift))
    }
}

/// Checks order and distinctness in one pass; repairs what it may.
fn in_order<K: Key>(mut keys: Vec<K>, repair: Repair) -> Result<Box<[K]>, KeyError> {
    if keys.is_empty() {
        return Err(KeyError::Empty);
    }
    if !is_ascending(&keys) {
        repair_order(&mut keys, repair)?;
    }
    if keys.len() > Geometry::KEYS_MAX {
        return Err(KeyError::TooMany { keys: keys.len(), max: Geometry::KEYS_MAX });
    }
    Ok(keys.into_boxed_slice())
}

/// Without a branch for each key, so that it runs at the speed of memory.
fn is_ascending<K: Key>(keys: &[K]) -> bool {
    keys.iter().zip(&keys[1..]).fold(true, |ascending, (left, right)| ascending & (left < right))
}

fn repair_order<K: Key>(keys: &mut Vec<K>, repair: Repair) -> Result<(), KeyError> {
    let descent = keys.windows(2).position(|pair| pair[1] < pair[0]);
    // Equal keys are neighbours where keys are in order, and nothing has to be sorted to find them.
    let in_order = descent.filter(|_| !repair.sort).map_or(&keys[..], |place| &keys[..=place]);
    let duplicate_places = match (repair.dedupe, descent) {
        (true, _) => None,
        (false, Some(_)) if repair.sort => first_duplicate(keys),
        (false, _) => first_duplicate_in_order(in_order),
    };
    if let Some((first, second)) = duplicate_places {
        return Err(duplicate(keys, first, second));
    }
    if let Some(place) = descent.filter(|_| !repair.sort) {
        return Err(KeyError::NotSorted {
            place: Place::in_memory(place + 1),
            previous: keys[place].into(),
            key: keys[place + 1].into(),
            width: K::WIDTH,
            can_be_halves: can_be_halves(keys),
        });
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(())
}

/// Where a key and the same key after it stand.
fn first_duplicate_in_order<K: Key>(keys: &[K]) -> Option<(usize, usize)> {
    let place = keys.windows(2).position(|pair| pair[0] == pair[1])?;
    Some((place, place + 1))
}

/// The duplicate whose later copy comes first in the input.
fn first_duplicate<K: Key>(keys: &[K]) -> Option<(usize, usize)> {
    let mut places: Vec<(K, usize)> = keys.iter().copied().zip(0..).collect();
    places.sort_unstable();
    let equal = places.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    equal.map(|pair| (pair[0].1, pair[1].1)).min_by_key(|&(_, second)| second)
}

fn duplicate<K: Key>(keys: &[K], first_index: usize, index: usize) -> KeyError {
    let [place, first] = [index, first_index].map(Place::in_memory);
    let (key, looks_halved) = (keys[index].into(), looks_halved(keys));
    KeyError::Duplicate { place, first, key, width: K::WIDTH, looks_halved }
}

/// Whether keys can be the halves of keys of 64 bits.
fn can_be_halves<K: Key>(keys: &[K]) -> bool {
    K::WIDTH == KeyWidth::Bits32 && keys.len().is_multiple_of(2)
}

/// Whether words that are no ascending keys of 32 bits look like the halves of keys of 64 bits, low
/// half first: those keys would be in order, or their high halves are all the same.
fn looks_halved<K: Key>(keys: &[K]) -> bool {
    let (pairs, _) = keys.as_chunks::<2>();
    let wide = |pair: &[K; 2]| pair[1].into() << 32 | pair[0].into();
    can_be_halves(keys)
        && !keys.is_sorted()
        && (pairs.is_sorted_by(|left, right| wide(left) < wide(right))
            || pairs.iter().all(|pair| pair[1] == pairs[0][1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    const NONE: Repair = Repair { sort: false, dedupe: false };
    const SORT: Repair = Repair { sort: true, dedupe: false };
    const DEDUPE: Repair = Repair { sort: false, dedupe: true };
    const BOTH: Repair = Repair { sort: true, dedupe: true };

    fn error_of_words(words: &[u32], repair: Repair) -> KeyError {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        KeySet::from_le_bytes(&bytes, KeyWidth::Bits32, repair).unwrap_err()
    }

    fn message(words: &[u32], repair: Repair) -> alloc::string::String {
        error_of_words(words, repair).to_string()
    }

    #[test]
    fn a_bad_input_names_place_and_both_values() {
        assert_eq!(message(&[], NONE), "there are no keys");
        assert_eq!(
            message(&[1, 5, 3, 9], NONE),
            "keys are not sorted: 0x00000003 at byte 0x8 (key 2) follows 0x00000005"
        );
        assert_eq!(
            message(&[1, 5, 0xbeef, 0xbeef], NONE),
            "duplicate key 0x0000beef at byte 0xc (key 3), first at byte 0x8 (key 2)"
        );
        assert_eq!(
            KeySet::from_le_bytes(&[0; 9], KeyWidth::Bits64, NONE).unwrap_err().to_string(),
            "9 bytes are no whole number of 8-byte keys: 1 byte is left at byte 0x8"
        );
    }

    /// They spoke of bytes of a file, and of flags of the command line.
    #[test]
    fn bad_keys_in_memory_are_named_by_their_index_and_no_remedy_is_a_flag() {
        let check = |error: KeyError, message: &str| {
            assert_eq!(error.to_string(), message);
            assert!(!error.remedy().contains("--"), "{}", error.remedy());
        };
        let narrow = |keys: &[u32]| KeySet::from_u32(keys.to_vec(), NONE).unwrap_err();
        check(narrow(&[]), "there are no keys");
        let unsorted = "keys are not sorted: 0x00000002 at index 1 follows 0x00000003";
        check(narrow(&[3, 2]), unsorted);
        let twice = "duplicate key 0x00000000 at index 3, first at index 1";
        check(KeySet::from_u32(vec![5, 0, 6, 0], SORT).unwrap_err(), twice);
        let wide = "duplicate key 0x0000000000000007 at index 2, first at index 1";
        check(KeySet::from_u64(vec![1, 7, 7], NONE).unwrap_err(), wide);
    }

    /// The words of wide keys, taken for keys, repeat where a low half is as its high half.
    #[test]
    fn duplicates_of_halves_of_wide_keys_lead_to_the_keys_width() {
        let check = |words: &[u32], repair, is_told| {
            let error = error_of_words(words, repair);
            assert!(matches!(error, KeyError::Duplicate { .. }), "{words:?}: {error}");
            let remedy = error.remedy();
            assert_eq!(remedy.contains("--key-size 64"), is_told, "{words:?}: {remedy}");
            assert!(remedy.contains("--dedupe"), "{words:?}: {remedy}");
        };
        let dense: Vec<u32> = (0..9).flat_map(|key| [key, 0]).collect();
        check(&dense, NONE, true);
        check(&dense[..dense.len() - 1], NONE, false);
        check(&[5, 5, 6, 5, 1, 6], NONE, true);
        check(&[9, 0, 4, 0, 7, 0], SORT, true);
        check(&[1, 2, 2, 3], NONE, false);
        check(&[3, 3, 9, 4, 7, 1], NONE, false);
        check(&[9, 3, 7, 3, 9, 1], SORT, false);
        let text = KeySet::from_text(b"0\n0\n1\n0\n", KeyWidth::Bits32, NONE).unwrap_err();
        assert!(!text.remedy().contains("--key-size 64"), "{}", text.remedy());
    }

    #[test]
    fn words_out_of_order_lead_to_wide_keys_only_where_they_can_be_halves() {
        let check = |words: &[u32], is_told| {
            let remedy = error_of_words(words, NONE).remedy();
            assert_eq!(remedy.contains("--key-size 64"), is_told, "{words:?}: {remedy}");
            assert!(remedy.contains("--sort"), "{words:?}: {remedy}");
        };
        check(&[3, 2], true);
        check(&[3, 2, 1], false);
        check(&[1, 7, 2, 6], true);
        check(&[1, 7, 2, 6, 9], false);
    }

    #[test]
    fn what_is_wrong_with_a_text_that_is_read_as_packed_keys_leads_to_its_option_first() {
        for text in ["456\n123\n", "123\n123\n", "12\n34\n5\n"] {
            let error = KeySet::from_le_bytes(text.as_bytes(), KeyWidth::Bits32, NONE).unwrap_err();
            assert!(error.remedy().starts_with("if the file is text"), "{}", error.remedy());
            assert!(error.remedy().contains("--text"), "{}", error.remedy());
        }
        let descent = KeySet::from_le_bytes(b"456\n123\n", KeyWidth::Bits32, NONE).unwrap_err();
        assert!(descent.to_string().starts_with("keys are not sorted: "), "{descent}");
        let words = KeySet::from_le_bytes(&[2, 0, 0, 0, 1, 0, 0, 0], KeyWidth::Bits32, NONE);
        assert!(matches!(words, Err(KeyError::NotSorted { .. })));
        let odd = KeySet::check_length(5, KeyWidth::Bits32).unwrap_err();
        assert!(odd.remedy().contains("--text"), "{}", odd.remedy());
    }

    #[test]
    fn a_bad_text_names_its_lines() {
        let error =
            |text: &str, width| KeySet::from_text(text.as_bytes(), width, NONE).unwrap_err();
        let text = "# first\n10\n\n0x20\n 30 # less\n";
        let unsorted = error(text, KeyWidth::Bits32);
        assert_eq!(
            unsorted.to_string(),
            "keys are not sorted: 0x0000001e in line 5 (key 2) follows 0x00000020"
        );
        // In a text, no key has halves.
        assert_eq!(unsorted.remedy(), error(text, KeyWidth::Bits64).remedy());
        assert_eq!(
            error("1\n\n7\n# again\n7", KeyWidth::Bits32).to_string(),
            "duplicate key 0x00000007 in line 5 (key 2), first in line 3 (key 1)"
        );
    }

    #[test]
    fn repair_does_what_was_asked_and_no_more() {
        let keys = |keys: &[u32], repair| {
            KeySet::from_u32(keys.to_vec(), repair).map(|set| set.iter().collect::<Vec<_>>())
        };
        assert_eq!(keys(&[5, 3, 9], SORT).unwrap(), [3, 5, 9]);
        assert_eq!(keys(&[3, 3, 9], DEDUPE).unwrap(), [3, 9]);
        assert_eq!(keys(&[9, 3, 9, 3], BOTH).unwrap(), [3, 9]);
        assert!(matches!(
            keys(&[9, 3, 3], DEDUPE),
            Err(KeyError::NotSorted { place: Place { index: 1, .. }, .. })
        ));
        assert_eq!(
            message(&[9, 3, 7, 3, 9], SORT),
            "duplicate key 0x00000003 at byte 0xc (key 3), first at byte 0x4 (key 1)"
        );
    }

    /// A copy of the keys with their places is sorted only where they are in no order.
    #[test]
    fn the_duplicate_that_is_named_is_that_of_a_search_among_all_keys() {
        let mut random = crate::philox::Philox::new(1, 2);
        for length in 1..200 {
            let mut keys: Vec<u32> = (0..length).map(|_| random.next_word() % 300).collect();
            if length % 2 == 0 {
                keys.sort_unstable();
            }
            let expected = first_duplicate(&keys);
            assert!(length % 2 != 0 || expected == first_duplicate_in_order(&keys), "{keys:?}");
            for repair in [NONE, SORT] {
                if repair == NONE && !keys.is_sorted() {
                    continue;
                }
                let found = match KeySet::from_u32(keys.clone(), repair) {
                    Ok(_) => None,
                    Err(KeyError::Duplicate { place, first, .. }) => {
                        Some((first.index, place.index))
                    }
                    Err(error) => panic!("{error}"),
                };
                assert_eq!(found, expected, "{keys:?}");
            }
        }
    }

    #[test]
    fn wide_keys_of_few_bits_are_made_smaller_and_others_not() {
        let set = KeySet::from_u64(vec![0x10_0000_0000, 0x30_0000_00ff], NONE).unwrap();
        assert_eq!(set.width(), KeyWidth::Bits64);
        assert!(matches!(set.hashed(), Keys::U32(keys) if **keys == [0x100, 0x3ff]));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0x10_0000_0000, 0x30_0000_00ff]);
        let wide = KeySet::from_u64(vec![0, u64::MAX], NONE).unwrap();
        assert!(matches!(wide.hashed(), Keys::U64(_)));
    }

    proptest! {
        #[test]
        fn downsizing_keeps_keys_and_order(mut keys: Vec<u64>, bitmap: u64) {
            let bitmap = if bitmap.count_ones() > 32 { bitmap & 0x5555_5555_5555_5555 } else { bitmap };
            keys.push(1);
            for key in &mut keys {
                *key &= bitmap;
            }
            keys.sort_unstable();
            keys.dedup();
            let set = KeySet::from_u64(keys.clone(), NONE).unwrap();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), keys);
            match set.hashed() {
                Keys::U32(hashed) => prop_assert!(hashed.windows(2).all(|pair| pair[0] < pair[1])),
                Keys::U64(_) => prop_assert!(false, "not made smaller"),
            }
        }

        #[test]
        fn sorting_and_deduping_give_the_set(keys in proptest::collection::vec(0u32..50, 1..40)) {
            let expected: alloc::collections::BTreeSet<u64> = keys.iter().map(|&key| u64::from(key)).collect();
            let set = KeySet::from_u32(keys, BOTH).unwrap();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
