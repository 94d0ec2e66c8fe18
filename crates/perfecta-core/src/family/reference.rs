//! The 39 functions of the reference with And masks, exact to the bit.
//!
//! Each arm of [`Reference::with_member`] is one line of the table in the reference's documentation:
//! `s(n)` is seed `n`, `b(n)` byte `n` of seed 3, `c(n)` byte `n` of seed 6, counted from 1.
//! Functions whose 32-bit form is broken in the reference follow its 16-bit or compiled form.

use super::MemberVisitor;
use crate::geometry::Geometry;
use crate::seeds::Seeds;

/// A hash function of the reference, named as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the formula in `with_member` is the documentation of each")]
pub enum Reference {
    Crc32Rotate15 = 1,
    Jenkins = 2,
    JenkinsMod = 3,
    RotateXor = 4,
    AddSubXor = 5,
    Xor = 6,
    Dummy = 7,
    Crc32RotateXor = 8,
    Crc32 = 9,
    Djb = 10,
    DjbXor = 11,
    Fnv = 12,
    Crc32Not = 13,
    Crc32RotateX = 14,
    Crc32RotateXY = 15,
    Crc32RotateWXYZ = 16,
    RotateMultiplyXorRotate = 17,
    ShiftMultiplyXorShift = 18,
    ShiftMultiplyXorShift2 = 19,
    RotateMultiplyXorRotate2 = 20,
    MultiplyRotateR = 21,
    MultiplyRotateLR = 22,
    MultiplyShiftR = 23,
    MultiplyShiftLR = 24,
    Multiply = 25,
    MultiplyXor = 26,
    MultiplyRotateRMultiply = 27,
    MultiplyRotateR2 = 28,
    MultiplyShiftRMultiply = 29,
    MultiplyShiftR2 = 30,
    RotateRMultiply = 31,
    RotateRMultiplyRotateR = 32,
    Multiply643ShiftR = 33,
    Multiply644ShiftR = 34,
    MultiplyShiftRX = 35,
    Mulshrolate1RX = 36,
    Mulshrolate2RX = 37,
    Mulshrolate3RX = 38,
    Mulshrolate4RX = 39,
}

impl Reference {
    /// All of them, by id.
    pub const ALL: [Self; 39] = [
        Self::Crc32Rotate15,
        Self::Jenkins,
        Self::JenkinsMod,
        Self::RotateXor,
        Self::AddSubXor,
        Self::Xor,
        Self::Dummy,
        Self::Crc32RotateXor,
        Self::Crc32,
        Self::Djb,
        Self::DjbXor,
        Self::Fnv,
        Self::Crc32Not,
        Self::Crc32RotateX,
        Self::Crc32RotateXY,
        Self::Crc32RotateWXYZ,
        Self::RotateMultiplyXorRotate,
        Self::ShiftMultiplyXorShift,
        Self::ShiftMultiplyXorShift2,
        Self::RotateMultiplyXorRotate2,
        Self::MultiplyRotateR,
        Self::MultiplyRotateLR,
        Self::MultiplyShiftR,
        Self::MultiplyShiftLR,
        Self::Multiply,
        Self::MultiplyXor,
        Self::MultiplyRotateRMultiply,
        Self::MultiplyRotateR2,
        Self::MultiplyShiftRMultiply,
        Self::MultiplyShiftR2,
        Self::RotateRMultiply,
        Self::RotateRMultiplyRotateR,
        Self::Multiply643ShiftR,
        Self::Multiply644ShiftR,
        Self::MultiplyShiftRX,
        Self::Mulshrolate1RX,
        Self::Mulshrolate2RX,
        Self::Mulshrolate3RX,
        Self::Mulshrolate4RX,
    ];

