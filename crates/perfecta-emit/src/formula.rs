//! The formula of a table, from key to the two vertices, as neutral expressions.
//!
//! A generator knows how its language writes a dozen operations; which of them a family needs, and
//! in what order, it need not know. [`Formula::vertices`] computes what the text will compute, so
//! that every formula is tested against perfecta-core without a compiler.

use perfecta_core::family::Family;
use perfecta_core::key::KeyWidth;
use perfecta_core::table::Parameters;

mod evaluate;
mod families;

pub use self::evaluate::CRC32C_OF_BYTE;

/// Where one key of a table leads: some steps in order, then two vertices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formula {
    /// Named values, each made from the key and the ones before it.
    pub steps: Vec<Step>,
    /// The first vertex, 32 bits.
    pub first: Expression,
    /// The second vertex, 32 bits.
    pub second: Expression,
}

/// One named value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Letters and then digits; unique within the formula, no keyword of any language.
    pub name: String,
    /// Its value.
    pub value: Expression,
}

/// A value of 32 or 64 bits. All arithmetic wraps around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// The key as the user gives it.
    Key(KeyWidth),
    /// An earlier step.
    Step(String, KeyWidth),
    /// A constant.
    Constant(u64, KeyWidth),
    /// Two values of one width.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// All bits flipped.
    Not(Box<Expression>),
    /// Bits moved by a constant less than the width and more than 0.
    Move(Direction, Box<Expression>, u32),
    /// 32 bits made 64.
    Widen(Box<Expression>),
    /// The low 32 of 64 bits.
    Narrow(Box<Expression>),
    /// One step of CRC-32C over a 32-bit word, as the SSE4.2 instruction does it: no inversion.
    Crc32c {
        /// The sum so far.
        sum: Box<Expression>,
        /// The word.
        word: Box<Expression>,
    },
    /// The high half of the 128-bit product of two values xored with its low half. The left one
    /// has 32 or 64 bits, the right one 64.
    FoldedProduct(Box<Expression>, Box<Expression>),
}

/// What two values are joined by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Low half of the product.
    Multiply,
    /// Exclusive or.
    Xor,
    /// Or.
    Or,
    /// And.
    And,
}

/// Where bits are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the left; zeros follow.
    ShiftLeft,
    /// To the right; zeros follow.
    ShiftRight,
    /// To the left and in again at the right; 32 bits only.
    RotateLeft,
    /// To the right and in again at the left; 32 bits only.
    RotateRight,
}

/// What a formula needs beside operators, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Multiplications.
    pub multiplies: u32,
    /// Steps of CRC-32C.
    pub crc_steps: u32,
    /// A left rotation.
    pub rotate_left: bool,
    /// A right rotation.
    pub rotate_right: bool,
    /// A folded product, of a left value of this width.
    pub folded_product: Option<KeyWidth>,
}

impl Formula {
    /// The formula of a table with these parameters.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let mut steps = Vec::new();
        let key = gathered_key(parameters, &mut steps);
        let (first, second) = match parameters.family {
            Family::Folded => families::folded(parameters, key, &mut steps),
            Family::Reference(reference) => {
                let (first, second) = families::reference(parameters, reference, &key, &mut steps);
                (cut(parameters, first), cut(parameters, second))
            }
        };
        Self { steps, first, second }
    }

    /// What the formula needs.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        let steps = self.steps.iter().map(|step| &step.value);
        steps.chain([&self.first, &self.second]).for_each(|value| value.add_needs(&mut needs));
        needs
    }
}

impl Expression {
    /// The width of the value.
    #[must_use]
    pub fn width(&self) -> KeyWidth {
        match self {
            Self::Key(width) | Self::Step(_, width) | Self::Constant(_, width) => *width,
            Self::Binary(_, value, _) | Self::Not(value) | Self::Move(_, value, _) => value.width(),
            Self::Widen(_) | Self::FoldedProduct(..) => KeyWidth::Bits64,
            Self::Narrow(_) | Self::Crc32c { .. } => KeyWidth::Bits32,
        }
    }

