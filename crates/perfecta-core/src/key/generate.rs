//! Key sets made from a seed: for a first run, for tests and benchmarks, without any file of others.

use alloc::vec::Vec;
use core::str::FromStr;

use super::KeyWidth;
use crate::philox::Philox;

/// What generated keys look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Drawn evenly from all keys of the width.
    Uniform,
    /// Like the addresses of functions in a program: aligned to 16, close together in runs, with
    /// gaps between runs. Weak multiplicative hashing fails on these.
    Clusters,
    /// Consecutive numbers from 1.
    Linear,
    /// Multiples of 4,096.
    Strided,
    /// As uniform, with key 0.
    Zero,
    /// As uniform, with key 0 and the key whose bits are all ones.
    Ends,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 6] =
        [Self::Uniform, Self::Clusters, Self::Linear, Self::Strided, Self::Zero, Self::Ends];

    /// The shape's name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Clusters => "clusters",
            Self::Linear => "linear",
            Self::Strided => "strided",
            Self::Zero => "zero",
            Self::Ends => "ends",
        }
    }

    /// The most keys that this shape has in a width.
    #[must_use]
    pub const fn keys_max(self, width: KeyWidth) -> u64 {
        let all = match width {
            KeyWidth::Bits32 => 1 << 32,
            KeyWidth::Bits64 => 1 << 48,
        };
        match self {
            Self::Linear => all - 1,
            // Half of all keys at most: drawing until they are distinct ends quickly.
            Self::Uniform | Self::Zero | Self::Ends => all / 2,
            Self::Clusters => all / 256,
            Self::Strided => all / STRIDE - 1,
        }
    }
}

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(name: &str) -> Result<Self, UnknownShape> {
        Self::ALL.into_iter().find(|shape| shape.name() == name).ok_or(UnknownShape)
    }
}

/// A name that is no shape's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shapes are uniform, clusters, linear, strided, zero, ends")]
pub struct UnknownShape;

const STRIDE: u64 = 4096;

/// `num_keys` keys in ascending order, the same for the same arguments everywhere. Their own eight bytes
/// each are all the memory that it takes.
///
/// # Panics
/// If `num_keys` is more than [`Shape::keys_max`].
#[must_use]
pub fn generate(shape: Shape, width: KeyWidth, num_keys: usize, seed: u64) -> Vec<u64> {
    assert!(num_keys as u64 <= shape.keys_max(width), "too many {} keys", shape.name());
    let greatest = u64::MAX >> (64 - width.bits());
    let mut stream = Philox::new(seed, 0);
    match shape {
        Shape::Uniform => uniform(Vec::new(), greatest, num_keys, &mut stream),
        Shape::Zero => uniform(Vec::from([0]), greatest, num_keys, &mut stream),
        Shape::Ends => uniform(Vec::from([0, greatest]), greatest, num_keys, &mut stream),
        Shape::Linear => (1..=num_keys as u64).collect(),
        Shape::Strided => (1..=num_keys as u64).map(|key| key * STRIDE).collect(),
        Shape::Clusters => clusters(width, num_keys, &mut stream),
    }
}

fn uniform(mut keys: Vec<u64>, greatest: u64, num_keys: usize, stream: &mut Philox) -> Vec<u64> {
    keys.truncate(num_keys);
    keys.reserve_exact(num_keys - keys.len());
    while keys.len() < num_keys {
        for _ in keys.len()..num_keys {
            let key = u64::from(stream.next_word()) << 32 | u64::from(stream.next_word());
            keys.push(key & greatest);
        }
        keys.sort_unstable();
        keys.dedup();
    }
    keys
}

/// Function lengths of 16 to 1,024 bytes, short ones more often; a gap of some pages between runs of
/// some hundred.
fn clusters(width: KeyWidth, num_keys: usize, stream: &mut Philox) -> Vec<u64> {
    let mut address = match width {
        KeyWidth::Bits32 => 0x1000,
        KeyWidth::Bits64 => 0x7ff6_0000_1000,
    };
    // What is left for each key keeps the last address within the width.
    let length_max_log2 = if num_keys > 1 << 22 { 1 } else { 6 };
    let mut left_in_run = 0;
    (0..num_keys)
        .map(|_| {
            if left_in_run == 0 {
                left_in_run = 100 + stream.next_word() % 400;
                address += u64::from(stream.next_word() % 16) * STRIDE;
            }
            left_in_run -= 1;
            let key = address;
            let paragraphs_log2 = stream.next_word().trailing_zeros().min(length_max_log2);
            address += 16 * (1 + u64::from(stream.next_word() % (1 << paragraphs_log2)));
            key
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_gives_the_number_of_sorted_distinct_keys_of_its_width() {
        for shape in Shape::ALL {
            for width in [KeyWidth::Bits32, KeyWidth::Bits64] {
                for num_keys in [1, 2, 3, 1000, 50_000] {
                    let keys = generate(shape, width, num_keys, 1);
                    assert_eq!(keys.len(), num_keys);
                    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{shape:?}");
                    assert!(keys[num_keys - 1] <= u64::MAX >> (64 - width.bits()));
                }
            }
        }
    }

    #[test]
    fn the_ends_are_there_and_seeds_differ() {
        let keys = generate(Shape::Ends, KeyWidth::Bits32, 10, 1);
        assert_eq!((keys[0], keys[9]), (0, u64::from(u32::MAX)));
        assert_eq!(generate(Shape::Zero, KeyWidth::Bits64, 10, 1)[0], 0);
        assert_ne!(keys, generate(Shape::Ends, KeyWidth::Bits32, 10, 2));
        assert_eq!(keys, generate(Shape::Ends, KeyWidth::Bits32, 10, 1));
    }

    #[test]
    fn many_clustered_keys_stay_within_their_width() {
        let keys = generate(Shape::Clusters, KeyWidth::Bits32, 10_000_000, 3);
        assert!(keys[keys.len() - 1] <= u64::from(u32::MAX));
    }
}