    pub(super) const fn id(self) -> u8 {
        self as u8
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crc32Rotate15 => "Crc32Rotate15",
            Self::Jenkins => "Jenkins",
            Self::JenkinsMod => "JenkinsMod",
            Self::RotateXor => "RotateXor",
            Self::AddSubXor => "AddSubXor",
            Self::Xor => "Xor",
            Self::Dummy => "Dummy",
            Self::Crc32RotateXor => "Crc32RotateXor",
            Self::Crc32 => "Crc32",
            Self::Djb => "Djb",
            Self::DjbXor => "DjbXor",
            Self::Fnv => "Fnv",
            Self::Crc32Not => "Crc32Not",
            Self::Crc32RotateX => "Crc32RotateX",
            Self::Crc32RotateXY => "Crc32RotateXY",
            Self::Crc32RotateWXYZ => "Crc32RotateWXYZ",
            Self::RotateMultiplyXorRotate => "RotateMultiplyXorRotate",
            Self::ShiftMultiplyXorShift => "ShiftMultiplyXorShift",
            Self::ShiftMultiplyXorShift2 => "ShiftMultiplyXorShift2",
            Self::RotateMultiplyXorRotate2 => "RotateMultiplyXorRotate2",
            Self::MultiplyRotateR => "MultiplyRotateR",
            Self::MultiplyRotateLR => "MultiplyRotateLR",
            Self::MultiplyShiftR => "MultiplyShiftR",
            Self::MultiplyShiftLR => "MultiplyShiftLR",
            Self::Multiply => "Multiply",
            Self::MultiplyXor => "MultiplyXor",
            Self::MultiplyRotateRMultiply => "MultiplyRotateRMultiply",
            Self::MultiplyRotateR2 => "MultiplyRotateR2",
            Self::MultiplyShiftRMultiply => "MultiplyShiftRMultiply",
            Self::MultiplyShiftR2 => "MultiplyShiftR2",
            Self::RotateRMultiply => "RotateRMultiply",
            Self::RotateRMultiplyRotateR => "RotateRMultiplyRotateR",
            Self::Multiply643ShiftR => "Multiply643ShiftR",
            Self::Multiply644ShiftR => "Multiply644ShiftR",
            Self::MultiplyShiftRX => "MultiplyShiftRX",
            Self::Mulshrolate1RX => "Mulshrolate1RX",
            Self::Mulshrolate2RX => "Mulshrolate2RX",
            Self::Mulshrolate3RX => "Mulshrolate3RX",
            Self::Mulshrolate4RX => "Mulshrolate4RX",
        }
    }

    pub(super) const fn num_seeds(self) -> u8 {
        match self {
            Self::Crc32Rotate15
            | Self::Jenkins
            | Self::JenkinsMod
            | Self::Xor
            | Self::Crc32
            | Self::Djb
            | Self::DjbXor
            | Self::Fnv
            | Self::Crc32Not
            | Self::Multiply => 2,
            Self::Dummy
            | Self::Crc32RotateXor
            | Self::Crc32RotateX
            | Self::Crc32RotateXY
            | Self::Crc32RotateWXYZ
            | Self::RotateMultiplyXorRotate
            | Self::ShiftMultiplyXorShift
            | Self::MultiplyRotateR
            | Self::MultiplyRotateLR
            | Self::MultiplyShiftR
            | Self::MultiplyShiftLR
            | Self::RotateRMultiply
            | Self::RotateRMultiplyRotateR
            | Self::MultiplyShiftRX
            | Self::Mulshrolate1RX
            | Self::Mulshrolate2RX => 3,
            Self::RotateXor | Self::AddSubXor | Self::MultiplyXor | Self::Mulshrolate3RX => 4,
            Self::MultiplyRotateRMultiply
            | Self::MultiplyRotateR2
            | Self::MultiplyShiftRMultiply
            | Self::MultiplyShiftR2
            | Self::Multiply643ShiftR
            | Self::Multiply644ShiftR
            | Self::Mulshrolate4RX => 5,
            Self::ShiftMultiplyXorShift2 | Self::RotateMultiplyXorRotate2 => 6,
        }
    }

    pub(super) const fn seed_mask(self, number: usize) -> u32 {
        match (self, number) {
            (Self::Crc32RotateX, 3) => 0x1f,
            (
                Self::Crc32RotateXY
                | Self::MultiplyRotateR
                | Self::MultiplyRotateLR
                | Self::MultiplyShiftR
                | Self::MultiplyShiftLR
                | Self::MultiplyRotateRMultiply
                | Self::MultiplyShiftRMultiply
                | Self::RotateRMultiply
                | Self::Multiply643ShiftR
                | Self::MultiplyShiftRX,
                3,
            ) => 0x1f1f,
            (Self::Multiply644ShiftR, 3) => 0x3f3f,
            (Self::ShiftMultiplyXorShift2 | Self::RotateMultiplyXorRotate2, 3 | 6) => 0x1f_1f1f,
            (
                Self::Crc32RotateWXYZ
                | Self::RotateMultiplyXorRotate
                | Self::ShiftMultiplyXorShift
                | Self::MultiplyRotateR2
                | Self::MultiplyShiftR2
                | Self::RotateRMultiplyRotateR
                | Self::Mulshrolate1RX
                | Self::Mulshrolate2RX
                | Self::Mulshrolate3RX
                | Self::Mulshrolate4RX,
                3,
            ) => 0x1f1f_1f1f,
            _ => u32::MAX,
        }
    }

    /// The bits of seed `number` that some vertex depends on: no more than [`Self::seed_mask`] lets
    /// be drawn, but the formulas do not read all of that.
    #[cfg(feature = "alloc")]
    pub(super) const fn hashed_mask(self, number: usize) -> u32 {
        match (self, number) {
            (Self::AddSubXor, 3 | 4) => 0,
            (Self::Dummy | Self::MultiplyShiftRX, 3) => 0x1f,
            (Self::Mulshrolate1RX, 3) => 0x1f1f,
            (Self::Mulshrolate2RX | Self::Mulshrolate3RX | Self::Mulshrolate4RX, 3) => 0x1f_1f1f,
            // These bits reach the topmost of a word only, which is above the greatest vertex.
            (Self::RotateXor, 1) => !(1 << 16),
            (Self::RotateXor, 4) => !(1 << 19),
            (
                Self::AddSubXor
                | Self::Djb
                | Self::DjbXor
                | Self::Fnv
                | Self::Multiply
                | Self::RotateRMultiply,
                1 | 2,
            )
            | (Self::MultiplyXor, 1..=4)
            | (Self::MultiplyShiftLR, 1)
            | (Self::MultiplyRotateRMultiply | Self::MultiplyShiftRMultiply, 2 | 5) => {
                u32::MAX >> 1
            }
            // The same of 64 bits, which are shifted to the right by 31 at most.
            (Self::Multiply643ShiftR, 2 | 5) => u32::MAX >> 2,
            _ => self.seed_mask(number),
        }
    }

    /// The RX functions: a right shift by `32 - log2(vertices)` leaves just a vertex, so that they
    /// need no mask.
    pub(super) const fn shifts_by_geometry(self) -> bool {
        match self {
            Self::MultiplyShiftRX
            | Self::Mulshrolate1RX
            | Self::Mulshrolate2RX
            | Self::Mulshrolate3RX
            | Self::Mulshrolate4RX => true,
            Self::Crc32Rotate15
            | Self::Jenkins
            | Self::JenkinsMod
            | Self::RotateXor
            | Self::AddSubXor
            | Self::Xor
            | Self::Dummy
            | Self::Crc32RotateXor
            | Self::Crc32
            | Self::Djb
            | Self::DjbXor
            | Self::Fnv
            | Self::Crc32Not
            | Self::Crc32RotateX
            | Self::Crc32RotateXY
            | Self::Crc32RotateWXYZ
            | Self::RotateMultiplyXorRotate
            | Self::ShiftMultiplyXorShift
            | Self::ShiftMultiplyXorShift2
            | Self::RotateMultiplyXorRotate2
            | Self::MultiplyRotateR
            | Self::MultiplyRotateLR
            | Self::MultiplyShiftR
            | Self::MultiplyShiftLR
            | Self::Multiply
            | Self::MultiplyXor
            | Self::MultiplyRotateRMultiply
            | Self::MultiplyRotateR2
            | Self::MultiplyShiftRMultiply
            | Self::MultiplyShiftR2
            | Self::RotateRMultiply
            | Self::RotateRMultiplyRotateR
            | Self::Multiply643ShiftR
            | Self::Multiply644ShiftR => false,
        }
    }

    /// The purely multiplicative functions: key 0 has vertices `(0, 0)` whatever the seeds.
    pub(super) const fn maps_zero_to_zero(self) -> bool {
        match self {
            Self::RotateMultiplyXorRotate
            | Self::ShiftMultiplyXorShift
            | Self::ShiftMultiplyXorShift2
            | Self::RotateMultiplyXorRotate2
            | Self::MultiplyRotateR
            | Self::MultiplyRotateLR
            | Self::MultiplyShiftR
            | Self::MultiplyShiftLR
            | Self::Multiply
            | Self::MultiplyRotateRMultiply
            | Self::MultiplyRotateR2
            | Self::MultiplyShiftRMultiply
            | Self::MultiplyShiftR2
            | Self::RotateRMultiply
            | Self::RotateRMultiplyRotateR
            | Self::Multiply643ShiftR
            | Self::Multiply644ShiftR
            | Self::MultiplyShiftRX
            | Self::Mulshrolate1RX
            | Self::Mulshrolate2RX
            | Self::Mulshrolate3RX
            | Self::Mulshrolate4RX => true,
            Self::Crc32Rotate15
            | Self::Jenkins
            | Self::JenkinsMod
            | Self::RotateXor
            | Self::AddSubXor
            | Self::Xor
            | Self::Dummy
            | Self::Crc32RotateXor
            | Self::Crc32
            | Self::Djb
            | Self::DjbXor
            | Self::Fnv
            | Self::Crc32Not
            | Self::Crc32RotateX
            | Self::Crc32RotateXY
            | Self::Crc32RotateWXYZ
            | Self::MultiplyXor => false,
        }
    }

    /// Hands the member to `visitor`.
    #[inline(always)]
    #[expect(clippy::too_many_lines, reason = "one arm for each of the 39 formulas")]
    pub(super) fn with_member<V>(self, seeds: &Seeds, geometry: Geometry, visitor: V) -> V::Output
    where
        V: MemberVisitor<u32>,
    {
        let mask = geometry.hash_mask();
        let s = |number| seeds.word(number);
        let b = |byte| seeds.byte(3, byte);
        let c = |byte| seeds.byte(6, byte);
        /// The member of a pair of formulas, its vertices cut to the geometry.
        macro_rules! member {
            ($key:ident => $first:expr, $second:expr) => {
                visitor.visit(
                    #[inline(always)]
                    move |$key: u32| ($first & mask, $second & mask),
                )
            };
        }
        match self {
            Self::Crc32Rotate15 => {
                let (s1, s2) = (s(1), s(2));
                member!(k => crc(s1, k), crc(s2, k.rotate_left(15)))
            }
            Self::Jenkins | Self::JenkinsMod => {
                let (s1, s2) = (s(1), s(2));
                member!(k => jenkins(k, s1), jenkins(k, s2))
            }
            Self::RotateXor => {
                let (s1, s2, s3, s4) = (s(1), s(2), s(3), s(4));
                member!(k => (k ^ s1).rotate_left(15) ^ sub(k, s3).rotate_right(11), add(k, s2).rotate_left(7) ^ (k ^ s4).rotate_right(20))
            }
            Self::AddSubXor => {
                let (s1, s2) = (s(1), s(2));
                member!(k => add(k, s1), sub(k, s2))
            }
            Self::Xor => {
                let (s1, s2) = (s(1), s(2));
                member!(k => fold_16(k ^ s1), fold_16(k.rotate_left(15) ^ s2))
            }
            Self::Dummy => {
                let (s1, s2, s3) = (s(1), s(2), s(3));
                member!(k => crc(s1, k), crc(s2, k.rotate_left(s3 & 31)))
            }
            Self::Crc32RotateXor => {
                let (s1, s2, s3) = (s(1), s(2), s(3));
                member!(k => crc(s1, k), crc(crc(s2, k.rotate_left(15)), s3 ^ k))
            }
            Self::Crc32 => {
                let (s1, s2) = (s(1), s(2));
                member!(k => crc(s1, k), crc(s2, k))
            }
            Self::Djb => {
                let (s1, s2) = (s(1), s(2));
                member!(k => djb(k, s1), djb(k, s2))
            }
            Self::DjbXor => {
                let (s1, s2) = (s(1), s(2));
                member!(k => djb_xor(k, s1), djb_xor(k, s2))
            }
            Self::Fnv => {
                let (s1, s2) = (s(1), s(2));
                member!(k => fnv(k, s1), fnv(k, s2))
            }
            Self::Crc32Not => {
                let (s1, s2) = (s(1), s(2));
                member!(k => crc(s1, k), crc(s2, !k))
            }
            Self::Crc32RotateX => {
                let (s1, s2, b1) = (s(1), s(2), b(1));
                member!(k => crc(s1, k), crc(s2, k.rotate_left(b1)))
            }
            Self::Crc32RotateXY => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => crc(s1, k.rotate_right(b1)), crc(s2, k.rotate_left(b2)))
            }
            Self::Crc32RotateWXYZ => {
                let (s1, s2, b1, b2, b3, b4) = (s(1), s(2), b(1), b(2), b(3), b(4));
                member!(k => crc(s1, k.rotate_right(b1)).rotate_left(b2), crc(s2, k.rotate_left(b3)).rotate_right(b4))
            }
            Self::RotateMultiplyXorRotate => {
                let (s1, s2, b1, b2, b3, b4) = (s(1), s(2), b(1), b(2), b(3), b(4));
                member!(k => xor_rotated(mul(k.rotate_right(b1), s1), b2), xor_rotated(mul(k.rotate_right(b3), s2), b4))
            }
            Self::ShiftMultiplyXorShift => {
                let (s1, s2, b1, b2, b3, b4) = (s(1), s(2), b(1), b(2), b(3), b(4));
                member!(k => xor_shifted(mul(k >> b1, s1), b2), xor_shifted(mul(k >> b3, s2), b4))
            }
            Self::ShiftMultiplyXorShift2 => {
                let (s1, s2, s4, s5, b1, b2, b3, c1, c2, c3) =
                    (s(1), s(2), s(4), s(5), b(1), b(2), b(3), c(1), c(2), c(3));
                member!(k => xor_shifted(mul(xor_shifted(mul(k >> b1, s1), b2), s2), b3), xor_shifted(mul(xor_shifted(mul(k >> c1, s4), c2), s5), c3))
            }
            Self::RotateMultiplyXorRotate2 => {
                let (s1, s2, s4, s5, b1, b2, b3, c1, c2, c3) =
                    (s(1), s(2), s(4), s(5), b(1), b(2), b(3), c(1), c(2), c(3));
                member!(k => xor_rotated(mul(xor_rotated(mul(k.rotate_right(b1), s1), b2), s2), b3), xor_rotated(mul(xor_rotated(mul(k.rotate_right(c1), s4), c2), s5), c3))
            }
            Self::MultiplyRotateR => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => mul(k, s1).rotate_right(b1), mul(k, s2).rotate_right(b2))
            }
            Self::MultiplyRotateLR => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => mul(k, s1).rotate_left(b1), mul(k, s2).rotate_right(b2))
            }
            Self::MultiplyShiftR => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => mul(k, s1) >> b1, mul(k, s2) >> b2)
            }
            Self::MultiplyShiftLR => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => mul(k, s1) << b1, mul(k, s2) >> b2)
            }
            Self::Multiply => {
                let (s1, s2) = (s(1), s(2));
                member!(k => mul(k, s1), mul(k, s2))
            }
            Self::MultiplyXor => {
                let (s1, s2, s3, s4) = (s(1), s(2), s(3), s(4));
                member!(k => mul(k, s1) ^ s2, mul(k, s3) ^ s4)
            }
            Self::MultiplyRotateRMultiply => {
                let (s1, s2, s4, s5, b1, b2) = (s(1), s(2), s(4), s(5), b(1), b(2));
                member!(k => mul(mul(k, s1).rotate_right(b1), s2), mul(mul(k, s4).rotate_right(b2), s5))
            }
            Self::MultiplyRotateR2 => {
                let (s1, s2, s4, s5, b1, b2, b3, b4) =
                    (s(1), s(2), s(4), s(5), b(1), b(2), b(3), b(4));
                member!(k => mul(mul(k, s1).rotate_right(b1), s2).rotate_right(b2), mul(mul(k, s4).rotate_right(b3), s5).rotate_right(b4))
            }
            Self::MultiplyShiftRMultiply => {
                let (s1, s2, s4, s5, b1, b2) = (s(1), s(2), s(4), s(5), b(1), b(2));
                member!(k => mul(mul(k, s1) >> b1, s2), mul(mul(k, s4) >> b2, s5))
            }
            Self::MultiplyShiftR2 => {
                let (s1, s2, s4, s5, b1, b2, b3, b4) =
                    (s(1), s(2), s(4), s(5), b(1), b(2), b(3), b(4));
                member!(k => mul(mul(k, s1) >> b1, s2) >> b2, mul(mul(k, s4) >> b3, s5) >> b4)
            }
            Self::RotateRMultiply => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => mul(k.rotate_right(b1), s1), mul(k.rotate_right(b2), s2))
            }
            Self::RotateRMultiplyRotateR => {
                let (s1, s2, b1, b2, b3, b4) = (s(1), s(2), b(1), b(2), b(3), b(4));
                member!(k => mul(k.rotate_right(b1), s1).rotate_right(b2), mul(k.rotate_right(b3), s2).rotate_right(b4))
            }
            Self::Multiply643ShiftR | Self::Multiply644ShiftR => {
                let (w1, w2, b1, b2) = (seeds.wide(2, 1), seeds.wide(5, 4), b(1), b(2));
                member!(k => mul_wide(k, w1, b1), mul_wide(k, w2, b2))
            }
            Self::MultiplyShiftRX => {
                let (s1, s2, b1) = (s(1), s(2), b(1));
                member!(k => mul(k, s1) >> b1, mul(k, s2) >> b1)
            }
            Self::Mulshrolate1RX => {
                let (s1, s2, b1, b2) = (s(1), s(2), b(1), b(2));
                member!(k => mul(k, s1).rotate_right(b2) >> b1, mul(k, s2) >> b1)
            }
            Self::Mulshrolate2RX => {
                let (s1, s2, b1, b2, b3) = (s(1), s(2), b(1), b(2), b(3));
                member!(k => mul(k, s1).rotate_right(b2) >> b1, mul(k, s2).rotate_right(b3) >> b1)
            }
            Self::Mulshrolate3RX => {
                let (s1, s2, s4, b1, b2, b3) = (s(1), s(2), s(4), b(1), b(2), b(3));
                member!(k => mul(mul(k, s1).rotate_right(b2), s4) >> b1, mul(k, s2).rotate_right(b3) >> b1)
            }
            Self::Mulshrolate4RX => {
                let (s1, s2, s4, s5, b1, b2, b3) = (s(1), s(2), s(4), s(5), b(1), b(2), b(3));
                member!(k => mul(mul(k, s1).rotate_right(b2), s4) >> b1, mul(mul(k, s2).rotate_right(b3), s5) >> b1)
            }
        }
    }
}