    /// Whether it stands as an operand without parentheses: a name, a number.
    #[must_use]
    pub(crate) const fn is_atom(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Step(..) | Self::Constant(..))
    }

    fn add_needs(&self, needs: &mut Needs) {
        match self {
            Self::Key(_) | Self::Step(..) | Self::Constant(..) => {}
            Self::Binary(operator, left, right) => {
                needs.multiplies += u32::from(*operator == Operator::Multiply);
                left.add_needs(needs);
                right.add_needs(needs);
            }
            Self::Move(direction, value, _) => {
                needs.rotate_left |= *direction == Direction::RotateLeft;
                needs.rotate_right |= *direction == Direction::RotateRight;
                value.add_needs(needs);
            }
            Self::Not(value) | Self::Widen(value) | Self::Narrow(value) => value.add_needs(needs),
            Self::Crc32c { sum, word } => {
                needs.crc_steps += 1;
                sum.add_needs(needs);
                word.add_needs(needs);
            }
            Self::FoldedProduct(left, right) => {
                needs.multiplies += 1;
                needs.folded_product = Some(left.width());
                left.add_needs(needs);
                right.add_needs(needs);
            }
        }
    }
}

/// The key as the family hashes it: as given, or with the bits that no key uses left out. What is left
/// has 32 bits, and is of that width unless the family widens it wherever it reads it.
fn gathered_key(parameters: &Parameters, steps: &mut Vec<Step>) -> Expression {
    let key = Expression::Key(parameters.key_width);
    let Some(downsize) = parameters.downsize else { return key };
    let runs = downsize.runs().map(|run| {
        key.clone().shift_right(run.shift).and(Expression::Constant(run.mask, KeyWidth::Bits64))
    });
    // Of key 0 alone no bit is used. Two shifts give 0 and still name the key, which compilers and
    // linters want to see used.
    let nothing = key.clone().shift_right(63).shift_right(1);
    let gathered = runs.reduce(Expression::or).unwrap_or(nothing);
    let gathered =
        if families::reads_wide(parameters.family) { gathered } else { gathered.narrow() };
    step(steps, "gathered", gathered)
}

/// Keeps a hash below the number of vertices. The functions whose shift does that already need none.
fn cut(parameters: &Parameters, hash: Expression) -> Expression {
    if parameters.family.shift_is_first_byte_of(3) {
        return hash;
    }
    hash.and(Expression::constant(parameters.geometry.hash_mask()))
}

/// Adds a step named `letters` and a number, and gives its name back as a value.
fn step(steps: &mut Vec<Step>, letters: &str, value: Expression) -> Expression {
    let name = format!("{letters}{}", steps.len() + 1);
    let width = value.width();
    steps.push(Step { name: name.clone(), value });
    Expression::Step(name, width)
}

/// Constructors. What changes nothing is left out: adding or xoring 0, moving by 0.
impl Expression {
    fn constant(word: u32) -> Self {
        Self::Constant(u64::from(word), KeyWidth::Bits32)
    }

    fn binary(operator: Operator, left: Self, right: Self) -> Self {
        Self::Binary(operator, Box::new(left), Box::new(right))
    }

    fn is_zero(&self) -> bool {
        matches!(self, Self::Constant(0, _))
    }

    fn add(self, right: Self) -> Self {
        if right.is_zero() { self } else { Self::binary(Operator::Add, self, right) }
    }

    fn sub(self, right: Self) -> Self {
        if right.is_zero() { self } else { Self::binary(Operator::Subtract, self, right) }
    }

    fn xor(self, right: Self) -> Self {
        if right.is_zero() { self } else { Self::binary(Operator::Xor, self, right) }
    }

    fn mul(self, multiplier: u32) -> Self {
        Self::binary(Operator::Multiply, self, Self::constant(multiplier))
    }

    fn mul_wide(self, multiplier: u64) -> Self {
        Self::binary(Operator::Multiply, self, Self::Constant(multiplier, KeyWidth::Bits64))
    }

    fn or(self, right: Self) -> Self {
        Self::binary(Operator::Or, self, right)
    }

    fn and(self, right: Self) -> Self {
        Self::binary(Operator::And, self, right)
    }

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    fn moved(self, direction: Direction, bits: u32) -> Self {
        assert!(bits < self.width().bits());
        if bits == 0 { self } else { Self::Move(direction, Box::new(self), bits) }
    }

    fn shift_left(self, bits: u32) -> Self {
        self.moved(Direction::ShiftLeft, bits)
    }

    fn shift_right(self, bits: u32) -> Self {
        self.moved(Direction::ShiftRight, bits)
    }

    fn rotate_left(self, bits: u32) -> Self {
        self.moved(Direction::RotateLeft, bits)
    }

    fn rotate_right(self, bits: u32) -> Self {
        self.moved(Direction::RotateRight, bits)
    }

    fn widen(self) -> Self {
        match self.width() {
            KeyWidth::Bits32 => Self::Widen(Box::new(self)),
            KeyWidth::Bits64 => self,
        }
    }

    fn narrow(self) -> Self {
        Self::Narrow(Box::new(self))
    }

