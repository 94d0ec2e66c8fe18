//! What a user would pick instead, each in its quickest form that builds on real keys.

use std::collections::HashMap;

use ph::phast;
use ph::seeds::Bits8;
use rustc_hash::FxBuildHasher;

use crate::row::{BenchKey, Row};
use crate::{Answer, row};

/// Rows of every rival. Each lives as long as the program, so that its look-up can be a plain
/// function.
pub(crate) fn rows<K: BenchKey>(keys: &[K]) -> Vec<Row<K>> {
    let mut rows = Vec::new();
    rows.extend(K::ptr_hash_rows(keys));
    rows.extend(phast_rows(keys));
    rows.extend(fmph_rows(keys));
    rows.extend(boomphf_rows(keys));
    if keys.len() <= 100_000 {
        rows.extend(phf_rows(keys));
    }
    rows.push(hash_map_row(keys));
    rows.push(binary_search_row(keys));
    rows
}

/// The unordered contender as it is, and with the load that makes its answer the rank.
fn unordered_rows<K: BenchKey>(
    [name, name_ordered]: [&'static str; 2],
    bytes: usize,
    keys: &[K],
    index: impl Fn(K) -> u32 + Copy + 'static,
) -> [Row<K>; 2] {
    let plain = row(name, Answer::Unordered, bytes, index);
    let slots = keys.iter().map(|&key| index(key) as usize + 1).max().unwrap_or(0);
    let mut ranks = vec![0u32; slots];
    for (rank, &key) in (0..).zip(keys) {
        ranks[index(key) as usize] = rank;
    }
    let ordered = match keys.len() {
        0..=256 => {
            let ranks: &[u8] = ranks.iter().map(|&rank| rank as u8).collect::<Vec<_>>().leak();
            let ordered = move |key| u32::from(ranks[index(key) as usize]);
            row(name_ordered, Answer::Rank, bytes + slots, ordered)
        }
        257..=65_536 => {
            let ranks: &[u16] = ranks.iter().map(|&rank| rank as u16).collect::<Vec<_>>().leak();
            let ordered = move |key| u32::from(ranks[index(key) as usize]);
            row(name_ordered, Answer::Rank, bytes + 2 * slots, ordered)
        }
        _ => {
            let ranks: &[u32] = ranks.leak();
            row(name_ordered, Answer::Rank, bytes + 4 * slots, move |key| {
                ranks[index(key) as usize]
            })
        }
    };
    [plain, ordered]
}

/// Fast configuration; with the stronger of its integer hashes, since its default one finds no table
/// for some real key sets.
pub(crate) fn ptr_hash_rows<K: BenchKey>(keys: &[K]) -> [Row<K>; 2]
where
    ptr_hash::hash::StrongerIntHash: ptr_hash::hash::KeyHasher<K>,
{
    type Fast<K> = ptr_hash::FastPtrHash<ptr_hash::hash::StrongerIntHash, K>;
    let table = Fast::<K>::new(keys, ptr_hash::PtrHashParams::default_fast());
    let bytes = (table.bits_per_element().0 + table.bits_per_element().1) * keys.len() as f64 / 8.0;
    let table: &'static Fast<K> = Box::leak(Box::new(table));
    let names = ["ptr_hash fast", "ptr_hash fast + order"];
    unordered_rows(names, bytes as usize, keys, move |key| table.index(&key) as u32)
}

/// A quick and strong hash of integers for `ph`, whose own is made for byte strings and takes five
/// times as long: a folded multiply and a second one.
#[derive(Clone, Copy)]
struct IntegerHash;

struct IntegerHasher(u64);

impl ph::BuildSeededHasher for IntegerHash {
    type Hasher = IntegerHasher;

    #[inline(always)]
    fn build_hasher(&self, seed: u64) -> IntegerHasher {
        IntegerHasher(seed)
    }
}

impl std::hash::Hasher for IntegerHasher {
    #[inline(always)]
    fn write_u64(&mut self, key: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(key ^ self.0) * u128::from(ODD);
        self.0 = ((product >> 64) as u64 ^ product as u64).wrapping_mul(ODD);
    }

    #[inline(always)]
    fn write_u32(&mut self, key: u32) {
        self.write_u64(key.into());
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are integers")
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

fn phast_rows<K: BenchKey>(keys: &[K]) -> [Row<K>; 2] {
    let parameters = phast::Params::new(Bits8, phast::bits_per_seed_to_100_bucket_size(8));
    type Phast =
        phast::Function<Bits8, phast::SeedOnly, phast::DefaultCompressedArray, IntegerHash>;
    let table = Phast::with_slice_p_hash_sc(keys, &parameters, IntegerHash, phast::SeedOnly);
    let bytes = table.write_bytes();
    let table: &'static Phast = Box::leak(Box::new(table));
    let names = ["ph PHast", "ph PHast + order"];
    unordered_rows(names, bytes, keys, move |key| table.get(&key) as u32)
}

fn fmph_rows<K: BenchKey>(keys: &[K]) -> [Row<K>; 2] {
    let hash = ph::fmph::BuildConf::hash(IntegerHash);
    let table = ph::fmph::Function::from_slice_with_conf(keys, hash);
    let bytes = table.write_bytes();
    let table: &'static ph::fmph::Function<IntegerHash> = Box::leak(Box::new(table));
    let names = ["ph fmph", "ph fmph + order"];
    unordered_rows(names, bytes, keys, move |key| table.get_or_panic(&key) as u32)
}

fn boomphf_rows<K: BenchKey>(keys: &[K]) -> [Row<K>; 2] {
    let table: &'static boomphf::Mphf<K> = Box::leak(Box::new(boomphf::Mphf::new(1.7, keys)));
    let bytes = keys.len() * 37 / 80;
    let names = ["boomphf", "boomphf + order"];
    unordered_rows(names, bytes, keys, move |key| table.hash(&key) as u32)
}

fn phf_rows<K: BenchKey>(keys: &[K]) -> [Row<K>; 2] {
    let state: &'static phf_generator::HashState =
        Box::leak(Box::new(phf_generator::generate_hash(keys)));
    let len = keys.len();
    let names = ["phf", "phf + order"];
    unordered_rows(names, 8 * state.disps.len(), keys, move |key| {
        phf_shared::get_index(&phf_shared::hash(&key, &state.key), &state.disps, len)
    })
}

fn hash_map_row<K: BenchKey>(keys: &[K]) -> Row<K> {
    let mut map = HashMap::with_capacity_and_hasher(keys.len(), FxBuildHasher);
    map.extend(keys.iter().copied().zip(0u32..));
    let bytes = (map.capacity() * 8 / 7).next_power_of_two() * (size_of::<(K, u32)>() + 1);
    let map: &'static HashMap<K, u32, FxBuildHasher> = Box::leak(Box::new(map));
    row("std HashMap, Fx hash", Answer::Rank, bytes, move |key| map[&key])
}

fn binary_search_row<K: BenchKey>(keys: &[K]) -> Row<K> {
    let sorted: &'static [K] = keys.to_vec().leak();
    row("sorted array, binary search", Answer::Rank, size_of_val(keys), move |key| {
        sorted.binary_search(&key).map_or(0, |rank| rank as u32)
    })
}
