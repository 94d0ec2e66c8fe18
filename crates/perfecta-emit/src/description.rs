//! What a generator is told about a table: the same for every language.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use perfecta_core::geometry::ElementWidth;
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::table::{Parameters, TableView};

use crate::formula::{Formula, Needs};
use crate::identifier::Identifier;
use crate::original_name::OriginalName;
use crate::source;

/// The version of perfecta that generated code names.
pub(crate) const PERFECTA_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything about one table that a language needs.
#[derive(Debug, Clone)]
pub struct Description<'a> {
    /// The name of all that is generated.
    pub identifier: &'a Identifier,
    /// The key file's name; shown through its `Display` only.
    pub original_name: &'a OriginalName,
    /// Family, seeds, geometry, keys' width and number.
    pub parameters: Parameters,
    /// From key to vertices.
    pub formula: Formula,
    /// The assigned array.
    pub elements: Elements<'a>,
    /// What is the same in all files, once one of them has needed it.
    pub(crate) shared: SharedText,
    /// Where the self-test gets the keys from.
    pub self_test_keys: SelfTestKeys<'a>,
    /// The table file's bytes.
    pub table_file: TableFile<'a>,
}

/// Text that several files of a table have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedText {
    /// Lines about the table at the head of a file, without comment signs.
    head: OnceLock<String>,
    /// The body of the assigned array.
    pub(crate) elements: OnceLock<Vec<u8>>,
}

/// The assigned array of a table, or what is known of it beforehand.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// The elements as little-endian words.
    Solved(&'a [u8]),
    /// Not there yet: sizes can be expected, nothing can be rendered.
    Expected,
}

/// Where a self-test gets the keys from.
#[derive(Debug, Clone, Copy)]
pub enum SelfTestKeys<'a> {
    /// They stand in the file, seen by the compiler only when the self-test is built.
    Included(&'a KeySet),
    /// They will stand there: sizes can be expected, nothing can be rendered.
    Expected,
    /// It reads the key file that it is given when it runs.
    Omitted,
}

/// How the bytes of the table file are come by: perfecta-core encodes them.
#[derive(Clone, Copy)]
pub enum TableFile<'a> {
    /// By this function.
    Encoded(&'a (dyn Fn() -> Vec<u8> + Sync)),
    /// Not there yet; it will have so many bytes.
    Expected(u64),
}

impl fmt::Debug for TableFile<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoded(_) => formatter.write_str("Encoded"),
            Self::Expected(bytes) => write!(formatter, "Expected({bytes})"),
        }
    }
}

impl<'a> Description<'a> {
    /// Describes a finished table.
    ///
    /// # Panics
    /// If keys are to be included that are not as many as the table's, or of another width.
    #[must_use]
    pub fn new(
        table: TableView<'a>,
        identifier: &'a Identifier,
        original_name: &'a OriginalName,
        self_test_keys: SelfTestKeys<'a>,
        encode_table: &'a (dyn Fn() -> Vec<u8> + Sync),
    ) -> Self {
        if let SelfTestKeys::Included(keys) = self_test_keys {
            assert_eq!(keys.len(), table.parameters().num_keys as usize);
            assert_eq!(keys.width(), table.parameters().key_width);
        }
        Self {
            identifier,
            original_name,
            parameters: *table.parameters(),
            formula: Formula::new(table.parameters()),
            elements: Elements::Solved(table.assigned_bytes()),
            shared: SharedText::default(),
            self_test_keys,
            table_file: TableFile::Encoded(encode_table),
        }
    }

    /// Describes a table that is still to be solved, as far as sizes need it. The seeds can be those
    /// of any attempt.
    #[must_use]
    pub fn expected(
        parameters: Parameters,
        identifier: &'a Identifier,
        original_name: &'a OriginalName,
        self_test_keys: SelfTestKeys<'a>,
        table_file_bytes: u64,
    ) -> Self {
        Self {
            identifier,
            original_name,
            parameters,
            formula: Formula::new(&parameters),
            elements: Elements::Expected,
            shared: SharedText::default(),
            self_test_keys,
            table_file: TableFile::Expected(table_file_bytes),
        }
    }

    /// Width of the keys as `index` takes them.
    #[must_use]
    pub const fn key_width(&self) -> KeyWidth {
        self.parameters.key_width
    }

    /// Width of an element.
    #[must_use]
    pub const fn element_width(&self) -> ElementWidth {
        self.parameters.element_width()
    }

    /// Bits of an element.
    #[must_use]
    pub const fn element_bits(&self) -> usize {
        self.element_width().bytes() * 8
    }

    /// What a look-up costs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let Needs { multiplies, crc_steps, .. } = self.formula.needs();
        let crc_table_bytes = if crc_steps > 0 { 1024 } else { 0 };
        Cost {
            rom_bytes: self.parameters.assigned_bytes() as u64 + crc_table_bytes,
            multiplies,
            loads: 2 + 4 * crc_steps,
        }
    }
}

/// What a look-up costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of constant data.
    pub rom_bytes: u64,
    /// Multiplications.
    pub multiplies: u32,
    /// Loads from constant data.
    pub loads: u32,
}

/// The lines of a file's head that are the same in every language, without comment signs.
pub(crate) fn head<'d>(description: &'d Description<'_>) -> &'d str {
    description.shared.head.get_or_init(|| {
        let mut text = String::with_capacity(HEAD_BYTES);
        write_head(description, &mut text).expect("memory takes it");
        text
    })
}

/// Few heads are longer.
const HEAD_BYTES: usize = 512;

fn write_head(description: &Description<'_>, text: &mut String) -> fmt::Result {
    let Description { parameters, original_name, .. } = description;
    let Parameters { family, seeds, geometry, num_keys, first_key, last_key, .. } = parameters;
    let Cost { rom_bytes, multiplies, loads } = description.cost();
    let bits = description.key_width().bits();
    let digits = description.key_width().bytes() * 2 + 2;
    let edges = geometry.edge_capacity();
    writeln!(text, "{}{PERFECTA_VERSION} from {original_name}\n", source::HEAD)?;
    text.push_str(
        "An order-preserving perfect hash table: for each of its keys, index(key) is the key's\n",
    );
    let last = num_keys - 1;
    writeln!(text, "rank in ascending order, 0 to {last}. For any other key it is some number")?;
    writeln!(text, "below {edges}.\n")?;
    write!(text, "keys      {num_keys} of {bits} bits, ")?;
    writeln!(text, "{first_key:#0digits$x} to {last_key:#0digits$x}")?;
    write!(text, "family    {family}, seeds")?;
    for seed in seeds.of_family(*family) {
        write!(text, " {seed:#010x}")?;
    }
    let (vertices, element_bits) = (geometry.vertices(), description.element_bits());
    writeln!(text, "\ntable     {vertices} vertices of {element_bits} bits, {edges} edges")?;
    write!(text, "cost      {rom_bytes} bytes of ROM, {multiplies} x multiply, {loads} x load")?;
    if let Some(downsize) = parameters.downsize {
        let bitmap = downsize.bitmap();
        write!(text, "\nhashed    the bits {bitmap:#018x} of a key; no key uses others")?;
    }
    Ok(())
}

/// Whose the generated code is, at the end of every file's head.
pub(crate) const LICENCE: &str = "\
This file is the output of a program and belongs to whoever ran it. No licence of
perfecta is attached to it: use, copy, change and distribute it for any purpose, with or
without fee, with or without this notice. It comes as it is, without warranty of any
kind.";
