//! What a job is to do: one checked value, the same for one file and for a directory of thousands.

use std::ffi::OsStr;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use perfecta_core::geometry::Geometry;
use perfecta_core::key::{KeyError, KeySet, KeyWidth, Repair, looks_like_text, looks_paired};
use perfecta_core::search::Plan;
use perfecta_io::{EntryKind, IoError, IoErrorKind, Operation};

use crate::error::ItemError;
use crate::names::NameFilter;
use crate::places::PACKED_DIRECTORY;

/// A request: key files in, tables out.
#[derive(Debug, Clone)]
pub struct Job {
    /// The key files.
    pub inputs: Inputs,
    /// How a key file is read.
    pub keys: KeyOptions,
    /// What is searched, and for how many attempts.
    pub search: Plan,
    /// Where tables go; `None` builds and verifies them in memory only.
    pub output: Option<Output>,
    /// How many attempts of one search may be made at once.
    pub ramp: Ramp,
    /// What it may have beside other jobs.
    pub share: Share,
    /// Which workers take its items.
    pub nodes: NodePolicy,
    /// Bounds of everything else.
    pub limits: Limits,
}

impl Job {
    /// A job on `inputs` that writes nothing, with default options.
    #[must_use]
    pub fn new(inputs: Inputs) -> Self {
        Self {
            inputs,
            keys: KeyOptions::default(),
            search: Plan::default(),
            output: None,
            ramp: Ramp::default(),
            share: Share::default(),
            nodes: NodePolicy::default(),
            limits: Limits::default(),
        }
    }
}

/// Which key files.
#[derive(Debug, Clone)]
pub enum Inputs {
    /// These. Their tables lie directly in the output directory.
    Files(Vec<PathBuf>),
    /// All files below `root` whose names pass; where a file lies below the root, its table lies
    /// below the output directory.
    Tree {
        /// The directory.
        root: PathBuf,
        /// Which names.
        names: NameFilter,
    },
}

impl Inputs {
    /// All `.keys` files below `root`.
    #[must_use]
    pub fn tree(root: impl Into<PathBuf>) -> Self {
        Self::Tree { root: root.into(), names: NameFilter::default() }
    }
}

/// How a key file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOptions {
    /// Width of a key.
    pub width: WidthRule,
    /// How keys are written.
    pub encoding: KeyEncoding,
    /// What may be put right.
    pub repair: Repair,
}

impl KeyOptions {
    /// The length of the file at a path, where a file of keys may be of that kind and length.
    ///
    /// # Errors
    /// [`ItemError`].
    ///
    /// # Panics
    /// If its length was not wanted.
    pub fn check_file(
        &self,
        path: &Path,
        kind: EntryKind,
        bytes_max: u64,
    ) -> Result<u64, ItemError> {
        let refused = |operation, kind| ItemError::Input(IoError::new(operation, path, kind));
        let not_a_file = |kind| Err(refused(Operation::Open, IoErrorKind::NotAFile(kind)));
        let bytes = match kind {
            EntryKind::File { bytes } => bytes,
            EntryKind::Unmeasured => unreachable!("the lengths of key files are wanted"),
            EntryKind::Directory => return not_a_file("directory"),
            EntryKind::Special(kind) => return not_a_file(kind),
            EntryKind::BrokenLink(error) | EntryKind::Unreadable(error) => {
                return Err(ItemError::Input(error));
            }
        };
        if bytes > bytes_max {
            return Err(refused(Operation::Read, IoErrorKind::TooLarge { bytes, bytes_max }));
        }
        let keys = bytes as usize / self.width.of(path).bytes();
        let is_each_counted = self.encoding == KeyEncoding::Binary && !self.repair.dedupe;
        if is_each_counted && keys > Geometry::KEYS_MAX {
            return Err(KeyError::TooMany { keys, max: Geometry::KEYS_MAX }.into());
        }
        Ok(bytes)
    }

    /// The keys of a file, from its name and its bytes.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(&self, path: &Path, bytes: &[u8]) -> Result<KeySet, KeyError> {
        let width = self.width.of(path);
        match self.encoding {
            KeyEncoding::Binary => KeySet::from_le_bytes(bytes, width, self.repair),
            KeyEncoding::Text => KeySet::from_text(bytes, width, self.repair),
        }
    }

    /// What a file of keys may be instead of what it is read as.
    #[must_use]
    pub fn doubt(&self, path: &Path, bytes: &[u8]) -> Option<Doubt> {
        match self.encoding {
            KeyEncoding::Text => None,
            KeyEncoding::Binary if looks_like_text(bytes) => Some(Doubt::Text),
            KeyEncoding::Binary => {
                let is_wide = self.width.of(path) == KeyWidth::Bits64;
                (is_wide && looks_paired(bytes)).then_some(Doubt::Pairs)
            }
        }
    }
}

