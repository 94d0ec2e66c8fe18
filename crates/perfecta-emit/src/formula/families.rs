//! The formulas of the families, in step with perfecta-core's `family`.
//!
//! `s(n)` is seed `n`, `b(n)` byte `n` of seed 3, `c(n)` byte `n` of seed 6, counted from 1.

use perfecta_core::family::{Family, Reference};
use perfecta_core::key::KeyWidth;
use perfecta_core::table::Parameters;

use super::{Expression, Step, step};

/// The two vertices of perfecta's own family, in every language's formula alike.
pub(super) fn folded(
    parameters: &Parameters,
    key: Expression,
    steps: &mut Vec<Step>,
) -> (Expression, Expression) {
    let Parameters { seeds, geometry, .. } = parameters;
    let vertices_log2 = u32::from(geometry.vertices_log2());
    let narrow = Expression::Constant(u64::from(seeds.word(1)), key.width());
    let wide = Expression::Constant(seeds.wide(3, 2), KeyWidth::Bits64);
    let left = key.clone().xor(narrow);
    let right = key.widen().xor(wide);
    let product = Expression::FoldedProduct(Box::new(left), Box::new(right));
    let hash = step(steps, "hash", product);
    let first = hash.clone().narrow().shift_right(32 - vertices_log2);
    let second = hash.shift_right(64 - vertices_log2).narrow();
    (first, second)
}

/// Whether a function makes 64 bits of its key wherever it reads it.
pub(super) fn reads_wide(family: Family) -> bool {
    use Reference::{Multiply643ShiftR, Multiply644ShiftR};
    matches!(family, Family::Reference(Multiply643ShiftR | Multiply644ShiftR))
}

