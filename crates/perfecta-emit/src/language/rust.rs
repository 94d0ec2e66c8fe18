//! Rust: one module file that needs `core` only.
//!
//! It begins with plain comments and keeps its attributes on items, so that it can be a module of
//! its own as well as the argument of `include!`.

use std::fmt;
use std::io;

use perfecta_core::geometry::ElementWidth;
use perfecta_core::key::KeyWidth;

use super::{write_crc32c_table, write_head, write_template};
use crate::artifact::{FileGenerator, Generator};
use crate::description::{Description, SelfTestKeys};
use crate::formula::{Direction, Expression, Operator};
use crate::output::Output;

pub(crate) static GENERATOR: Generator = Generator {
    name: "rust",
    summary: "a Rust module without dependencies, for no_std too",
    files: &[FileGenerator { suffix: ".rs", is_needed: |_| true, render: write_module }],
};

fn write_module(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    write_head(description, out, "//", &usage(description))?;
    write_constants(description, out)?;
    write_index(description, out)?;
    write_helpers(description, out)?;
    write_assigned(description, out)?;
    write_self_test(description, out)
}

fn usage(description: &Description<'_>) -> String {
    let ident = description.identifier;
    let upper = ident.to_upper();
    let start =
        format!("Use: mod {ident}; and {ident}::index(key). Needs Rust 1.83 and core only.");
    match description.self_test_keys {
        SelfTestKeys::Included(_) | SelfTestKeys::Expected => format!(
            "\
{start}
Self-test: cargo test. The keys stand at the end of the file.
Alone: rustc --test {ident}.rs && ./{ident}"
        ),
        SelfTestKeys::Omitted => format!(
            "\
{start}
Self-test: {upper}_KEYS=FILE cargo test -- --include-ignored, where FILE holds
the keys in ascending order, packed and little-endian."
        ),
    }
}

const fn word_type(width: KeyWidth) -> &'static str {
    match width {
        KeyWidth::Bits32 => "u32",
        KeyWidth::Bits64 => "u64",
    }
}

/// Who includes a module takes of it what they need, and export it or not.
const ALLOW_UNUSED: &str =
    r#"#[allow(dead_code, unreachable_pub, reason = "not every user needs it, or exports it")]"#;

fn write_constants(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let parameters = &description.parameters;
    let key = word_type(description.key_width());
    let mut constant = |doc: &str, name: &str, kind: &str, value: &dyn fmt::Display| {
        writeln!(out, "\n/// {doc}")?;
        writeln!(out, "{ALLOW_UNUSED}")?;
        writeln!(out, "pub const {name}: {kind} = {value};")
    };
    let literal = |word| Literal(word, None);
    let decimal = |number: u32| Decimal(number);
    constant("Number of keys.", "NUM_KEYS", "u32", &decimal(parameters.num_keys))?;
    let capacity = parameters.geometry.edge_capacity();
    constant("Every index is below it.", "EDGE_CAPACITY", "u32", &decimal(capacity))?;
    constant("The smallest key.", "FIRST_KEY", key, &literal(parameters.first_key))?;
    constant("The greatest key.", "LAST_KEY", key, &literal(parameters.last_key))?;
    let name = format_args!("\"{}\"", description.original_name).to_string();
    constant("The key file's name, escaped as in a URL.", "ORIGINAL_NAME", "&str", &name)
}

fn write_index(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let formula = &description.formula;
    let key = word_type(description.key_width());
    write_template(out, INDEX_START, &[("key", key), ("allow_unused", ALLOW_UNUSED)])?;
    for step in &formula.steps {
        writeln!(
            out,
            "    let {}: {} = {};",
            step.name,
            word_type(step.value.width()),
            Text(&step.value)
        )?;
    }
    writeln!(out, "    let first: u32 = {};", Text(&formula.first))?;
    writeln!(out, "    let second: u32 = {};", Text(&formula.second))?;
    let cast = match description.element_width() {
        ElementWidth::U8 | ElementWidth::U16 => " as u32",
        ElementWidth::U32 => "",
    };
    writeln!(out, "    let left = ASSIGNED[first as usize]{cast};")?;
    writeln!(out, "    let right = ASSIGNED[second as usize]{cast};")?;
    let mask = u64::from(description.parameters.geometry.index_mask());
    writeln!(out, "    left.wrapping_add(right) & {}\n}}", Literal(mask, None))
}

