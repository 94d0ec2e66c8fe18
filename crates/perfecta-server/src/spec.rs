//! What a client asks for: a job as neutral fields, made from a [`Job`] and turned into one again.
//!
//! The command line makes the same [`Job`] for its own runs and for the daemon, so both mean the
//! same by the same options. What belongs to the machine (workers, backend, nodes) is the daemon's
//! and is no part of a request.
//!
//! [`Job`]: perfecta_jobs::Job

mod jobs;

use std::fmt;
use std::marker::PhantomData;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use perfecta_core::search::Plan;
use perfecta_core::seeds::SEEDS_MAX;
use perfecta_emit::ArtifactKinds;
use perfecta_jobs::{NodePolicy, Ramp, Share};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub(crate) use self::jobs::file_field;

/// A request: key files in, tables out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The client's directory: relative paths are resolved against it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub directory: Option<PathBuf>,
    /// The key files.
    #[serde(deserialize_with = "object")]
    pub inputs: InputSpec,
    /// Where tables go; `null`, which has to be said, builds and verifies them in memory only.
    #[serde(deserialize_with = "optional_object")]
    #[schema(required = true)]
    pub output: Option<OutputSpec>,
    /// How a key file is read.
    #[serde(default, deserialize_with = "object")]
    pub keys: KeySpec,
    /// What is searched.
    #[serde(default, deserialize_with = "object")]
    pub search: SearchSpec,
    /// What it may have beside other requests.
    #[serde(default, deserialize_with = "object")]
    pub share: ShareSpec,
    /// How far it may go.
    #[serde(default, deserialize_with = "object")]
    pub limits: LimitSpec,
}

/// Key files that a request names. A body has room for more, whose paths would take a hundred times the memory.
pub(crate) const FILES_MAX: usize = 1_000_000;

/// Bytes of a path: Linux takes none that is longer.
pub(crate) const PATH_BYTES_MAX: usize = 4_096;

/// Patterns of either kind.
pub(crate) const PATTERNS_MAX: usize = 1_000;

/// Bytes of a pattern; the longest name has 255.
pub(crate) const PATTERN_BYTES_MAX: usize = 1_024;

/// Bytes of all patterns of a request: compiled, each takes a few hundred.
pub(crate) const PATTERNS_BYTES_MAX: usize = 64 << 10;

/// Which key files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InputFields", rename_all = "snake_case")]
pub enum InputSpec {
    /// These; one of them is what `create` asks for.
    Files(Vec<PathBuf>),
    /// All below a directory.
    Tree {
        /// The directory.
        root: PathBuf,
        /// Patterns of names; by default those of key files.
        include: Vec<String>,
        /// Patterns of names that are left out.
        exclude: Vec<String>,
    },
}

impl InputSpec {
    /// How many key files are named.
    pub(crate) const fn num_named(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Tree { .. } => 0,
        }
    }
}

/// The same as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputFields {
    #[serde(default)]
    files: Option<FileList>,
    #[serde(default, deserialize_with = "optional_object")]
    tree: Option<TreeFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeFields {
    root: PathBuf,
    #[serde(default, deserialize_with = "patterns")]
    include: Vec<String>,
    #[serde(default, deserialize_with = "patterns")]
    exclude: Vec<String>,
}

impl TryFrom<InputFields> for InputSpec {
    type Error = &'static str;

    fn try_from(fields: InputFields) -> Result<Self, Self::Error> {
        match (fields.files, fields.tree) {
            (Some(FileList(files)), None) => Ok(Self::Files(files)),
            (None, Some(TreeFields { root, include, exclude })) => {
                Ok(Self::Tree { root, include, exclude })
            }
            (None, None) | (Some(_), Some(_)) => Err("expected either `files` or `tree`"),
        }
    }
}

struct FileList(Vec<PathBuf>);

impl<'de> Deserialize<'de> for FileList {
    fn deserialize<D: Deserializer<'de>>(list: D) -> Result<Self, D::Error> {
        list.deserialize_seq(AtMost(FILES_MAX, PhantomData)).map(Self)
    }
}

fn patterns<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    list.deserialize_seq(AtMost(PATTERNS_MAX, PhantomData))
}

/// Reads a list of so many values, and nothing of a longer one's rest.
struct AtMost<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == self.0 {
                return Err(A::Error::custom(format_args!("more than {} of them", self.0)));
            }
            values.push(value);
        }
        Ok(values)
    }
}

fn words<'de, D: Deserializer<'de>>(list: D) -> Result<[u32; SEEDS_MAX], D::Error> {
    list.deserialize_seq(Words)
}

/// Reads as many words as there are seeds, and counts others: serde leaves them for the parser to stumble over.
struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = [u32; SEEDS_MAX];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SEEDS_MAX} words")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let (mut words, mut count) = ([0; SEEDS_MAX], 0);
        while let Some(word) = list.next_element()? {
            if let Some(place) = words.get_mut(count) {
                *place = word;
            }
            count += 1;
        }
        if count == SEEDS_MAX { Ok(words) } else { Err(A::Error::invalid_length(count, &self)) }
    }
}

/// What an object says, and no list: of one, serde takes the values in the order of a struct's fields. All
/// structs of a request are read through it.
pub(crate) struct Object<T>(pub(crate) T);

fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(json: D) -> Result<T, D::Error> {
    Object::deserialize(json).map(|Object(value)| value)
}

fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    json: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(json).map(|object| object.map(|Object(value)| value))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Where tables go and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The directory; made if missing. Not named, it is one of the request's own below the root of
    /// outputs that the daemon may have.
    #[serde(default)]
    #[schema(value_type = String)]
    pub directory: PathBuf,
    /// `dirs` or `packed`.
    #[serde(default)]
    pub layout: LayoutSpec,
    /// Whether published tables survive a power cut.
    #[serde(default)]
    pub durable: bool,
    /// Whether what is in a table's place is replaced, though it is none of perfecta's.
    #[serde(default)]
    pub force: bool,
    /// Artifacts, comma-separated: `pht`, `c`, `rust`, or `all`. Left out with the layout `packed`:
    /// that file holds tables alone.
    #[serde(default = "default_emit")]
    #[schema(pattern = "^ *(pht|c|rust|all) *(, *(pht|c|rust|all) *)*$")]
    pub emit: String,
    /// Whether the keys are put into emitted sources, for their self-tests.
    #[serde(default)]
    pub include_keys: bool,
}

/// How tables lie in the output directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayoutSpec {
    /// A directory for each.
    #[default]
    Dirs,
    /// One file for all.
    Packed,
}

/// How a key file is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySpec {
    /// Bits of a key; `auto` reads them off the name.
    pub size: KeySize,
    /// One number a line.
    pub text: bool,
    /// Keys that are not in order are sorted.
    pub sort: bool,
    /// One of several equal keys is kept.
    pub dedupe: bool,
}

/// Bits of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum KeySize {
    /// 32 bits.
    #[default]
    #[serde(rename = "32")]
    Bits32,
    /// 64 bits.
    #[serde(rename = "64")]
    Bits64,
    /// As the name says.
    #[serde(rename = "auto")]
    Auto,
}

/// What is searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSpec {
    /// `auto`, or a hash family: its name, in any case, or its id.
    pub hash: String,
    /// Exactly so many attempts; no more than at most, if that is given.
    #[schema(minimum = 1)]
    pub fixed_attempts: Option<u64>,
    /// At most so many attempts; by default 10,000,000, or the exact number if that is more.
    #[schema(minimum = 1)]
    pub max_attempts: Option<u64>,
    /// Doubles the table after so many attempts in vain.
    #[schema(minimum = 1)]
    pub grow_after: Option<u64>,
    /// At most so often; by default 5 times, or as often as at first if that is more.
    pub max_grows: Option<u8>,
    /// So often before the first attempt; no more than at most, if that is given.
    pub initial_grows: u8,
    /// Fixed seed words; 0 leaves a word to the generator, and stands where the family takes no more.
    #[serde(deserialize_with = "words")]
    #[schema(value_type = Vec<u32>, min_items = 8, max_items = 8)]
    pub seeds: [u32; SEEDS_MAX],
    /// Seed of the generator, as 64 bits.
    pub rng_seed: u64,
    /// Subsequence that attempts count from.
    pub rng_subsequence: u64,
}

/// What a request may have beside others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShareSpec {
    /// Keys that it begins for each key of a request of weight 1.
    #[schema(value_type = u32, minimum = 1)]
    pub weight: NonZeroU32,
    /// Key files of it in flight at once.
    #[schema(value_type = Option<usize>, minimum = 1)]
    pub max_files: Option<NonZeroUsize>,
    /// Attempts of one search made at once, at first.
    #[schema(value_type = u32, minimum = 1)]
    pub per_file_initial: NonZeroU32,
    /// The same, at most; never more than the daemon has threads.
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub per_file_max: Option<NonZeroU32>,
    /// One more at once after so many milliseconds; 0 allows none beyond the first.
    pub ramp_ms: u64,
    /// `least-loaded`, `round-robin` or `node:N`.
    pub node_policy: String,
}

/// How far a request may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSpec {
    /// Bytes of memory; never more than the daemon has.
    pub memory_bytes: Option<u64>,
    /// Milliseconds for one key file.
    pub max_milliseconds: u64,
    /// Bytes written in all.
    pub max_output_bytes: Option<u64>,
    /// Milliseconds for all of it from when it was accepted, waiting included.
    pub deadline_ms: Option<u64>,
    /// The same as a time: milliseconds since 1970.
    pub deadline_unix_ms: Option<u64>,
}

/// What a daemon gives to a job.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Worker threads.
    pub threads: NonZeroUsize,
    /// CPUs that they run on.
    pub cpus: NonZeroUsize,
    /// Key files in flight at once.
    pub files_in_flight_max: NonZeroUsize,
    /// Reads of a worker at once.
    pub io_depth: NonZeroUsize,
    /// Bytes of memory.
    pub memory_bytes_max: u64,
}

#[cfg(any(test, feature = "fuzzing"))]
impl Bounds {
    /// Of a daemon that nothing is run on.
    pub(crate) const SMALL: Self = Self {
        threads: NonZeroUsize::MIN,
        cpus: NonZeroUsize::MIN,
        files_in_flight_max: NonZeroUsize::MIN,
        io_depth: NonZeroUsize::MIN,
        memory_bytes_max: 1 << 30,
    };
}

fn default_emit() -> String {
    ArtifactKinds::default().to_string()
}

impl Default for SearchSpec {
    fn default() -> Self {
        let given = Self::of(&Plan::default());
        Self { max_attempts: None, max_grows: None, ..given }
    }
}

impl Default for ShareSpec {
    fn default() -> Self {
        Self::of(Ramp::default(), Share::default(), NodePolicy::default())
    }
}

impl Default for LimitSpec {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            max_milliseconds: 600_000,
            max_output_bytes: None,
            deadline_ms: None,
            deadline_unix_ms: None,
        }
    }
}