#[inline(always)]
const fn add(left: u32, right: u32) -> u32 {
    left.wrapping_add(right)
}

#[inline(always)]
const fn sub(left: u32, right: u32) -> u32 {
    left.wrapping_sub(right)
}

#[inline(always)]
const fn mul(left: u32, right: u32) -> u32 {
    left.wrapping_mul(right)
}

/// The low 32 bits of `(key * multiplier mod 2^64) >> shift`.
#[inline(always)]
const fn mul_wide(key: u32, multiplier: u64, shift: u32) -> u32 {
    ((key as u64).wrapping_mul(multiplier) >> shift) as u32
}

#[inline(always)]
const fn xor_rotated(word: u32, rotate: u32) -> u32 {
    word ^ word.rotate_right(rotate)
}

#[inline(always)]
const fn xor_shifted(word: u32, shift: u32) -> u32 {
    word ^ (word >> shift)
}

#[inline(always)]
const fn fold_16(word: u32) -> u32 {
    (word & 0xffff) ^ (word >> 16)
}

/// Bob Jenkins' 96-bit mix of 1997 on one word.
#[inline(always)]
const fn jenkins(key: u32, seed: u32) -> u32 {
    const GOLDEN: u32 = 0x9e37_79b9;
    let (mut a, mut b, mut c) = (add(GOLDEN, key), GOLDEN, seed);
    a = sub(sub(a, b), c) ^ (c >> 13);
    b = sub(sub(b, c), a) ^ (a << 8);
    c = sub(sub(c, a), b) ^ (b >> 13);
    a = sub(sub(a, b), c) ^ (c >> 12);
    b = sub(sub(b, c), a) ^ (a << 16);
    c = sub(sub(c, a), b) ^ (b >> 5);
    a = sub(sub(a, b), c) ^ (c >> 3);
    b = sub(sub(b, c), a) ^ (a << 10);
    sub(sub(c, a), b) ^ (b >> 15)
}

