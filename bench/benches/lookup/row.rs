//! [`Row`]: one contender, and the least times it was seen to take.

use perfecta_bench::clock;

use crate::Answer;

/// A key that every contender takes.
pub(crate) trait BenchKey:
    perfecta::Key
    + std::hash::Hash
    + From<u32>
    + std::ops::BitXor<Output = Self>
    + phf_shared::PhfHash
    + std::fmt::Debug
{
    /// The keys as ours are built of.
    fn key_set(keys: &[Self]) -> perfecta::build::KeySet;

    /// Rows of ptr_hash, whose hashes are of one key type each.
    fn ptr_hash_rows(keys: &[Self]) -> [Row<Self>; 2];

    /// Our function with constants in their instructions, where code was generated for the set.
    fn generated_row(keys: &[Self], bytes: usize) -> Option<Row<Self>>;
}

/// The index of every key.
type IndexAll<K> = Box<dyn Fn(&[K]) -> Vec<u32>>;

/// Times `(queries, chained)`: independent look-ups and dependent ones.
type Measure<K> = Box<dyn Fn(&[K], &[K]) -> (f64, Option<f64>)>;

/// One contender on one key set.
pub(crate) struct Row<K> {
    pub(crate) name: &'static str,
    pub(crate) answer: Answer,
    pub(crate) bytes: usize,
    /// Least nanoseconds of an independent look-up.
    pub(crate) independent: f64,
    /// Least nanoseconds of a dependent one; batches have none.
    pub(crate) chain: Option<f64>,
    index_all: IndexAll<K>,
    measure: Measure<K>,
}

impl<K: BenchKey> Row<K> {
    pub(crate) fn new(
        name: &'static str,
        answer: Answer,
        bytes: usize,
        index: impl Fn(K) -> u32 + Copy + 'static,
    ) -> Self {
        Self {
            name,
            answer,
            bytes,
            independent: f64::INFINITY,
            chain: Some(f64::INFINITY),
            index_all: Box::new(move |keys| keys.iter().map(|&key| index(key)).collect()),
            measure: Box::new(move |queries, chained| {
                (clock::independent(queries, index), Some(clock::chain(chained, index)))
            }),
        }
    }

    /// A contender that looks up many keys in one call.
    pub(crate) fn of_batch(
        name: &'static str,
        answer: Answer,
        bytes: usize,
        all: impl Fn(&[K], &mut [u32]) + Copy + 'static,
    ) -> Self {
        Self {
            name,
            answer,
            bytes,
            independent: f64::INFINITY,
            chain: None,
            index_all: Box::new(move |keys| {
                let mut indexes = vec![0; keys.len()];
                all(keys, &mut indexes);
                indexes
            }),
            measure: Box::new(move |queries, _| {
                // Indexes are taken in pieces, as a program that goes on with them would.
                let mut indexes = [0; 1024];
                let time = clock::batch(queries, |queries| {
                    for piece in queries.chunks(indexes.len()) {
                        all(piece, &mut indexes[..piece.len()]);
                        std::hint::black_box(&indexes);
                    }
                });
                (time, None)
            }),
        }
    }

    /// Checks every answer: ranks, or numbers that differ.
    pub(crate) fn check(&self, keys: &[K]) {
        let mut indexes = (self.index_all)(keys);
        if self.answer == Answer::Unordered {
            indexes.sort_unstable();
            assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "{}: not perfect", self.name);
            return;
        }
        let ranks = 0..keys.len() as u32;
        assert!(indexes.into_iter().eq(ranks), "{}: an index is not the rank", self.name);
    }

    pub(crate) fn measure(&mut self, queries: &[K], chained: &[K]) {
        // The first pass brings the contender's tables back to the caches.
        (self.measure)(&queries[..queries.len().min(1 << 16)], &[]);
        let (independent, chain) = (self.measure)(queries, chained);
        self.independent = self.independent.min(independent);
        self.chain = self.chain.zip(chain).map(|(least, time)| least.min(time));
    }
}
