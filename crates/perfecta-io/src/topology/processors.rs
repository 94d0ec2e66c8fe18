//! Sets of small numbers as the kernel writes them: `0-3,8`.

use std::fmt;

/// A set of processors (or of nodes), of any size.
///
/// Invariant: the last word is not zero, so that equal sets are equal values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ProcessorSet {
    words: Vec<u64>,
}

impl ProcessorSet {
    /// Numbers are below this: eight times what Linux takes at most.
    pub const PROCESSORS_MAX: u32 = 1 << 16;

    /// Reads a list such as `0-3,8`. Nothing but white space is the empty set, as in the kernel's
    /// files.
    ///
    /// # Errors
    /// [`ListError`] with the part that is not a number or a range of numbers.
    pub fn parse(list: &str) -> Result<Self, ListError> {
        let list = list.trim();
        let mut set = Self::default();
        if list.is_empty() {
            return Ok(set);
        }
        for part in list.split(',') {
            let range = range_of(part).ok_or_else(|| ListError::new(list, part))?;
            range.for_each(|processor| set.insert(processor));
        }
        Ok(set)
    }

    /// Reads the words of a kernel's mask.
    pub(crate) fn from_words(words: &[u64]) -> Self {
        let used = words.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        Self { words: words[..used].to_vec() }
    }

    /// The set as a kernel's mask.
    #[cfg(target_os = "linux")]
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Adds one.
    ///
    /// # Panics
    /// If it is not below [`Self::PROCESSORS_MAX`].
    pub fn insert(&mut self, processor: u32) {
        assert!(processor < Self::PROCESSORS_MAX, "there is no processor {processor}");
        let (word, bit) = place_of(processor);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(&self, processor: u32) -> bool {
        let (word, bit) = place_of(processor);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Those in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(left, right)| left & right);
        Self::from_words(&words.collect::<Vec<u64>>())
    }

    /// Those that are not in the other set.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.iter().filter(|&processor| !other.contains(processor)).collect()
    }

    /// All, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let end = self.words.len() as u32 * u64::BITS;
        (0..end).filter(|&processor| self.contains(processor))
    }
}

fn place_of(processor: u32) -> (usize, u64) {
    ((processor / u64::BITS) as usize, 1 << (processor % u64::BITS))
}

fn range_of(part: &str) -> Option<std::ops::RangeInclusive<u32>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (number_of(first)?, number_of(last)?);
    (first <= last && last < ProcessorSet::PROCESSORS_MAX).then_some(first..=last)
}

/// Digits alone: `parse` would take `+1`.
fn number_of(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

impl FromIterator<u32> for ProcessorSet {
    fn from_iter<I: IntoIterator<Item = u32>>(processors: I) -> Self {
        let mut set = Self::default();
        processors.into_iter().for_each(|processor| set.insert(processor));
        set
    }
}

impl fmt::Display for ProcessorSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for first in self.iter() {
            if first > 0 && self.contains(first - 1) {
                continue;
            }
            let mut last = first;
            while self.contains(last + 1) {
                last += 1;
            }
            write!(formatter, "{separator}{first}")?;
            if last > first {
                write!(formatter, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for ProcessorSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{self}}}")
    }
}

/// A list, range or description that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{part}\" of \"{list}\" is not a number or a range of numbers that there can be")]
pub struct ListError {
    /// All of it.
    pub list: String,
    /// The part at fault.
    pub part: String,
}

impl ListError {
    pub(crate) fn new(list: &str, part: &str) -> Self {
        Self { list: list.to_owned(), part: part.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, expected: &[u32]) {
        let set = ProcessorSet::parse(list).unwrap();
        assert_eq!(set.iter().collect::<Vec<u32>>(), expected, "{list}");
        assert_eq!(set.len(), expected.len(), "{list}");
        assert_eq!(set, expected.iter().copied().collect(), "{list}");
    }

    #[test]
    fn lists_of_the_kernel_are_read() {
        check("\n", &[]);
        check("0\n", &[0]);
        check("0-2,8", &[0, 1, 2, 8]);
        check("3,1", &[1, 3]);
        check("63-64,1030", &[63, 64, 1030]);
    }

    #[test]
    fn what_is_written_is_the_shortest_list() {
        for (list, shortest) in [("", ""), ("0,1,2,4", "0-2,4"), ("62-65,1024", "62-65,1024")] {
            assert_eq!(ProcessorSet::parse(list).unwrap().to_string(), shortest);
        }
    }

    #[test]
    fn an_error_names_the_bad_part() {
        let parts = ["x", "1-", "-1", "4-2", "+1", "65536", "0-4294967296", "1-2-3", ""];
        for part in parts {
            let error = ProcessorSet::parse(&format!("0,{part},9")).unwrap_err();
            assert_eq!(error.part, part);
        }
    }

    #[test]
    fn sets_of_different_length_are_compared_by_what_is_in_them() {
        let small: ProcessorSet = [1, 2].into_iter().collect();
        let large: ProcessorSet = [2, 3, 200].into_iter().collect();
        let both: ProcessorSet = [2].into_iter().collect();
        assert_eq!(small.intersection(&large), both);
        assert_eq!(large.intersection(&small), both);
        assert_eq!(large.difference(&small), [3, 200].into_iter().collect());
        assert!(small.difference(&small).is_empty());
    }
}