#[inline(always)]
fn djb(key: u32, seed: u32) -> u32 {
    key.to_le_bytes().iter().fold(seed, |hash, &byte| add(mul(hash, 33), u32::from(byte)))
}

#[inline(always)]
fn djb_xor(key: u32, seed: u32) -> u32 {
    key.to_le_bytes().iter().fold(seed, |hash, &byte| mul(hash, 33) ^ u32::from(byte))
}

#[inline(always)]
fn fnv(key: u32, seed: u32) -> u32 {
    const BASIS: u32 = 2_166_136_261;
    const PRIME: u32 = 16_777_619;
    key.to_le_bytes().iter().fold(seed ^ BASIS, |hash, &byte| mul(hash, PRIME) ^ u32::from(byte))
}

/// One CRC-32C step over a 32-bit word, as the SSE4.2 instruction does it: no inversion before or
/// after.
///
/// By table, on every CPU: these functions solve little (see the reference's own list of poor ones),
/// and a bit-exact one in plain code needs no vector unit and no `unsafe`.
#[inline(always)]
const fn crc(seed: u32, word: u32) -> u32 {
    let mixed = (seed ^ word).to_le_bytes();
    CRC_TABLES[3][mixed[0] as usize]
        ^ CRC_TABLES[2][mixed[1] as usize]
        ^ CRC_TABLES[1][mixed[2] as usize]
        ^ CRC_TABLES[0][mixed[3] as usize]
}

