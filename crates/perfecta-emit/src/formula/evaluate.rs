//! Computes what the text of a formula will compute.

use perfecta_core::key::KeyWidth;

use super::{Direction, Expression, Formula, Operator};

impl Formula {
    /// The two vertices of `key`.
    ///
    /// # Panics
    /// If an expression names a step that does not come before it: a bug of the formula.
    #[must_use]
    pub fn vertices(&self, key: u64) -> (u32, u32) {
        let mut values: Vec<(&str, u64)> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let value = evaluate(&step.value, key, &values);
            values.push((&step.name, value));
        }
        let first = evaluate(&self.first, key, &values);
        let second = evaluate(&self.second, key, &values);
        (first as u32, second as u32)
    }
}

/// A value of 32 bits is below 2^32.
fn evaluate(expression: &Expression, key: u64, steps: &[(&str, u64)]) -> u64 {
    let of = |expression: &Expression| evaluate(expression, key, steps);
    let value = match expression {
        Expression::Key(_) => key,
        Expression::Step(name, _) => {
            let step = steps.iter().find(|(step, _)| step == name);
            step.expect("a step comes before its use").1
        }
        Expression::Constant(value, _) => *value,
        Expression::Binary(operator, left, right) => {
            assert_eq!(left.width(), right.width());
            join(*operator, of(left), of(right))
        }
        Expression::Not(value) => !of(value),
        Expression::Move(direction, value, bits) => moved(*direction, of(value), *bits),
        Expression::Widen(value) | Expression::Narrow(value) => of(value),
        Expression::Crc32c { sum, word } => u64::from(crc32c(of(sum) as u32, of(word) as u32)),
        Expression::FoldedProduct(left, right) => {
            let product = u128::from(of(left)) * u128::from(of(right));
            (product >> 64) as u64 ^ product as u64
        }
    };
    match expression.width() {
        KeyWidth::Bits32 => value & u64::from(u32::MAX),
        KeyWidth::Bits64 => value,
    }
}

fn join(operator: Operator, left: u64, right: u64) -> u64 {
    match operator {
        Operator::Add => left.wrapping_add(right),
        Operator::Subtract => left.wrapping_sub(right),
        Operator::Multiply => left.wrapping_mul(right),
        Operator::Xor => left ^ right,
        Operator::Or => left | right,
        Operator::And => left & right,
    }
}

fn moved(direction: Direction, value: u64, bits: u32) -> u64 {
    match direction {
        Direction::ShiftLeft => value << bits,
        Direction::ShiftRight => value >> bits,
        Direction::RotateLeft => u64::from((value as u32).rotate_left(bits)),
        Direction::RotateRight => u64::from((value as u32).rotate_right(bits)),
    }
}

fn crc32c(sum: u32, word: u32) -> u32 {
    (0..4).fold(sum ^ word, |rest, _| (rest >> 8) ^ CRC32C_OF_BYTE[(rest & 0xff) as usize])
}

/// What one byte adds to a CRC-32C sum: the table that generated code carries.
pub static CRC32C_OF_BYTE: [u32; 256] = crc32c_of_byte();

const fn crc32c_of_byte() -> [u32; 256] {
    const CASTAGNOLI_REFLECTED: u32 = 0x82F6_3B78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bits = 0;
        while bits < 8 {
            sum = (sum >> 1) ^ (CASTAGNOLI_REFLECTED & (sum & 1).wrapping_neg());
            bits += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}
