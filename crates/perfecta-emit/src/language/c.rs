//! C99, also for C++: a header with everything, or a header and a source file with the array.
//!
//! Every name begins with the identifier, so that any number of tables can be included side by
//! side; two of one name cannot, and the header's guard tells them apart. The file with the array also
//! holds the self-test.

use std::fmt;
use std::io;

use perfecta_core::geometry::ElementWidth;
use perfecta_core::key::KeyWidth;
use perfecta_core::table::Parameters;

use super::{write_crc32c_table, write_head, write_template};
use crate::artifact::{FileGenerator, Generator};
use crate::description::{Description, Elements, SelfTestKeys};
use crate::formula::{Direction, Expression, Operator};
use crate::output::Output;

pub(crate) static GENERATOR: Generator = Generator {
    name: "c",
    summary: "C99 header, also for C++; large arrays in a source file of their own",
    files: &[
        FileGenerator { suffix: ".h", is_needed: |_| true, render: write_header },
        FileGenerator { suffix: "_data.c", is_needed: is_data_apart, render: write_data },
    ],
};

/// A larger array stands in a source file of its own. Each unit that includes a header compiles the
/// array anew, and may keep a copy of it. Measured with gcc 12 -O2 on 16-bit elements: 16 KiB cost a
/// unit 15 ms, 128 KiB 75 ms, 1 MiB 650 ms.
const HEADER_ARRAY_BYTES_MAX: usize = 16 * 1024;

fn is_data_apart(description: &Description<'_>) -> bool {
    description.parameters.assigned_bytes() > HEADER_ARRAY_BYTES_MAX
}

fn write_header(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let values = Names::new(description);
    writeln!(out, "/*")?;
    write_head(description, out, " *", &usage(description))?;
    values.fill(out, HEADER_START)?;
    write_declarations(description, &values, out)?;
    write_helpers(description, &values, out)?;
    write_index(description, &values, out)?;
    out.write_all(LINKAGE_END.as_bytes())?;
    if !is_data_apart(description) {
        write_self_test(description, &values, out)?;
    }
    values.fill(out, HEADER_END)
}

fn write_data(description: &Description<'_>, out: &mut dyn Output) -> io::Result<()> {
    let values = Names::new(description);
    writeln!(out, "/*")?;
    write_head(description, out, " *", &usage(description))?;
    values.fill(out, " */\n#include \"@ident@.h\"\n\n")?;
    write_assigned(description, &values, out)?;
    write_self_test(description, &values, out)
}

fn usage(description: &Description<'_>) -> String {
    let ident = description.identifier;
    let upper = ident.to_upper();
    let (link, source) = if is_data_apart(description) {
        (format!(", link {ident}_data.c"), format!("{ident}_data.c"))
    } else {
        (String::new(), format!("-x c {ident}.h"))
    };
    let (argument, note) = match description.self_test_keys {
        SelfTestKeys::Included(_) | SelfTestKeys::Expected => {
            ("", "The keys stand at the end of the file.")
        }
        SelfTestKeys::Omitted => {
            (" KEYS", "KEYS is a file of the keys in ascending order, packed and little-endian.")
        }
    };
    format!(
        "\
Use: include {ident}.h{link}, call {ident}_index(key).
Self-test:
  cc -std=c99 -D{upper}_SELF_TEST {source} -o {ident}_self_test
  ./{ident}_self_test{argument}
{note}"
    )
}

/// What the templates' names stand for.
struct Names {
    ident: String,
    upper: String,
    key: &'static str,
    element: &'static str,
    vertices: String,
    /// The guard: no other header has it by chance.
    guard: String,
    hash: String,
    /// The array. Where it is linked its name tells it from that of another table of this name.
    array: String,
}

impl Names {
    fn new(description: &Description<'_>) -> Self {
        let (ident, hash) = (description.identifier, hash(description));
        Self {
            ident: ident.to_string(),
            upper: ident.to_upper(),
            key: word_type(description.key_width()),
            element: match description.element_width() {
                ElementWidth::U8 => "uint8_t",
                ElementWidth::U16 => "uint16_t",
                ElementWidth::U32 => "uint32_t",
            },
            vertices: description.parameters.geometry.vertices().to_string(),
            guard: format!("{}_PERFECTA_H", ident.to_upper()),
            hash: format!("{hash:#018x}ull"),
            array: if is_data_apart(description) {
                format!("{ident}_data_{:08x}", hash >> 32)
            } else {
                format!("{ident}_assigned")
            },
        }
    }

