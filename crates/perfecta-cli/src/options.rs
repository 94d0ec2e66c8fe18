//! Options that commands share, each with its parser, its help and its tests.

use std::str::FromStr;
use std::time::Duration;

use perfecta_core::family::Family;
use perfecta_core::key::{KeyWidth, Shape};
use perfecta_core::search::{FamilyChoice, UnknownFamily};
use perfecta_core::seeds::SEEDS_MAX;
use perfecta_io::thousands;

/// `--hash auto|NAME|ID`.
///
/// # Errors
/// A sentence that names the nearest families.
pub(crate) fn parse_hash(value: &str) -> Result<FamilyChoice, String> {
    value.parse().map_err(|_: UnknownFamily| unknown_hash(value))
}

fn unknown_hash(value: &str) -> String {
    let wanted = value.to_ascii_lowercase();
    let nearest = Family::all()
        .map(Family::name)
        .map(|name| (strsim::damerau_levenshtein(&wanted, &name.to_ascii_lowercase()), name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => {
            format!("no such hash family; did you mean {name}?")
        }
        _ => "no such hash family; `perfecta hashes` lists them".to_owned(),
    }
}

/// An unsigned number, decimal or `0x`, `0o`, `0b`, with `_` between digits.
///
/// # Errors
/// A sentence.
pub(crate) fn parse_number(value: &str) -> Result<u64, String> {
    let digits = value.replace('_', "");
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0o" | "0O") => (&digits[2..], 8),
        Some("0b" | "0B") => (&digits[2..], 2),
        _ => (digits.as_str(), 10),
    };
    u64::from_str_radix(digits, radix)
        .map_err(|_| "not a whole number (decimal, 0x, 0o or 0b; at most 64 bits)".to_owned())
}

/// A number of attempts: there is at least one.
///
/// # Errors
/// A sentence.
pub(crate) fn parse_attempts(value: &str) -> Result<u64, String> {
    match parse_number(value)? {
        0 => Err("give at least 1, or leave the option out".to_owned()),
        attempts => Ok(attempts),
    }
}

/// Seed words that the user fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FixedSeeds {
    /// The words; zero leaves one to the generator, as do those that were not given.
    pub(crate) words: [u32; SEEDS_MAX],
    /// How many were given.
    pub(crate) given: usize,
}

/// Up to eight 32-bit words, comma-separated; zero leaves a word to the generator.
///
/// # Errors
/// A sentence.
pub(crate) fn parse_seeds(value: &str) -> Result<FixedSeeds, String> {
    let mut words = [0; SEEDS_MAX];
    let given = value.split(',').count();
    if given > SEEDS_MAX {
        return Err(format!("no family takes more than {SEEDS_MAX} seeds, these are {given}"));
    }
    for (seed, word) in words.iter_mut().zip(value.split(',')) {
        let number = parse_number(word.trim())?;
        *seed = u32::try_from(number).map_err(|_| format!("{word} is more than 32 bits"))?;
    }
    Ok(FixedSeeds { words, given })
}

/// Bytes, with an optional K, M, G or T (powers of 1,024), also grouped as errors give them: `176,851,482`.
///
/// # Errors
/// A sentence.
pub(crate) fn parse_bytes(value: &str) -> Result<u64, String> {
    let plain = value.strip_suffix("iB").or(value.strip_suffix('B')).unwrap_or(value);
    let (digits, shift) = match plain.chars().last().map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => (&plain[..plain.len() - 1], 10),
        Some('M') => (&plain[..plain.len() - 1], 20),
        Some('G') => (&plain[..plain.len() - 1], 30),
        Some('T') => (&plain[..plain.len() - 1], 40),
        _ => (plain, 0),
    };
    let digits = digits.trim();
    let count = digits.replace(',', "").parse().ok();
    let count = count.filter(|&count| !digits.contains(',') || digits == thousands(count));
    let count: u64 = count.ok_or_else(|| "not a number of bytes such as 512M or 2G".to_owned())?;
    count.checked_mul(1 << shift).ok_or_else(|| "more bytes than 64 bits count".to_owned())
}