/// The two hashes of a reference function, before they are cut to the number of vertices.
#[expect(clippy::too_many_lines, reason = "one arm for each of the 39 formulas")]
pub(super) fn reference(
    parameters: &Parameters,
    reference: Reference,
    key: &Expression,
    steps: &mut Vec<Step>,
) -> (Expression, Expression) {
    let seeds = &parameters.seeds;
    let s = |number| seeds.word(number);
    let seed = |number| Expression::constant(seeds.word(number));
    let b = |byte| seeds.byte(3, byte);
    let c = |byte| seeds.byte(6, byte);
    let k = || key.clone();
    let crc = Expression::crc32c;
    match reference {
        Reference::Crc32Rotate15 => (crc(s(1), k()), crc(s(2), k().rotate_left(15))),
        Reference::Jenkins | Reference::JenkinsMod => {
            (jenkins(key, s(1), steps), jenkins(key, s(2), steps))
        }
        Reference::RotateXor => (
            k().xor(seed(1)).rotate_left(15).xor(k().sub(seed(3)).rotate_right(11)),
            k().add(seed(2)).rotate_left(7).xor(k().xor(seed(4)).rotate_right(20)),
        ),
        Reference::AddSubXor => (k().add(seed(1)), k().sub(seed(2))),
        Reference::Xor => (
            halves_xored(k().xor(seed(1)), steps),
            halves_xored(k().rotate_left(15).xor(seed(2)), steps),
        ),
        Reference::Dummy => (crc(s(1), k()), crc(s(2), k().rotate_left(s(3) & 31))),
        Reference::Crc32RotateXor => {
            (crc(s(1), k()), crc(s(2), k().rotate_left(15)).crc32c_of(k().xor(seed(3))))
        }
        Reference::Crc32 => (crc(s(1), k()), crc(s(2), k())),
        Reference::Djb => (djb(key, s(1), steps), djb(key, s(2), steps)),
        Reference::DjbXor => (djb_xor(key, s(1), steps), djb_xor(key, s(2), steps)),
        Reference::Fnv => (fnv(key, s(1), steps), fnv(key, s(2), steps)),
        Reference::Crc32Not => (crc(s(1), k()), crc(s(2), k().not())),
        Reference::Crc32RotateX => (crc(s(1), k()), crc(s(2), k().rotate_left(b(1)))),
        Reference::Crc32RotateXY => {
            (crc(s(1), k().rotate_right(b(1))), crc(s(2), k().rotate_left(b(2))))
        }
        Reference::Crc32RotateWXYZ => (
            crc(s(1), k().rotate_right(b(1))).rotate_left(b(2)),
            crc(s(2), k().rotate_left(b(3))).rotate_right(b(4)),
        ),
        Reference::RotateMultiplyXorRotate => (
            xor_rotated(k().rotate_right(b(1)).mul(s(1)), b(2), steps),
            xor_rotated(k().rotate_right(b(3)).mul(s(2)), b(4), steps),
        ),
        Reference::ShiftMultiplyXorShift => (
            xor_shifted(k().shift_right(b(1)).mul(s(1)), b(2), steps),
            xor_shifted(k().shift_right(b(3)).mul(s(2)), b(4), steps),
        ),
        Reference::ShiftMultiplyXorShift2 => {
            let first = xor_shifted(k().shift_right(b(1)).mul(s(1)), b(2), steps);
            let second = xor_shifted(k().shift_right(c(1)).mul(s(4)), c(2), steps);
            let first = xor_shifted(first.mul(s(2)), b(3), steps);
            (first, xor_shifted(second.mul(s(5)), c(3), steps))
        }
        Reference::RotateMultiplyXorRotate2 => {
            let first = xor_rotated(k().rotate_right(b(1)).mul(s(1)), b(2), steps);
            let second = xor_rotated(k().rotate_right(c(1)).mul(s(4)), c(2), steps);
            let first = xor_rotated(first.mul(s(2)), b(3), steps);
            (first, xor_rotated(second.mul(s(5)), c(3), steps))
        }
        Reference::MultiplyRotateR => {
            (k().mul(s(1)).rotate_right(b(1)), k().mul(s(2)).rotate_right(b(2)))
        }
        Reference::MultiplyRotateLR => {
            (k().mul(s(1)).rotate_left(b(1)), k().mul(s(2)).rotate_right(b(2)))
        }
        Reference::MultiplyShiftR => {
            (k().mul(s(1)).shift_right(b(1)), k().mul(s(2)).shift_right(b(2)))
        }
        Reference::MultiplyShiftLR => {
            (k().mul(s(1)).shift_left(b(1)), k().mul(s(2)).shift_right(b(2)))
        }
        Reference::Multiply => (k().mul(s(1)), k().mul(s(2))),
        Reference::MultiplyXor => (k().mul(s(1)).xor(seed(2)), k().mul(s(3)).xor(seed(4))),
        Reference::MultiplyRotateRMultiply => {
            (k().mul(s(1)).rotate_right(b(1)).mul(s(2)), k().mul(s(4)).rotate_right(b(2)).mul(s(5)))
        }
        Reference::MultiplyRotateR2 => (
            k().mul(s(1)).rotate_right(b(1)).mul(s(2)).rotate_right(b(2)),
            k().mul(s(4)).rotate_right(b(3)).mul(s(5)).rotate_right(b(4)),
        ),
        Reference::MultiplyShiftRMultiply => {
            (k().mul(s(1)).shift_right(b(1)).mul(s(2)), k().mul(s(4)).shift_right(b(2)).mul(s(5)))
        }
        Reference::MultiplyShiftR2 => (
            k().mul(s(1)).shift_right(b(1)).mul(s(2)).shift_right(b(2)),
            k().mul(s(4)).shift_right(b(3)).mul(s(5)).shift_right(b(4)),
        ),
        Reference::RotateRMultiply => {
            (k().rotate_right(b(1)).mul(s(1)), k().rotate_right(b(2)).mul(s(2)))
        }
        Reference::RotateRMultiplyRotateR => (
            k().rotate_right(b(1)).mul(s(1)).rotate_right(b(2)),
            k().rotate_right(b(3)).mul(s(2)).rotate_right(b(4)),
        ),
        Reference::Multiply643ShiftR | Reference::Multiply644ShiftR => (
            k().widen().mul_wide(seeds.wide(2, 1)).shift_right(b(1)).narrow(),
            k().widen().mul_wide(seeds.wide(5, 4)).shift_right(b(2)).narrow(),
        ),
        Reference::MultiplyShiftRX => {
            (k().mul(s(1)).shift_right(b(1)), k().mul(s(2)).shift_right(b(1)))
        }
        Reference::Mulshrolate1RX => {
            (k().mul(s(1)).rotate_right(b(2)).shift_right(b(1)), k().mul(s(2)).shift_right(b(1)))
        }
        Reference::Mulshrolate2RX => (
            k().mul(s(1)).rotate_right(b(2)).shift_right(b(1)),
            k().mul(s(2)).rotate_right(b(3)).shift_right(b(1)),
        ),
        Reference::Mulshrolate3RX => (
            k().mul(s(1)).rotate_right(b(2)).mul(s(4)).shift_right(b(1)),
            k().mul(s(2)).rotate_right(b(3)).shift_right(b(1)),
        ),
        Reference::Mulshrolate4RX => (
            k().mul(s(1)).rotate_right(b(2)).mul(s(4)).shift_right(b(1)),
            k().mul(s(2)).rotate_right(b(3)).mul(s(5)).shift_right(b(1)),
        ),
    }
}