    fn fill(&self, out: &mut dyn Output, template: &str) -> io::Result<()> {
        let values = [
            ("ident", self.ident.as_str()),
            ("IDENT", &self.upper),
            ("key", self.key),
            ("element", self.element),
            ("vertices", &self.vertices),
            ("guard", &self.guard),
            ("hash", &self.hash),
            ("array", &self.array),
        ];
        write_template(out, template, &values)
    }
}

const fn word_type(width: KeyWidth) -> &'static str {
    match width {
        KeyWidth::Bits32 => "uint32_t",
        KeyWidth::Bits64 => "uint64_t",
    }
}

const HEADER_START: &str = r#" */
#ifndef @guard@
#define @guard@ @hash@

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

"#;

const LINKAGE_END: &str = r"
#ifdef __cplusplus
}
#endif
";

const HEADER_END: &str = r#"
#elif @guard@ != @hash@
#error "two tables are called @ident@: give one key file another name, and build its table anew"
#endif /* @guard@ */
"#;

/// Tells a table from others of its name, also those that differ in capital letters alone: their macros
/// are the same, their functions are not. Its key file's name is shown in the head alone, and does not count.
fn hash(description: &Description<'_>) -> u64 {
    let Parameters { family, seeds, geometry, key_width, downsize, num_keys, first_key, last_key } =
        description.parameters;
    let numbers = [
        geometry.edge_capacity().into(),
        key_width.bits().into(),
        downsize.map_or(0, |downsize| downsize.bitmap()),
        num_keys.into(),
        first_key,
        last_key,
    ];
    let mut head = format!("{} {family} ", description.identifier).into_bytes();
    head.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
    head.extend(seeds.of_family(family).iter().flat_map(|seed| seed.to_le_bytes()));
    match description.elements {
        // The rest tells nearly all tables apart; of those that it does not, one in four billion has this sum, too.
        Elements::Solved(bytes) => head.extend(crc32fast::hash(bytes).to_le_bytes()),
        // Any hash is as long as another.
        Elements::Expected => {}
    }
    let hash = blake3::hash(&head);
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    u64::from_be_bytes(*first)
}

fn write_declarations(
    description: &Description<'_>,
    names: &Names,
    out: &mut dyn Output,
) -> io::Result<()> {
    let parameters = &description.parameters;
    let upper = &names.upper;
    let literal = |word| Literal(word, description.key_width());
    writeln!(out, "#define {upper}_NUM_KEYS {}u", parameters.num_keys)?;
    writeln!(out, "#define {upper}_EDGE_CAPACITY {}u", parameters.geometry.edge_capacity())?;
    writeln!(out, "#define {upper}_NUM_VERTICES {}u", parameters.geometry.vertices())?;
    writeln!(out, "#define {upper}_FIRST_KEY {}", literal(parameters.first_key))?;
    writeln!(out, "#define {upper}_LAST_KEY {}", literal(parameters.last_key))?;
    writeln!(out, "#define {upper}_ORIGINAL_NAME \"{}\"", description.original_name)?;
    writeln!(out)?;
    if is_data_apart(description) {
        return names.fill(out, "extern const @element@ @array@[@vertices@];\n");
    }
    write_assigned(description, names, out)
}

fn write_assigned(
    description: &Description<'_>,
    names: &Names,
    out: &mut dyn Output,
) -> io::Result<()> {
    let linkage = if is_data_apart(description) { "" } else { "static " };
    out.write_all(linkage.as_bytes())?;
    names.fill(out, "const @element@ @array@[@vertices@] = {\n")?;
    out.elements(description)?;
    writeln!(out, "}};")
}

fn write_helpers(
    description: &Description<'_>,
    names: &Names,
    out: &mut dyn Output,
) -> io::Result<()> {
    let needs = description.formula.needs();
    if needs.rotate_left {
        names.fill(out, ROTATE_LEFT)?;
    }
    if needs.rotate_right {
        names.fill(out, ROTATE_RIGHT)?;
    }
    if needs.crc_steps > 0 {
        names.fill(out, "\nstatic const uint32_t @ident@_crc32c_of_byte[256] = {\n")?;
        write_crc32c_table(out)?;
        names.fill(out, CRC32C)?;
    }
    match needs.folded_product {
        Some(KeyWidth::Bits32) => names.fill(out, FOLDED_PRODUCT_32),
        Some(KeyWidth::Bits64) => names.fill(out, FOLDED_PRODUCT_64),
        None => Ok(()),
    }
}

const ROTATE_LEFT: &str = r"
static inline uint32_t @ident@_rotate_left(uint32_t word, unsigned bits)
{
    return (word << bits) | (word >> (32u - bits));
}
";