/// What a file may be that is read as packed keys, and holds a key set as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A text of keys.
    Text,
    /// Twice as many keys of half the width.
    Pairs,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => {
                "read as packed keys, though it looks like text; if it is, give --text"
            }
            Self::Pairs => {
                "read as 64-bit keys, though it is a sorted file of 32-bit keys as well; if it is, give \
                 --key-size 32"
            }
        })
    }
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            width: WidthRule::Fixed(KeyWidth::Bits32),
            encoding: KeyEncoding::Binary,
            repair: Repair::default(),
        }
    }
}

/// Where the width of keys comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WidthRule {
    /// All files have this one.
    Fixed(KeyWidth),
    /// 64 bits where the name says so (`a.keys64`, `a.64.keys`, `u64.keys`), 32 bits elsewhere. A
    /// number of its own (`a-64.keys`) is nearly always that of the keys, and says nothing.
    FromName,
}

impl WidthRule {
    /// The width of keys in a file of this name.
    #[must_use]
    pub fn of(self, path: &Path) -> KeyWidth {
        match self {
            Self::Fixed(width) => width,
            Self::FromName if says_64(path.extension()) || says_64(path.file_stem()) => {
                KeyWidth::Bits64
            }
            Self::FromName => KeyWidth::Bits32,
        }
    }

    /// Whether the name of a file has the extension of 64-bit keys, and these are taken for others.
    #[must_use]
    pub(crate) fn contradicts(self, path: &Path) -> bool {
        says_64(path.extension()) && self.of(path) == KeyWidth::Bits32
    }

    /// Names of key files, where the user names none: keys of 64 bits have an extension of their
    /// own, which is looked for where widths are read off names.
    #[must_use]
    pub const fn default_patterns(self) -> &'static [&'static str] {
        match self {
            Self::FromName | Self::Fixed(KeyWidth::Bits64) => &["*.keys", "*.keys64"],
            Self::Fixed(KeyWidth::Bits32) => &["*.keys"],
        }
    }
}

/// Whether part of a name ends in 64 after a letter or a dot, or is 64.
fn says_64(part: Option<&OsStr>) -> bool {
    let before = part.and_then(|part| part.as_encoded_bytes().strip_suffix(b"64"));
    before.is_some_and(|before| {
        before.last().is_none_or(|byte| byte.is_ascii_alphabetic() || *byte == b'.')
    })
}

/// How keys are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEncoding {
    /// Packed little-endian words.
    Binary,
    /// One decimal or `0x` number a line.
    Text,
}

/// Where tables go and how.
#[derive(Debug, Clone)]
pub struct Output {
    /// The directory; made if missing.
    pub directory: PathBuf,
    /// One directory for each table, or one file for all.
    pub layout: Layout,
    /// What a power cut may take.
    pub durability: Durability,
    /// What becomes of a target that is there and is not ours.
    pub conflicts: Conflicts,
}

impl Output {
    /// One directory for each table, below `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            layout: Layout::Dirs,
            durability: Durability::Process,
            conflicts: Conflicts::Refuse,
        }
    }

    /// Where the table of this name lies, if its key file was listed and not found below a root.
    #[must_use]
    pub fn place_of(&self, table: &str) -> PathBuf {
        self.directory.join(match self.layout {
            Layout::Dirs => table,
            Layout::Packed => PACKED_DIRECTORY,
        })
    }
}

/// How tables lie in the output directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `OUT/<directory of the key file>/<identifier>/`: the artifacts and `manifest.json`.
    Dirs,
    /// `OUT/tables.packed/`: one file `tables.phtpack` and its `manifest.json`. The whole of it is
    /// published at once, and built anew unless nothing changed.
    Packed,
}

/// What survives what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// All or nothing when the process dies; a table torn by a power cut is detected.
    Process,
    /// All or nothing also after a power cut: batches are synced before they are published.
    Power,
}

/// What becomes of a target that exists and has no manifest of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// The item fails.
    Refuse,
    /// The target is replaced.
    Replace,
}

/// How many attempts of one search may be made at once, by its own worker and by those that have
/// nothing else to do.
///
/// A search begins with `initial`, and `every` so long one more is allowed, up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// At first.
    pub initial: NonZeroU32,
    /// At most; less than `initial` counts as `initial`.
    pub max: NonZeroU32,
    /// Between two further ones; `None` allows none beyond `initial`.
    pub every: Option<Duration>,
}

impl Default for Ramp {
    fn default() -> Self {
        let every = Some(Duration::from_millis(1));
        Self { initial: NonZeroU32::MIN, max: NonZeroU32::MAX, every }
    }
}

/// What a job may have beside other jobs of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Keys that it begins for each key that a job of weight 1 begins, while both have items that wait.
    pub weight: NonZeroU32,
    /// Files of it that are in flight at once.
    pub files_in_flight_max: NonZeroUsize,
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: NonZeroU32::MIN, files_in_flight_max: NonZeroUsize::MAX }
    }
}