fn xor_rotated(word: Expression, bits: u32, steps: &mut Vec<Step>) -> Expression {
    let word = step(steps, "word", word);
    word.clone().xor(word.rotate_right(bits))
}

fn xor_shifted(word: Expression, bits: u32, steps: &mut Vec<Step>) -> Expression {
    let word = step(steps, "word", word);
    word.clone().xor(word.shift_right(bits))
}

fn halves_xored(word: Expression, steps: &mut Vec<Step>) -> Expression {
    let word = step(steps, "word", word);
    word.clone().and(Expression::constant(0xffff)).xor(word.shift_right(16))
}

/// Bob Jenkins' 96-bit mix of 1997 on one word.
fn jenkins(key: &Expression, seed: u32, steps: &mut Vec<Step>) -> Expression {
    const GOLDEN: u32 = 0x9e37_79b9;
    let mut a = step(steps, "a", key.clone().add(Expression::constant(GOLDEN)));
    let mut b = Expression::constant(GOLDEN);
    let mut c = Expression::constant(seed);
    let mut mix =
        |letter, left: Expression, middle: &Expression, moved: Expression, right: &Expression| {
            step(steps, letter, left.sub(middle.clone()).sub(right.clone()).xor(moved))
        };
    for [shift_a, shift_b, shift_c] in [[13, 8, 13], [12, 16, 5], [3, 10, 15]] {
        a = mix("a", a, &b, c.clone().shift_right(shift_a), &c);
        b = mix("b", b, &c, a.clone().shift_left(shift_b), &a);
        c = mix("c", c, &a, b.clone().shift_right(shift_c), &b);
    }
    c
}

fn djb(key: &Expression, seed: u32, steps: &mut Vec<Step>) -> Expression {
    over_bytes(key, seed, steps, |sum, byte| sum.mul(33).add(byte))
}

fn djb_xor(key: &Expression, seed: u32, steps: &mut Vec<Step>) -> Expression {
    over_bytes(key, seed, steps, |sum, byte| sum.mul(33).xor(byte))
}

fn fnv(key: &Expression, seed: u32, steps: &mut Vec<Step>) -> Expression {
    const BASIS: u32 = 2_166_136_261;
    const PRIME: u32 = 16_777_619;
    over_bytes(key, seed ^ BASIS, steps, |sum, byte| sum.mul(PRIME).xor(byte))
}

/// Folds the key's bytes into a sum, lowest first.
fn over_bytes(
    key: &Expression,
    start: u32,
    steps: &mut Vec<Step>,
    fold: impl Fn(Expression, Expression) -> Expression,
) -> Expression {
    (0..4).fold(Expression::constant(start), |sum, place| {
        let byte = key.clone().shift_right(8 * place).and(Expression::constant(0xff));
        step(steps, "sum", fold(sum, byte))
    })
}