/// `CRC_TABLES[n][byte]`: what `byte` adds to the sum when `n` more bytes follow it.
static CRC_TABLES: [[u32; 256]; 4] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 4] {
    const CASTAGNOLI_REFLECTED: u32 = 0x82F6_3B78;
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bits = 0;
        while bits < 32 {
            sum = (sum >> 1) ^ (CASTAGNOLI_REFLECTED & (sum & 1).wrapping_neg());
            bits += 1;
            if bits % 8 == 0 {
                tables[bits / 8 - 1][byte] = sum;
            }
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crc_step_is_the_one_of_the_instruction() {
        // CRC-32C of "123456789" is 0xe3069283; eight of its bytes are two word steps.
        let two_words =
            crc(crc(u32::MAX, u32::from_le_bytes(*b"1234")), u32::from_le_bytes(*b"5678"));
        let last =
            CRC_TABLES[0][((two_words ^ u32::from(b'9')) & 0xff) as usize] ^ (two_words >> 8);
        assert_eq!(!last, 0xe306_9283);
    }

    #[test]
    fn the_functions_that_map_zero_to_zero_are_the_ones_that_say_so() {
        struct OfZero;
        impl MemberVisitor<u32> for OfZero {
            type Output = (u32, u32);
            fn visit<F: Fn(u32) -> (u32, u32) + Copy>(self, vertices: F) -> (u32, u32) {
                vertices(0)
            }
        }
        let geometry = Geometry::for_keys(1000).unwrap();
        for reference in Reference::ALL {
            let zero_every_time = (1..50).all(|attempt| {
                let family = crate::family::Family::Reference(reference);
                let seeds = crate::seeds::SeedSource::default().draw(attempt, family, geometry);
                reference.with_member(&seeds, geometry, OfZero) == (0, 0)
            });
            assert_eq!(zero_every_time, reference.maps_zero_to_zero(), "{reference:?}");
        }
    }
}
