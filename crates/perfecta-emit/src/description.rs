//! What a generator is told about a table: the same for every language.

use std::sync::OnceLock;

use perfecta_core::geometry::ElementWidth;
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::table::{Parameters, TableView};

use crate::formula::{Formula, Needs};
use crate::identifier::Identifier;
use crate::original_name::OriginalName;

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
    /// Its text, once a language has written it: it is the same in all.
    pub(crate) elements_text: OnceLock<Vec<u8>>,
    /// Where the self-test gets the keys from.
    pub self_test_keys: SelfTestKeys<'a>,
    /// The table file's bytes.
    pub table_file: TableFile<'a>,
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

impl core::fmt::Debug for TableFile<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
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
            elements_text: OnceLock::new(),
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
            elements_text: OnceLock::new(),
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
#[must_use]
pub(crate) fn head_lines(description: &Description<'_>) -> Vec<String> {
    let Description { parameters, original_name, .. } = description;
    let Parameters { family, seeds, geometry, num_keys, first_key, last_key, .. } = parameters;
    let Cost { rom_bytes, multiplies, loads } = description.cost();
    let bits = description.key_width().bits();
    let digits = description.key_width().bytes() * 2 + 2;
    let seeds = seeds.of_family(*family).iter().map(|seed| format!("{seed:#010x}"));
    let mut lines = vec![
        format!("Generated by perfecta {PERFECTA_VERSION} from {original_name}"),
        String::new(),
        "An order-preserving perfect hash table: for each of its keys, index(key) is the key's"
            .into(),
        format!(
            "rank in ascending order, 0 to {}. For any other key it is some number",
            num_keys - 1
        ),
        format!("below {}.", geometry.edge_capacity()),
        String::new(),
        format!(
            "keys      {num_keys} of {bits} bits, {first_key:#0digits$x} to {last_key:#0digits$x}"
        ),
        format!("family    {family}, seeds {}", seeds.collect::<Vec<_>>().join(" ")),
        format!(
            "table     {} vertices of {} bits, {} edges",
            geometry.vertices(),
            description.element_bits(),
            geometry.edge_capacity()
        ),
        format!("cost      {rom_bytes} bytes of ROM, {multiplies} x multiply, {loads} x load"),
    ];
    if let Some(downsize) = parameters.downsize {
        let bitmap = downsize.bitmap();
        lines.push(format!("hashed    the bits {bitmap:#018x} of a key; no key uses others"));
    }
    lines
}

/// Whose the generated code is, at the end of every file's head.
pub(crate) const LICENCE_LINES: [&str; 4] = [
    "This file is the output of a program and belongs to whoever ran it. No licence of",
    "perfecta is attached to it: use, copy, change and distribute it for any purpose, with or",
    "without fee, with or without this notice. It comes as it is, without warranty of any",
    "kind.",
];