const ROTATE_RIGHT: &str = r"
static inline uint32_t @ident@_rotate_right(uint32_t word, unsigned bits)
{
    return (word >> bits) | (word << (32u - bits));
}
";

const CRC32C: &str = r"};

/* One step over a word, as the instruction of SSE4.2 does it. */
static inline uint32_t @ident@_crc32c(uint32_t sum, uint32_t word)
{
    uint32_t rest = sum ^ word;
    rest = (rest >> 8) ^ @ident@_crc32c_of_byte[rest & 0xffu];
    rest = (rest >> 8) ^ @ident@_crc32c_of_byte[rest & 0xffu];
    rest = (rest >> 8) ^ @ident@_crc32c_of_byte[rest & 0xffu];
    return (rest >> 8) ^ @ident@_crc32c_of_byte[rest & 0xffu];
}
";

/// A left value of 32 bits needs 32 x 64 bits: two multiplies where a 128-bit product is not at hand.
const FOLDED_PRODUCT_32: &str = r"
/* The high half of a 128-bit product xored with its low half. */
static inline uint64_t @ident@_folded_product(uint32_t left, uint64_t right)
{
#if defined(__SIZEOF_INT128__) && !defined(PERFECTA_NO_INT128)
    __extension__ typedef unsigned __int128 wide;
    const wide product = (wide)left * right;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
#else
    const uint64_t low = (uint64_t)left * (uint32_t)right;
    const uint64_t high = (uint64_t)left * (right >> 32) + (low >> 32);
    return (high >> 32) ^ ((high << 32) | (uint32_t)low);
#endif
}
";

const FOLDED_PRODUCT_64: &str = r"
/* The high half of a 128-bit product xored with its low half. */
static inline uint64_t @ident@_folded_product(uint64_t left, uint64_t right)
{
#if defined(__SIZEOF_INT128__) && !defined(PERFECTA_NO_INT128)
    __extension__ typedef unsigned __int128 wide;
    const wide product = (wide)left * right;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
#else
    const uint64_t left_low = (uint32_t)left;
    const uint64_t left_high = left >> 32;
    const uint64_t low = left_low * (uint32_t)right;
    const uint64_t cross = left_high * (uint32_t)right + (low >> 32);
    const uint64_t middle = left_low * (right >> 32) + (uint32_t)cross;
    const uint64_t high = left_high * (right >> 32) + (cross >> 32) + (middle >> 32);
    return high ^ ((middle << 32) | (uint32_t)low);
#endif
}
";

fn write_index(
    description: &Description<'_>,
    names: &Names,
    out: &mut dyn Output,
) -> io::Result<()> {
    let formula = &description.formula;
    let ident = &names.ident;
    let mask = description.parameters.geometry.index_mask();
    names.fill(out, "\nstatic inline uint32_t @ident@_index(@key@ key)\n{\n")?;
    for step in &formula.steps {
        let value = Text { expression: &step.value, ident };
        writeln!(out, "    const {} {} = {value};", word_type(step.value.width()), step.name)?;
    }
    writeln!(out, "    const uint32_t first = {};", Text { expression: &formula.first, ident })?;
    writeln!(out, "    const uint32_t second = {};", Text { expression: &formula.second, ident })?;
    names.fill(out, "    return ((uint32_t)@array@[first] + (uint32_t)@array@[second]) & ")?;
    writeln!(out, "{};", Literal(mask.into(), KeyWidth::Bits32))?;
    writeln!(out, "}}")
}

/// A constant as C writes it.
struct Literal(u64, KeyWidth);

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            KeyWidth::Bits32 => write!(formatter, "{:#x}u", self.0),
            KeyWidth::Bits64 => write!(formatter, "{:#x}ull", self.0),
        }
    }
}

/// An expression as C writes it.
struct Text<'a> {
    expression: &'a Expression,
    ident: &'a str,
}

impl Text<'_> {
    const fn of<'b>(&self, expression: &'b Expression) -> Text<'b>
    where
        Self: 'b,
    {
        Text { expression, ident: self.ident }
    }

    const fn operand<'b>(&self, expression: &'b Expression) -> Operand<'b>
    where
        Self: 'b,
    {
        Operand(self.of(expression))
    }
}

/// An expression within another: in parentheses, where an operator stands at the top.
struct Operand<'a>(Text<'a>);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        let is_operator = match text.expression {
            Expression::Move(direction, ..) => is_shift(*direction),
            Expression::Binary(..) => true,
            _ => false,
        };
        if is_operator { write!(formatter, "({text})") } else { text.fmt(formatter) }
    }
}