    fn crc32c(sum: u32, word: Self) -> Self {
        Self::constant(sum).crc32c_of(word)
    }

    fn crc32c_of(self, word: Self) -> Self {
        Self::Crc32c { sum: Box::new(self), word: Box::new(word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfecta_core::geometry::Geometry;
    use perfecta_core::key::Downsize;
    use perfecta_core::seeds::SeedSource;
    use perfecta_core::table::{PADDING_BYTES, TableView};
    use proptest::prelude::*;

    fn vertices_by_core(parameters: &Parameters, key: u64) -> (u32, u32) {
        use perfecta_core::family::MemberVisitor;
        struct Vertices<K>(K);
        impl<K> MemberVisitor<K> for Vertices<K> {
            type Output = (u32, u32);
            fn visit<F: Fn(K) -> (u32, u32) + Copy>(self, vertices: F) -> (u32, u32) {
                vertices(self.0)
            }
        }
        let Parameters { family, seeds, geometry, downsize, key_width, .. } = *parameters;
        match (downsize, key_width) {
            (Some(downsize), _) => {
                family.with_member_u32(&seeds, geometry, Vertices(downsize.apply(key)))
            }
            (None, KeyWidth::Bits32) => {
                family.with_member_u32(&seeds, geometry, Vertices(key as u32))
            }
            (None, KeyWidth::Bits64) => family.with_member_u64(&seeds, geometry, Vertices(key)),
        }
    }

    fn check(parameters: &Parameters, key: u64) {
        let key = if parameters.key_width == KeyWidth::Bits32 { key & 0xffff_ffff } else { key };
        let formula = Formula::new(parameters);
        let found = formula.vertices(key);
        assert_eq!(found, vertices_by_core(parameters, key), "{:?} {key:#x}", parameters.family);
    }

    fn parameters(family: Family, attempt: u64, capacity_log2: u8) -> Parameters {
        let geometry = Geometry::from_edge_capacity_log2(capacity_log2).unwrap();
        Parameters {
            family,
            seeds: SeedSource::default().draw(attempt, family, geometry),
            geometry,
            key_width: KeyWidth::Bits32,
            downsize: None,
            num_keys: 1,
            first_key: 0,
            last_key: 0,
        }
    }

    proptest! {
        #[test]
        fn every_formula_gives_the_vertices_of_core(
            attempt in 1..1_000_000u64,
            capacity_log2 in 3..31u8,
            key: u64,
            bits: u64,
        ) {
            for family in Family::all() {
                let narrow = parameters(family, attempt, capacity_log2);
                for key in [key, 0, u64::MAX, key & 0xff] {
                    check(&narrow, key);
                }
                let bitmap = [bits, bits & key, bits & key & key >> 7, 0xffff_ffff << 32]
                    .into_iter()
                    .find_map(Downsize::new);
                check(&Parameters { key_width: KeyWidth::Bits64, downsize: bitmap, ..narrow }, key);
            }
            let narrow = parameters(Family::Folded, attempt, capacity_log2);
            check(&Parameters { key_width: KeyWidth::Bits64, ..narrow }, key);
            check(&Parameters { key_width: KeyWidth::Bits64, ..narrow }, u64::MAX);
        }
    }

    #[test]
    fn a_formula_names_what_it_needs() {
        let needs =
            |name: &str| Formula::new(&parameters(Family::from_name(name).unwrap(), 1, 10)).needs();
        assert_eq!(needs("MultiplyShiftR").multiplies, 2);
        assert_eq!(needs("Mulshrolate4RX").multiplies, 4);
        assert_eq!(needs("Folded").multiplies, 1);
        assert_eq!(needs("Folded").folded_product, Some(KeyWidth::Bits32));
        assert_eq!(needs("Crc32RotateXor").crc_steps, 3);
        assert!(needs("Crc32RotateXor").rotate_left);
    }

    #[test]
    fn names_of_steps_are_unique() {
        for family in Family::all() {
            let formula = Formula::new(&parameters(family, 1, 10));
            let mut names: Vec<_> = formula.steps.iter().map(|step| &step.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), formula.steps.len(), "{family}");
        }
    }

    #[test]
    fn a_view_agrees_with_the_formula() {
        let parameters = parameters(Family::Folded, 7, 3);
        let elements: Vec<u8> =
            (0..16 + PADDING_BYTES as u8).map(|vertex| vertex * 3 % 8).collect();
        let view = TableView::new(parameters, &elements).unwrap();
        let (first, second) = Formula::new(&parameters).vertices(99);
        let sum = elements[first as usize] + elements[second as usize];
        assert_eq!(view.index(99u32), u32::from(sum % 8));
    }
}