/// Which NUMA node's workers take an item. Nodes are counted among those that have workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodePolicy {
    /// The first that has nothing else to do: the least loaded.
    #[default]
    LeastLoaded,
    /// One after another; a node whose items are all begun takes those of others that are not.
    RoundRobin,
    /// Always this one.
    Fixed(usize),
}

impl fmt::Display for NodePolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeastLoaded => formatter.write_str("least-loaded"),
            Self::RoundRobin => formatter.write_str("round-robin"),
            Self::Fixed(node) => write!(formatter, "node:{node}"),
        }
    }
}

/// As it is displayed; else it fails with what there is.
impl FromStr for NodePolicy {
    type Err = &'static str;

    fn from_str(policy: &str) -> Result<Self, Self::Err> {
        match policy {
            "least-loaded" => Ok(Self::LeastLoaded),
            "round-robin" => Ok(Self::RoundRobin),
            _ => {
                let node = policy.strip_prefix("node:").and_then(|node| node.parse().ok());
                node.map(Self::Fixed).ok_or("least-loaded, round-robin or node:N")
            }
        }
    }
}

/// Bounds, each with the sum it comes from.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Worker threads.
    pub threads: NonZeroUsize,
    /// CPUs that they run on: threads beyond these share the memory that so many would use.
    pub cpus: NonZeroUsize,
    /// Key files that are begun and not settled at once: each of them may hold a buffer.
    pub files_in_flight_max: NonZeroUsize,
    /// Key files that a worker reads at once, where it has to wait for them.
    pub io_depth: NonZeroUsize,
    /// Bytes of key files, graphs and artifacts in memory at once, all threads together.
    pub memory_bytes_max: u64,
    /// Wall time of the search on one key file.
    pub item_time_max: Option<Duration>,
    /// Wall time of the whole job from when it was handed in, waiting included.
    pub job_time_max: Option<Duration>,
    /// The largest key file that is read: by default that of the most keys a table can hold, in binary and 64 bits wide.
    pub input_bytes_max: u64,
    /// The most entries that an input directory may hold; an output has some for each.
    pub entries_max: usize,
    /// How deep an input directory may be; an output is deeper by one.
    pub depth_max: usize,
    /// Bytes of the files that a job may publish, manifests and the index of a pack included.
    pub output_bytes_max: u64,
    /// So many items in a row that find the disk full end the job's admissions.
    pub disk_full_max: u32,
}

/// What a table is in a directory, at most: that of its own, four artifacts, the manifest, and two more.
const ENTRIES_OF_TABLE: usize = 8;

impl Limits {
    /// The same for what is published from a directory within these: each key file has become a directory.
    #[must_use]
    pub(crate) fn of_published(&self) -> Self {
        Self {
            entries_max: self.entries_max.saturating_mul(ENTRIES_OF_TABLE),
            depth_max: self.depth_max + 1,
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            cpus: NonZeroUsize::MIN,
            files_in_flight_max: const { NonZeroUsize::new(64).expect("it is not zero") },
            io_depth: const { NonZeroUsize::new(32).expect("it is not zero") },
            memory_bytes_max: 1 << 30,
            item_time_max: None,
            job_time_max: None,
            input_bytes_max: 8 << 30,
            entries_max: 10_000_000,
            depth_max: 64,
            output_bytes_max: u64::MAX,
            disk_full_max: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_read_off_the_name_only_when_asked() {
        let check = |name: &str, width| assert_eq!(WidthRule::FromName.of(Path::new(name)), width);
        check("a.keys64", KeyWidth::Bits64);
        check("dir/a-64.keys", KeyWidth::Bits32);
        check("a.4264", KeyWidth::Bits32);
        check("64.keys", KeyWidth::Bits64);
        check("routes64.keys", KeyWidth::Bits64);
        check("routes_64.keys", KeyWidth::Bits32);
        check("a.64.keys", KeyWidth::Bits64);
        check("a-3162.keys", KeyWidth::Bits32);
        check("keys64/a.keys", KeyWidth::Bits32);
        let fixed = WidthRule::Fixed(KeyWidth::Bits32);
        assert_eq!(fixed.of(Path::new("mfc42-6164.keys")), KeyWidth::Bits32);
    }

    #[test]
    fn a_policy_of_nodes_is_read_as_it_is_displayed() {
        for policy in [NodePolicy::LeastLoaded, NodePolicy::RoundRobin, NodePolicy::Fixed(7)] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for policy in ["any", "node:", "node:x", "node:-1", "Round-Robin", ""] {
            assert!(policy.parse::<NodePolicy>().unwrap_err().contains("node:N"), "{policy}");
        }
    }

    #[test]
    fn an_extension_that_says_64_contradicts_32_bits_alone() {
        let [narrow, wide] = [KeyWidth::Bits32, KeyWidth::Bits64].map(WidthRule::Fixed);
        let keys64 = Path::new("d/a.keys64");
        assert!(narrow.contradicts(keys64));
        assert!(!wide.contradicts(keys64) && !WidthRule::FromName.contradicts(keys64));
        assert!(!narrow.contradicts(Path::new("x64.keys")));
    }
}