const fn is_shift(direction: Direction) -> bool {
    matches!(direction, Direction::ShiftLeft | Direction::ShiftRight)
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ident = self.ident;
        match self.expression {
            Expression::Key(_) => formatter.write_str("key"),
            Expression::Step(name, _) => formatter.write_str(name),
            Expression::Constant(value, width) => Literal(*value, *width).fmt(formatter),
            Expression::Binary(operator, left, right) => {
                let sign = sign(*operator);
                write!(formatter, "{} {sign} {}", self.operand(left), self.operand(right))
            }
            Expression::Not(value) => write!(formatter, "~{}", self.operand(value)),
            Expression::Move(direction, value, bits) => match direction {
                Direction::ShiftLeft => write!(formatter, "{} << {bits}", self.operand(value)),
                Direction::ShiftRight => write!(formatter, "{} >> {bits}", self.operand(value)),
                Direction::RotateLeft => {
                    write!(formatter, "{ident}_rotate_left({}, {bits}u)", self.of(value))
                }
                Direction::RotateRight => {
                    write!(formatter, "{ident}_rotate_right({}, {bits}u)", self.of(value))
                }
            },
            Expression::Widen(value) => write!(formatter, "(uint64_t){}", self.operand(value)),
            Expression::Narrow(value) => write!(formatter, "(uint32_t){}", self.operand(value)),
            Expression::Crc32c { sum, word } => {
                write!(formatter, "{ident}_crc32c({}, {})", self.of(sum), self.of(word))
            }
            Expression::FoldedProduct(left, right) => {
                write!(formatter, "{ident}_folded_product({}, {})", self.of(left), self.of(right))
            }
        }
    }
}

const fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Xor => "^",
        Operator::Or => "|",
        Operator::And => "&",
    }
}

fn write_self_test(
    description: &Description<'_>,
    names: &Names,
    out: &mut dyn Output,
) -> io::Result<()> {
    names.fill(out, SELF_TEST_START)?;
    match description.self_test_keys {
        SelfTestKeys::Included(_) | SelfTestKeys::Expected => {
            names
                .fill(out, "\nstatic const @key@ @ident@_self_test_keys[@IDENT@_NUM_KEYS] = {\n")?;
            out.keys(description)?;
            names.fill(out, SELF_TEST_OF_INCLUDED_KEYS)?;
        }
        SelfTestKeys::Omitted => names.fill(out, SELF_TEST_OF_KEY_FILE)?,
    }
    names.fill(out, "\n#endif /* @IDENT@_SELF_TEST */\n")
}

const SELF_TEST_START: &str = r#"
#ifdef @IDENT@_SELF_TEST

#include <stdio.h>

static int @ident@_has_rank(@key@ key, uint32_t rank)
{
    const uint32_t index = @ident@_index(key);
    if (index != rank) {
        printf("key 0x%llx has index %lu, its rank is %lu\n", (unsigned long long)key,
               (unsigned long)index, (unsigned long)rank);
    }
    return index == rank;
}
"#;

const SELF_TEST_OF_INCLUDED_KEYS: &str = r#"};

int main(int argc, char **argv)
{
    uint32_t rank;
    (void)argc;
    (void)argv;
    for (rank = 0; rank < @IDENT@_NUM_KEYS; rank += 1) {
        if (!@ident@_has_rank(@ident@_self_test_keys[rank], rank)) {
            return 1;
        }
    }
    printf("ok %lu keys\n", (unsigned long)rank);
    return 0;
}
"#;

const SELF_TEST_OF_KEY_FILE: &str = r#"
int main(int argc, char **argv)
{
    unsigned char bytes[sizeof(@key@)];
    uint32_t rank = 0;
    size_t length;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: @ident@_self_test KEYS, a file that can be read\n");
        return 2;
    }
    while ((length = fread(bytes, 1, sizeof bytes, file)) == sizeof bytes) {
        @key@ key = 0;
        unsigned byte;
        for (byte = sizeof bytes; byte > 0; byte -= 1) {
            key = (key << 8) | bytes[byte - 1];
        }
        if (!@ident@_has_rank(key, rank)) {
            fclose(file);
            return 1;
        }
        rank += 1;
    }
    fclose(file);
    if (length != 0) {
        printf("the key file ends within a key\n");
        return 1;
    }
    if (rank != @IDENT@_NUM_KEYS) {
        printf("the file holds %lu keys, the table %lu\n", (unsigned long)rank,
               (unsigned long)@IDENT@_NUM_KEYS);
        return 1;
    }
    printf("ok %lu keys\n", (unsigned long)rank);
    return 0;
}
"#;