/// A thousand years of 365 days: every clock can add them, and count them from 1970.
const SECONDS_MAX: u64 = 1_000 * 365 * 24 * 60 * 60;

/// Seconds, also with a fraction.
///
/// # Errors
/// A sentence.
pub(crate) fn parse_seconds(value: &str) -> Result<Duration, String> {
    let seconds: f64 = value.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=SECONDS_MAX as f64).contains(&seconds) {
        return Err(format!("seconds are from 0 to {SECONDS_MAX}"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// `32` or `64`, in bits.
///
/// # Errors
/// A sentence.
pub(crate) fn parse_key_size(value: &str) -> Result<KeyWidth, String> {
    let bits = value.parse().ok().and_then(KeyWidth::from_bits);
    bits.ok_or_else(|| "a key has 32 or 64 bits".to_owned())
}

/// A shape of generated keys.
///
/// # Errors
/// A sentence that lists them.
pub(crate) fn parse_shape(value: &str) -> Result<Shape, String> {
    Shape::from_str(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_hash_is_answered_with_the_nearest_name() {
        let check = |value: &str, name: &str| {
            let message = parse_hash(value).unwrap_err();
            assert!(message.ends_with(&format!("did you mean {name}?")), "{message}");
        };
        check("Mulshrolate4X", "Mulshrolate4RX");
        check("MultiplyShitR", "MultiplyShiftR");
        check("Jenkin", "Jenkins");
        assert!(parse_hash("xxhash3").unwrap_err().contains("perfecta hashes"));
        assert!(parse_hash("40").is_err());
    }

    #[test]
    fn numbers_are_read_in_every_radix_and_rubbish_is_refused() {
        assert_eq!(parse_number("0x2019090319811025"), Ok(0x2019_0903_1981_1025));
        assert_eq!(parse_number("1_000"), Ok(1000));
        assert_eq!(parse_number("0b101"), Ok(5));
        assert!(parse_number("abc").is_err());
        assert!(parse_number("-1").is_err());
        assert!(parse_number("18446744073709551616").is_err());
    }

    #[test]
    fn seeds_are_up_to_eight_words_of_32_bits() {
        let words = [1, 16, 3, 0, 0, 0, 0, 0];
        assert_eq!(parse_seeds("1,0x10, 3"), Ok(FixedSeeds { words, given: 3 }));
        assert!(parse_seeds("4294967296").is_err());
        assert!(parse_seeds("1,2,3,4,5,6,7,8,9").is_err());
        assert!(parse_seeds("1,,2").is_err());
    }

    #[test]
    fn seconds_are_so_many_that_every_clock_can_add_them() {
        assert_eq!(parse_seconds("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_seconds("0"), Ok(Duration::ZERO));
        assert_eq!(parse_seconds("31536000000"), Ok(Duration::from_secs(SECONDS_MAX)));
        for value in ["31536000001", "1e19", "1e300", "inf", "NaN", "-1"] {
            assert!(parse_seconds(value).unwrap_err().contains("to 31536000000"), "{value}");
        }
        assert!(parse_seconds("a while").is_err());
    }

    #[test]
    fn bytes_take_a_unit() {
        assert_eq!(parse_bytes("512M"), Ok(512 << 20));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("77"), Ok(77));
        assert_eq!(parse_bytes("176,851,482"), Ok(176_851_482));
        assert_eq!(parse_bytes("1,024K"), Ok(1 << 20));
        for value in ["1,5", "1,0000", ",", "0,512M", "1024,"] {
            assert!(parse_bytes(value).is_err(), "{value}");
        }
        assert!(parse_bytes("M").is_err());
        assert!(parse_bytes("99999999999T").is_err());
    }
}
