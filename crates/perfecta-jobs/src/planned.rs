//! An item before it runs: what it is made of, where it goes, and what it takes.

use std::path::PathBuf;

use perfecta_core::geometry::Geometry;
use perfecta_core::graph::Attempter;
use perfecta_core::key::KeyWidth;
use perfecta_core::search::Plan;
use perfecta_emit::Identifier;

use crate::config::{Job, KeyEncoding};
use crate::error::ItemError;

/// An item before it runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    /// The key file.
    pub(crate) keys_file: PathBuf,
    /// Where its table lies below the output directory: the directory of the key file below the
    /// input's root.
    pub(crate) below: PathBuf,
    /// The table's name.
    pub(crate) identifier: Identifier,
    /// Bytes of the key file when it was listed.
    pub(crate) file_bytes: u64,
    /// Bytes of what is written for it, all of which is in memory before.
    pub(crate) rendered_bytes: u64,
    /// Why it cannot be built whatever its keys. Nearly always nothing is said, so it takes no place here.
    pub(crate) refusal: Option<Box<ItemError>>,
}

const _: () =
    assert!(size_of::<Planned>() <= 96, "of a million key files, each byte is a megabyte");

impl Planned {
    fn key_bytes(&self, job: &Job) -> u64 {
        job.keys.width.of(&self.keys_file).bytes() as u64
    }

    /// Keys, as the file's length says.
    pub(crate) fn num_keys(&self, job: &Job) -> u64 {
        match job.keys.encoding {
            KeyEncoding::Binary => self.file_bytes / self.key_bytes(job),
            KeyEncoding::Text => self.file_bytes / TEXT_KEY_BYTES,
        }
    }

    /// Those that a job counts. What is refused has none to be done, and may be of any length: sparse
    /// files come to more than can be summed.
    pub(crate) fn num_keys_counted(&self, job: &Job) -> u64 {
        if self.refusal.is_some() { 0 } else { self.num_keys(job) }
    }

    /// The most keys that a file of its length may hold.
    pub(crate) fn num_keys_max(&self, job: &Job) -> u64 {
        match job.keys.encoding {
            KeyEncoding::Binary => self.num_keys(job),
            KeyEncoding::Text => self.file_bytes.div_ceil(TEXT_KEY_BYTES_MIN),
        }
    }

    /// Bytes of memory that it takes: file, keys, graph, the table twice, and all that is written.
    pub(crate) fn memory_bytes(&self, job: &Job) -> u64 {
        let (_, first) = largest_table(&job.search, self.num_keys_max(job));
        self.memory_bytes_with(job, first)
    }

    /// The same if no table were doubled at first.
    pub(crate) fn undoubled_memory_bytes(&self, job: &Job) -> u64 {
        let (solved, _) = largest_table(&job.search, self.num_keys_max(job));
        self.memory_bytes_with(job, smallest_table(solved))
    }

    /// The same with a table of these sizes, to which the one that it begins with was doubled.
    pub(crate) fn memory_bytes_with(&self, job: &Job, geometry: Geometry) -> u64 {
        let keys = self.num_keys_max(job);
        let (solved, first) = largest_table(&job.search, keys);
        let graph = Attempter::memory_bytes(solved, geometry);
        // What is written is elements for the most part, as many as vertices.
        let times = u128::from(geometry.vertices());
        let rendered = u128::from(self.rendered_bytes) * times / u128::from(first.vertices());
        let table = 2 * table_bytes(geometry) + rendered as u64;
        // An obstacle is looked for before there is a table.
        let after_graph = table.max(Attempter::obstacle_memory_bytes(solved));
        self.file_bytes + keys * self.key_bytes(job) + graph + after_graph
    }

    /// Bytes of memory that its keys alone take while they are read: file, keys, what is hashed of them,
    /// and, where they are to be sorted, where each stood.
    pub(crate) fn keys_memory_bytes(&self, job: &Job) -> u64 {
        let hashed = match job.keys.width.of(&self.keys_file) {
            KeyWidth::Bits32 => 0,
            KeyWidth::Bits64 => KeyWidth::Bits32.bytes() as u64,
        };
        let places = if job.keys.repair.sort { PLACE_BYTES } else { 0 };
        self.file_bytes + self.num_keys_max(job) * (self.key_bytes(job) + hashed + places)
    }

    /// Bytes that are read of what lies in its place: the graph has none of its memory yet.
    pub(crate) fn found_bytes_max(&self, job: &Job) -> u64 {
        self.memory_bytes(job).max(FOUND_BYTES_MIN)
    }

    /// The table's directory below the output directory.
    pub(crate) fn target(&self) -> PathBuf {
        self.below.join(self.identifier.as_str())
    }
}

/// So much is read of any table that is there: a manifest, and source code where none is asked for now.
const FOUND_BYTES_MIN: u64 = 4 << 20;
/// A key and its place, by which a set that is sorted is looked through for duplicates.
const PLACE_BYTES: u64 = 16;
/// A usual line of a text key file: eight hexadecimal digits, `0x` and the line's end.
const TEXT_KEY_BYTES: u64 = 11;
/// The shortest: a digit and the line's end.
const TEXT_KEY_BYTES_MIN: u64 = 2;

/// The table that a search of the most of so many keys begins with: there may be fewer than a file's
/// length says, and there are no tables of more.
pub(crate) fn largest_table(search: &Plan, keys: u64) -> (usize, Geometry) {
    let solved = keys.min(Geometry::KEYS_MAX as u64) as usize;
    // What cannot be doubled as often as asked for is never searched.
    (solved, search.first_geometry(solved).unwrap_or_else(|_| smallest_table(solved)))
}

pub(crate) fn smallest_table(keys: usize) -> Geometry {
    Geometry::for_keys(keys).expect("there are tables of as many")
}

pub(crate) fn table_bytes(geometry: Geometry) -> u64 {
    u64::from(geometry.vertices()) * geometry.element_width().bytes() as u64
}