const INDEX_START: &str = r#"
/// The rank of `key` among the keys in ascending order; some number below [`EDGE_CAPACITY`] if it
/// is none of them.
#[inline]
#[must_use]
@allow_unused@
#[rustfmt::skip]
#[allow(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::eq_op,
    reason = "a const function cannot call From, words are narrowed on purpose, and a seed may shift by 0"
)]
pub const fn index(key: @key@) -> u32 {
"#;

fn write_helpers(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let needs = description.formula.needs();
    if needs.crc_steps > 0 {
        out.write_all(CRC32C.as_bytes())?;
        write_crc32c_table(out)?;
        writeln!(out, "];")?;
    }
    if needs.folded_product.is_some() {
        out.write_all(FOLDED_PRODUCT.as_bytes())?;
    }
    Ok(())
}

const CRC32C: &str = r#"
/// One step of CRC-32C over a word, as the instruction of SSE4.2 does it.
#[inline]
const fn crc32c(sum: u32, word: u32) -> u32 {
    let mut rest = sum ^ word;
    let mut num_bytes = 0;
    while num_bytes < 4 {
        rest = (rest >> 8) ^ CRC32C_OF_BYTE[(rest & 0xff) as usize];
        num_bytes += 1;
    }
    rest
}

#[rustfmt::skip]
#[allow(clippy::unreadable_literal, reason = "read by the compiler only")]
static CRC32C_OF_BYTE: [u32; 256] = [
"#;

const FOLDED_PRODUCT: &str = r#"
/// The high half of a 128-bit product xored with its low half.
#[inline]
#[allow(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    reason = "a const function cannot call From, and both halves are meant"
)]
const fn folded_product(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    (product >> 64) as u64 ^ product as u64
}
"#;

fn write_assigned(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let vertices = description.parameters.geometry.vertices();
    writeln!(out, "\n#[rustfmt::skip]")?;
    writeln!(out, "#[allow(clippy::unreadable_literal, reason = \"read by the compiler only\")]")?;
    writeln!(out, "static ASSIGNED: [u{}; {}] = [", description.element_bits(), Decimal(vertices))?;
    out.elements(description)?;
    writeln!(out, "];")
}

/// A hex constant as Rust writes it, its type named where it would not be known.
struct Literal(u64, Option<KeyWidth>);

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("0x")?;
        write_in_groups::<4, 16>(formatter, self.0)?;
        self.1.map_or(Ok(()), |width| write!(formatter, "_{}", word_type(width)))
    }
}

/// A decimal number as Rust writes it.
struct Decimal(u32);

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_in_groups::<3, 10>(formatter, self.0.into())
    }
}

/// Writes a number in digits of `RADIX`, with `_` between every `WIDTH` of them, counted from the right.
fn write_in_groups<const WIDTH: usize, const RADIX: u64>(
    formatter: &mut fmt::Formatter<'_>,
    number: u64,
) -> fmt::Result {
    /// 64 bits are at most 20 digits, in radix 10, and a `_` beside each.
    const BYTES_MAX: usize = 40;
    let mut text = [0; BYTES_MAX];
    let mut start = BYTES_MAX;
    let mut rest = number;
    let mut num_digits = 0;
    while rest > 0 || num_digits == 0 {
        if num_digits > 0 && num_digits % WIDTH == 0 {
            start -= 1;
            text[start] = b'_';
        }
        start -= 1;
        text[start] = b"0123456789abcdef"[(rest % RADIX) as usize];
        rest /= RADIX;
        num_digits += 1;
    }
    formatter.write_str(str::from_utf8(&text[start..]).expect("digits are ASCII"))
}

