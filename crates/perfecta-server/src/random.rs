//! Numbers that nobody else has drawn. Nothing that is to be kept secret is made of them.

use std::hash::{BuildHasher as _, RandomState};

/// 64 bits, by the way to the system's randomness that the standard library knows for every system.
pub(crate) fn draw() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_drawn_twice() {
        let drawn: std::collections::BTreeSet<u64> = (0..1_000).map(|_| draw()).collect();
        assert_eq!(drawn.len(), 1_000);
    }
}
