//! 64-bit keys that use at most 32 bits become 32-bit keys by leaving the unused bits out.

/// Gathers the bits of a 64-bit key that some key of the set uses (x86's PEXT).
///
/// Order and distinctness are kept, so that a key's rank is the same before and after. Bits that no
/// key of the set uses are ignored: a foreign key that differs only there gets a key's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Downsize {
    bitmap: u64,
    /// `(shift, mask)` where the bits are one run: `(key >> shift) & mask` gathers them.
    run: Option<(u32, u64)>,
}

impl Downsize {
    /// The most bits that fit the smaller key.
    pub const BITS_MAX: u32 = 32;

    /// Gathers the bits set in `bitmap`, or `None` if they are more than [`Self::BITS_MAX`].
    #[must_use]
    pub const fn new(bitmap: u64) -> Option<Self> {
        if bitmap.count_ones() > Self::BITS_MAX {
            return None;
        }
        Some(Self { bitmap, run: contiguous(bitmap) })
    }

    /// The bits that are gathered.
    #[must_use]
    pub const fn bitmap(self) -> u64 {
        self.bitmap
    }

    /// The smaller key.
    #[inline]
    #[must_use]
    pub fn apply(self, key: u64) -> u32 {
        if let Some((shift, mask)) = self.run {
            return ((key >> shift) & mask) as u32;
        }
        self.gather(key)
    }

    /// The key that a smaller one was gathered from.
    #[cfg(feature = "alloc")]
    pub(crate) fn restore(self, smaller: u64) -> u64 {
        self.runs().fold(0, |key, run| key | (smaller & run.mask) << run.shift)
    }

    fn gather(self, key: u64) -> u32 {
        self.runs().fold(0, |gathered, run| gathered | run.apply(key))
    }

    /// The runs of set bits, lowest first: or-ing what each gives is the whole.
    pub fn runs(self) -> impl Iterator<Item = Run> {
        let mut rest = self.bitmap;
        let mut place = 0;
        core::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let start = rest.trailing_zeros();
            let length = (rest >> start).trailing_ones();
            let mask = u64::MAX >> (64 - length);
            rest &= !(mask << start);
            let run = Run { shift: start - place, mask: mask << place };
            place += length;
            Some(run)
        })
    }
}

/// One run of used bits: `(key >> shift) & mask` moves it to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Bits to shift right.
    pub shift: u32,
    /// Bits to keep, after the shift.
    pub mask: u64,
}

impl Run {
    const fn apply(self, key: u64) -> u32 {
        ((key >> self.shift) & self.mask) as u32
    }
}

const fn contiguous(bitmap: u64) -> Option<(u32, u64)> {
    if bitmap == 0 {
        return Some((0, 0));
    }
    let shift = bitmap.trailing_zeros();
    let mask = bitmap >> shift;
    if mask & mask.wrapping_add(1) == 0 { Some((shift, mask)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit: shares nothing with the runs.
    fn gather_by_bits(key: u64, bitmap: u64) -> u32 {
        let mut gathered = 0;
        let mut place = 0;
        for bit in 0..64 {
            if bitmap >> bit & 1 == 1 {
                gathered |= (key >> bit & 1) << place;
                place += 1;
            }
        }
        u32::try_from(gathered).unwrap()
    }

    proptest! {
        #[test]
        fn gathering_is_the_same_as_bit_by_bit_and_can_be_undone(key: u64, sparse: u64, mask: u64) {
            let bitmap = [sparse & mask, sparse & 0xffff_ffff, (sparse & 0xffff) << 40]
                .into_iter()
                .find(|bitmap| bitmap.count_ones() <= 32)
                .unwrap();
            let downsize = Downsize::new(bitmap).unwrap();
            prop_assert_eq!(downsize.apply(key), gather_by_bits(key, bitmap));
            prop_assert_eq!(downsize.restore(downsize.apply(key).into()), key & bitmap);
        }
    }

    #[test]
    fn thirty_three_bits_do_not_fit() {
        assert!(Downsize::new((1 << 33) - 1).is_none());
        assert!(Downsize::new(u64::from(u32::MAX) << 32).is_some());
    }

    #[test]
    fn one_run_is_a_shift_and_a_mask() {
        assert_eq!(Downsize::new(0x0ff0).unwrap().run, Some((4, 0xff)));
        assert_eq!(Downsize::new(0x0f0f).unwrap().run, None);
        assert_eq!(Downsize::new(0).unwrap().apply(5), 0);
    }
}
