//! `perfecta inspect`: what is in a table file, a packed file or a key file?

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;
use perfecta_core::format::pack::{self, PackView};
use perfecta_core::format::{self, FormatError};
use perfecta_core::key::{BitRun, KeySet, KeyStatistics};
use perfecta_core::table::Parameters;
use perfecta_jobs::ExitClass;
use perfecta_server::line;
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::InputOptions;
use crate::key_file;
use crate::terminal::{Terminal, printable};
use crate::text::counted;

/// Show what is in a table file (.pht), a packed file or a key file.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The file
    file: PathBuf,
    /// One JSON line instead of lines for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: InputOptions,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Pack,
    Keys,
}

/// Names and values, in the order in which they are shown.
type Facts = Vec<(&'static str, Value)>;

impl Inspect {
    /// Prints the facts.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read, or is damaged.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let is_no_key_file = |head: &[u8]| self.kind(head) != Kind::Keys;
        let file = key_file::read_any(&self.file, is_no_key_file, &self.input)?;
        let bytes = file.bytes();
        let facts = match self.kind(bytes) {
            Kind::Table => {
                let view = format::decode(bytes).map_err(|error| self.damaged(&error))?;
                table_facts(view.parameters(), bytes.len())
            }
            Kind::Pack => self.pack_facts(bytes)?,
            Kind::Keys => {
                key_facts(bytes, &key_file::parse(&self.file, bytes, &self.input, terminal)?)
            }
        };
        self.say(terminal, facts)?;
        Ok(Exit::SUCCESS)
    }

    /// What a file is by its first bytes; if they tell nothing, by its name: of a damaged table the remedies
    /// for keys make things worse.
    fn kind(&self, bytes: &[u8]) -> Kind {
        if bytes.starts_with(&format::MAGIC) {
            return Kind::Table;
        }
        if bytes.starts_with(&pack::MAGIC) {
            return Kind::Pack;
        }
        match self.file.extension().and_then(OsStr::to_str) {
            Some("pht") => Kind::Table,
            Some("phtpack") => Kind::Pack,
            _ => Kind::Keys,
        }
    }

    fn say(&self, terminal: &Terminal, facts: Facts) -> Result<(), Failure> {
        if self.json {
            let object: Map<String, Value> =
                facts.into_iter().map(|(name, value)| (name.replace(' ', "_"), value)).collect();
            return terminal.say(&line("inspect", object));
        }
        for (name, value) in facts {
            if let Some(tables) = value.as_array().filter(|_| name == "list") {
                say_tables(terminal, tables)?;
                continue;
            }
            let text = match &value {
                Value::String(text) => text.clone(),
                Value::Object(run) => format!("{} bits from bit {}", run["bits"], run["from_bit"]),
                value => value.to_string(),
            };
            terminal.say(&format!("{name:<18} {text}"))?;
        }
        Ok(())
    }

    fn pack_facts(&self, bytes: &[u8]) -> Result<Facts, Failure> {
        let pack = PackView::decode(bytes).map_err(|error| self.damaged(&error))?;
        let mut num_keys = 0;
        let mut list = Vec::new();
        for entry in pack.iter() {
            let table = entry.table().map_err(|error| self.damaged(&error))?;
            let keys = table.parameters().num_keys;
            num_keys += u64::from(keys);
            list.push(json!({"name": String::from_utf8_lossy(entry.name), "keys": keys}));
        }
        Ok(vec![
            ("kind", json!("packed tables")),
            ("bytes", json!(bytes.len())),
            ("tables", json!(pack.len())),
            ("keys", json!(num_keys)),
            ("list", Value::Array(list)),
        ])
    }

    fn damaged(&self, error: &FormatError) -> Failure {
        let message = format!("{}: {error}", self.file.display());
        Failure::new(ExitClass::Verification, message).with_remedy(error.remedy())
    }
}

/// The first tables of a pack, and how many more there are.
fn say_tables(terminal: &Terminal, tables: &[Value]) -> Result<(), Failure> {
    const TABLES_SHOWN_MAX: usize = 20;
    for table in tables.iter().take(TABLES_SHOWN_MAX) {
        let name = printable(table["name"].as_str().unwrap_or_default());
        let keys = counted(table["keys"].as_u64().unwrap_or_default(), "key");
        terminal.say(&format!("{:<18} {name}, {keys}", "table"))?;
    }
    match tables.len().saturating_sub(TABLES_SHOWN_MAX) {
        0 => Ok(()),
        more => {
            let tables = counted(more as u64, "table");
            terminal.say(&format!("{tables} more, which --json lists"))
        }
    }
}

fn key_facts(bytes: &[u8], keys: &KeySet) -> Facts {
    let statistics = KeyStatistics::of(keys);
    let run = statistics
        .longest_run
        .map(|BitRun { start, length }| json!({"from_bit": start, "bits": length}));
    vec![
        ("kind", json!("keys")),
        ("bytes", json!(bytes.len())),
        ("keys", json!(keys.len())),
        ("key bits", json!(keys.width().bits())),
        ("first key", json!(format!("{:#x}", keys.first()))),
        ("last key", json!(format!("{:#x}", keys.last()))),
        ("bitmap", json!(format!("{:#x}", keys.bitmap()))),
        ("used bits", json!(statistics.used_bits)),
        ("leading zeros", json!(statistics.leading_zeros)),
        ("trailing zeros", json!(statistics.trailing_zeros)),
        ("longest run", json!(run)),
        ("contiguous bits", json!(statistics.contiguous_bits)),
        ("consecutive", json!(statistics.consecutive)),
        ("has zero", json!(statistics.has_zero)),
        ("hashed bits", json!(keys.hashed().width().bits())),
    ]
}

fn table_facts(parameters: &Parameters, bytes: usize) -> Facts {
    let Parameters { family, seeds, geometry, .. } = parameters;
    let downsize = parameters.downsize.map(|downsize| format!("{:#x}", downsize.bitmap()));
    vec![
        ("kind", json!("table")),
        ("bytes", json!(bytes)),
        ("keys", json!(parameters.num_keys)),
        ("key bits", json!(parameters.key_width.bits())),
        ("first key", json!(format!("{:#x}", parameters.first_key))),
        ("last key", json!(format!("{:#x}", parameters.last_key))),
        ("downsize bitmap", json!(downsize)),
        ("hash", json!(family.name())),
        ("seeds", json!(seeds.of_family(*family))),
        ("edge capacity", json!(geometry.edge_capacity())),
        ("vertices", json!(geometry.vertices())),
        ("element bits", json!(8 * parameters.element_width().bytes())),
    ]
}