/// An expression as Rust writes it.
struct Text<'a>(&'a Expression);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expression::Key(_) => formatter.write_str("key"),
            Expression::Step(name, _) => formatter.write_str(name),
            Expression::Constant(value, width) => Literal(*value, Some(*width)).fmt(formatter),
            Expression::Binary(operator, left, right) => {
                let (left, right) = (Operand(left), Text(right));
                match operator {
                    Operator::Add => write!(formatter, "{left}.wrapping_add({right})"),
                    Operator::Subtract => write!(formatter, "{left}.wrapping_sub({right})"),
                    Operator::Multiply => write!(formatter, "{left}.wrapping_mul({right})"),
                    Operator::Xor => write!(formatter, "{left} ^ {}", Operand(right.0)),
                    Operator::Or => write!(formatter, "{left} | {}", Operand(right.0)),
                    Operator::And => write!(formatter, "{left} & {}", Operand(right.0)),
                }
            }
            Expression::Not(value) => write!(formatter, "!{}", Operand(value)),
            Expression::Move(direction, value, bits) => {
                let value = Operand(value);
                match direction {
                    Direction::ShiftLeft => write!(formatter, "{value} << {bits}"),
                    Direction::ShiftRight => write!(formatter, "{value} >> {bits}"),
                    Direction::RotateLeft => write!(formatter, "{value}.rotate_left({bits})"),
                    Direction::RotateRight => write!(formatter, "{value}.rotate_right({bits})"),
                }
            }
            Expression::Widen(value) => write!(formatter, "{} as u64", Operand(value)),
            Expression::Narrow(value) => write!(formatter, "{} as u32", Operand(value)),
            Expression::Crc32c { sum, word } => {
                write!(formatter, "crc32c({}, {})", Text(sum), Text(word))
            }
            Expression::FoldedProduct(left, right) => {
                let right = Text(right);
                match left.width() {
                    KeyWidth::Bits32 => {
                        write!(formatter, "folded_product({} as u64, {right})", Operand(left))
                    }
                    KeyWidth::Bits64 => {
                        write!(formatter, "folded_product({}, {right})", Text(left))
                    }
                }
            }
        }
    }
}

/// An expression within another: in parentheses, where an operator or a cast stands at the top.
struct Operand<'a>(&'a Expression);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_call = match self.0 {
            Expression::Binary(operator, ..) => is_method(*operator),
            Expression::Move(direction, ..) => {
                matches!(direction, Direction::RotateLeft | Direction::RotateRight)
            }
            Expression::Crc32c { .. } | Expression::FoldedProduct(..) => true,
            other => other.is_atom(),
        };
        let text = Text(self.0);
        if is_call { text.fmt(formatter) } else { write!(formatter, "({text})") }
    }
}

const fn is_method(operator: Operator) -> bool {
    matches!(operator, Operator::Add | Operator::Subtract | Operator::Multiply)
}

fn write_self_test(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let upper = description.identifier.to_upper();
    let key = word_type(description.key_width());
    let key_bytes = description.key_width().bytes().to_string();
    let values = [("IDENT", upper.as_str()), ("key", key), ("key_bytes", &key_bytes)];
    write_template(out, SELF_TEST_START, &values)?;
    match description.self_test_keys {
        SelfTestKeys::Included(_) | SelfTestKeys::Expected => {
            write_template(out, SELF_TEST_OF_INCLUDED_KEYS, &values)?;
            out.keys(description)?;
            out.write_all(b"    ];\n}\n")
        }
        SelfTestKeys::Omitted => write_template(out, SELF_TEST_OF_KEY_FILE, &values),
    }
}

const SELF_TEST_START: &str = r#"
#[cfg(test)]
#[rustfmt::skip]
mod self_test {
    extern crate std;

    use super::{NUM_KEYS, index};

    fn check(keys: impl Iterator<Item = @key@>) {
        let mut rank = 0;
        for key in keys {
            assert_eq!(index(key), rank, "the index of key {key:#x} is not its rank");
            rank += 1;
        }
        assert_eq!(rank, NUM_KEYS, "the keys are not as many as the table's");
        std::println!("ok {rank} keys");
    }
"#;

const SELF_TEST_OF_INCLUDED_KEYS: &str = r#"
    #[test]
    fn every_key_has_its_rank() {
        check(KEYS.iter().copied());
    }

    #[allow(clippy::unreadable_literal, reason = "read by the compiler only")]
    static KEYS: [@key@; NUM_KEYS as usize] = [
"#;

const SELF_TEST_OF_KEY_FILE: &str = r#"
    #[test]
    #[ignore = "needs the key file: set @IDENT@_KEYS to its path"]
    fn every_key_has_its_rank() {
        let path = std::env::var_os("@IDENT@_KEYS").expect("@IDENT@_KEYS is the key file's path");
        let bytes = std::fs::read(path).expect("the key file can be read");
        let keys = bytes.chunks_exact(@key_bytes@);
        assert!(keys.remainder().is_empty(), "the key file ends within a key");
        check(keys.map(|key| @key@::from_le_bytes(key.try_into().expect("@key_bytes@ bytes"))));
    }
}
"#;
