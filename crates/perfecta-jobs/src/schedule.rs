//! The order of items and the bounds on what runs at once.
//!
//! Files first: largest first, then by the bytes of their paths, so that the longest work does not
//! begin last. What is refused whatever its keys is known here, before anything runs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use perfecta_core::geometry::Geometry;
use perfecta_core::graph::Attempter;
use perfecta_core::key::{KeyError, KeyWidth};
use perfecta_core::search::Plan;
use perfecta_emit::Identifier;
use perfecta_io::{Entry, EntryKind, IoError, IoErrorKind, Operation};

use crate::config::{Inputs, Job, KeyEncoding, Layout};
use crate::error::ItemError;
use crate::names::NameFilter;
use crate::places::STAGE_PREFIX;
use crate::render::Renderer;

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
    rendered_bytes: u64,
    /// Why it cannot be built whatever its keys.
    pub(crate) refusal: Option<ItemError>,
}

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

    /// The most keys that a file of its length may hold.
    fn num_keys_max(&self, job: &Job) -> u64 {
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

    /// The same with a table of these sizes, to which the one that it begins with was doubled.
    pub(crate) fn memory_bytes_with(&self, job: &Job, geometry: Geometry) -> u64 {
        let keys = self.num_keys_max(job);
        let (solved, first) = largest_table(&job.search, keys);
        let graph = Attempter::memory_bytes(solved, geometry) + 2 * table_bytes(geometry);
        // What is written is elements for the most part.
        let times = u64::from((geometry.vertices() / first.vertices()).max(1));
        self.file_bytes + keys * self.key_bytes(job) + graph + times * self.rendered_bytes
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
fn largest_table(search: &Plan, keys: u64) -> (usize, Geometry) {
    let solved = keys.min(Geometry::KEYS_MAX as u64) as usize;
    // What cannot be doubled as often as asked for is never searched.
    (solved, search.first_geometry(solved).unwrap_or_else(|_| smallest_table(solved)))
}

fn smallest_table(keys: usize) -> Geometry {
    Geometry::for_keys(keys).expect("there are tables of as many")
}

fn table_bytes(geometry: Geometry) -> u64 {
    u64::from(geometry.vertices()) * geometry.element_width().bytes() as u64
}

/// What will be written for tables, by a renderer if it is not the table alone.
struct Rendering<'r> {
    renderer: Option<&'r dyn Renderer>,
    search: &'r Plan,
    /// What small tables come to, each as if it had the most keys: of these there may be thousands, and to look
    /// at each of them takes as long as to solve it.
    small: HashMap<(Geometry, KeyWidth), u64>,
}

impl<'r> Rendering<'r> {
    /// Tables of up to so many keys are small: larger ones take a thousand times as long to solve as to
    /// estimate.
    const SMALL_KEYS_MAX: u64 = 1 << 16;

    fn of_job(job: &'r Job, renderer: Option<&'r dyn Renderer>) -> Self {
        let is_wanted =
            job.output.as_ref().is_some_and(|output| matches!(output.layout, Layout::Dirs));
        Self {
            renderer: renderer.filter(|_| is_wanted),
            search: &job.search,
            small: HashMap::new(),
        }
    }

    fn bytes(&mut self, keys: u64, width: KeyWidth) -> u64 {
        let (solved, geometry) = largest_table(self.search, keys);
        let Some(renderer) = self.renderer else { return table_bytes(geometry) };
        let estimate = |keys| renderer.estimate(keys, width, geometry).bytes;
        let most = u64::from(smallest_table(solved).edge_capacity());
        if most > Self::SMALL_KEYS_MAX {
            return estimate(solved as u64);
        }
        *self.small.entry((geometry, width)).or_insert_with(|| estimate(most))
    }
}

/// The items of a job in the order in which they begin; `renderer` is what its tables are written with.
pub(crate) fn plan(
    job: &Job,
    renderer: Option<&dyn Renderer>,
    entries: Vec<Entry>,
) -> Vec<Planned> {
    let mut rendering = Rendering::of_job(job, renderer);
    let mut planned = |entry, root| planned(job, &mut rendering, entry, root);
    let mut items: Vec<Planned> = match &job.inputs {
        Inputs::Files(_) => {
            entries.into_iter().map(|entry| planned(entry, Path::new(""))).collect()
        }
        Inputs::Tree { root, names } => {
            let matching = entries.into_iter().filter(|entry| is_input(entry, names));
            matching.map(|entry| planned(entry, root)).collect()
        }
    };
    items.sort_unstable_by(|left, right| {
        let size = right.file_bytes.cmp(&left.file_bytes);
        size.then_with(|| left.keys_file.as_os_str().cmp(right.keys_file.as_os_str()))
    });
    if job.output.is_some() {
        refuse_clashes(&mut items);
    }
    items
}

/// Whether an entry is an input, or hides inputs.
fn is_input(entry: &Entry, names: &NameFilter) -> bool {
    names.admits(&entry.path) || matches!(entry.kind, EntryKind::Unreadable(_))
}

fn planned(job: &Job, rendering: &mut Rendering<'_>, entry: Entry, root: &Path) -> Planned {
    let keys_file = root.join(&entry.path);
    let below = match &job.inputs {
        Inputs::Files(_) => Path::new(""),
        Inputs::Tree { .. } => entry.path.parent().unwrap_or(Path::new("")),
    };
    let name: OsString = entry.path.file_name().unwrap_or(entry.path.as_os_str()).to_owned();
    let file_bytes = match entry.kind {
        EntryKind::File { bytes } => bytes,
        EntryKind::Unmeasured => unreachable!("the lengths of key files are wanted"),
        EntryKind::Directory
        | EntryKind::Special(_)
        | EntryKind::BrokenLink
        | EntryKind::Unreadable(_) => 0,
    };
    let identifier = Identifier::of_file_name(name.as_encoded_bytes());
    let width = job.keys.width.of(&keys_file);
    let mut item = Planned {
        keys_file,
        below: below.to_owned(),
        identifier,
        file_bytes,
        rendered_bytes: 0,
        refusal: None,
    };
    item.rendered_bytes = rendering.bytes(item.num_keys_max(job), width);
    item.refusal = refusal(job, &item, entry.kind);
    item
}

fn refusal(job: &Job, item: &Planned, kind: EntryKind) -> Option<ItemError> {
    let path = &item.keys_file;
    let not_a_file =
        |kind| ItemError::Input(IoError::new(Operation::Open, path, IoErrorKind::NotAFile(kind)));
    match kind {
        EntryKind::File { .. } | EntryKind::Unmeasured => {}
        EntryKind::Directory => return Some(not_a_file("directory")),
        EntryKind::Special(kind) => return Some(not_a_file(kind)),
        EntryKind::BrokenLink => return Some(not_a_file("broken or circular symbolic link")),
        EntryKind::Unreadable(error) => return Some(ItemError::Input(error)),
    }
    let bytes_max = job.limits.input_bytes_max;
    if item.file_bytes > bytes_max {
        let kind = IoErrorKind::TooLarge { bytes: item.file_bytes, bytes_max };
        return Some(ItemError::Input(IoError::new(Operation::Read, path, kind)));
    }
    let is_reserved =
        |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(STAGE_PREFIX.as_bytes());
    if job.output.is_some() && item.below.iter().any(is_reserved) {
        return Some(ItemError::ReservedName);
    }
    let keys = item.num_keys(job) as usize;
    let is_each_counted = job.keys.encoding == KeyEncoding::Binary && !job.keys.repair.dedupe;
    if is_each_counted && keys > Geometry::KEYS_MAX {
        return Some(ItemError::Keys(KeyError::TooMany { keys, max: Geometry::KEYS_MAX }));
    }
    let (needed, limit) = (item.memory_bytes(job), job.limits.memory_bytes_max);
    (needed > limit).then_some(ItemError::Memory { needed, limit })
}

/// Key files that go to one place, or to places of which one lies in the other, are all refused: none
/// of them has more right to it.
fn refuse_clashes(items: &mut [Planned]) {
    let mut first_at: HashMap<(PathBuf, String), usize> = HashMap::with_capacity(items.len());
    for index in 0..items.len() {
        if items[index].refusal.is_some() {
            continue;
        }
        let place = (items[index].below.clone(), items[index].identifier.collision_key());
        if let Some(&first) = first_at.get(&place) {
            let target = items[index].target().display().to_string();
            let other = |other: usize| ItemError::Clash {
                other: items[other].keys_file.clone(),
                target: target.clone(),
            };
            let (for_first, for_this) = (other(index), other(first));
            items[first].refusal.get_or_insert(for_first);
            items[index].refusal = Some(for_this);
        } else {
            first_at.insert(place, index);
        }
    }
    refuse_nested(items, &first_at);
}

/// A table is a directory that is replaced as a whole: no other may lie in it. What is refused anyway never
/// will.
fn refuse_nested(items: &mut [Planned], first_at: &HashMap<(PathBuf, String), usize>) {
    let place_of = |directory: &Path| {
        let name = directory.file_name()?.to_str()?.to_ascii_lowercase();
        first_at.get(&(directory.parent()?.to_owned(), name)).copied()
    };
    let mut outer_of: HashMap<PathBuf, Option<usize>> = HashMap::new();
    let refused: Vec<bool> = items.iter().map(|item| item.refusal.is_some()).collect();
    for (inner, _) in refused.iter().enumerate().filter(|(_, is_refused)| !**is_refused) {
        let below = &items[inner].below;
        if !outer_of.contains_key(below) {
            outer_of.insert(below.clone(), below.ancestors().find_map(place_of));
        }
        let Some(outer) = outer_of[below] else { continue };
        let nested = |other: &Planned| ItemError::Nested {
            other: other.keys_file.clone(),
            target: other.target().display().to_string(),
        };
        let (for_inner, for_outer) = (nested(&items[outer]), nested(&items[inner]));
        items[inner].refusal.get_or_insert(for_inner);
        items[outer].refusal.get_or_insert(for_outer);
    }
}

/// Bytes of memory in flight.
///
/// Invariant: `reserved` exceeds `limit` by no more than what reservations were extended by.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: u64,
    reserved: u64,
}

/// A part of the budget. Giving it back to [`MemoryBudget::release`] is the only way to be rid of it.
#[must_use = "what is reserved must be released"]
#[derive(Debug)]
pub(crate) struct Reservation(u64);

impl Reservation {
    pub(crate) const fn bytes(&self) -> u64 {
        self.0
    }
}

impl MemoryBudget {
    /// What small sets may have in flight, however many threads there are, and also while every CPU
    /// has the largest at work.
    const SHARED_BYTES: u64 = 48 << 20;

    /// The budget of a job: what its limits allow, but no more than that every CPU has the largest
    /// item at work, and small ones beside.
    pub(crate) fn of_job(job: &Job, items: &[Arc<Planned>]) -> Self {
        let begun = items.iter().filter(|item| item.refusal.is_none());
        let largest = begun.map(|item| item.memory_bytes(job)).max().unwrap_or(0);
        let at_work = largest.saturating_mul(job.limits.cpus.get() as u64);
        let useful = at_work.saturating_add(Self::SHARED_BYTES);
        Self::new(job.limits.memory_bytes_max.min(useful))
    }

    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, reserved: 0 }
    }

    /// Bytes that may be reserved at once.
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether `bytes` of it are free now.
    pub(crate) const fn has(&self, bytes: u64) -> bool {
        bytes <= self.limit.saturating_sub(self.reserved)
    }

    /// Bytes that are reserved.
    pub(crate) const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// `bytes` of it, if they are free now.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Option<Reservation> {
        if !self.has(bytes) {
            return None;
        }
        self.reserved += bytes;
        Some(Reservation(bytes))
    }

    /// What holds a reservation takes so many bytes in all by now, whether more are free or not: nothing
    /// else gets any before they are.
    pub(crate) fn extend(&mut self, Reservation(reserved): &mut Reservation, bytes: u64) {
        let more = bytes.saturating_sub(*reserved);
        *reserved += more;
        self.reserved += more;
    }

    pub(crate) fn release(&mut self, reservation: Reservation) {
        let Reservation(bytes) = reservation;
        assert!(bytes <= self.reserved, "{bytes} bytes released of {self:?}");
        self.reserved -= bytes;
    }

    /// Whether nothing is reserved.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.reserved == 0
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use perfecta_emit::ArtifactKinds;

    use super::*;
    use crate::artifacts::{Artifacts, SelfTest};
    use crate::config::{Output, WidthRule};

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { path: path.into(), kind }
    }

    fn file(path: &str, bytes: u64) -> Entry {
        entry(path, EntryKind::File { bytes })
    }

    fn job() -> Job {
        Job { output: Some(Output::new("out")), ..Job::new(Inputs::tree("keys")) }
    }

    fn planned_alone(job: &Job, entry: Entry) -> Planned {
        plan(job, None, vec![entry]).remove(0)
    }

    #[test]
    fn the_largest_comes_first_then_names_decide() {
        let entries =
            vec![file("b.keys", 8), file("a.keys", 8), file("big.keys", 400), file("x.txt", 999)];
        let items = plan(&job(), None, entries.clone());
        let names: Vec<_> = items.iter().map(|item| item.identifier.as_str()).collect();
        assert_eq!(names, ["big", "a", "b"]);
        let reversed = plan(&job(), None, entries.into_iter().rev().collect());
        assert_eq!(items, reversed);
    }

    #[test]
    fn what_cannot_be_built_is_refused_by_name_before_it_runs() {
        let mut job = job();
        job.limits.memory_bytes_max = 1 << 20;
        let check = |entries: Vec<Entry>, expected: &[&str]| {
            let items = plan(&job, None, entries);
            let messages: Vec<String> = items
                .iter()
                .map(|item| item.refusal.as_ref().map(ToString::to_string).unwrap_or_default())
                .collect();
            assert_eq!(messages, expected);
        };
        check(
            vec![
                file("a-b.keys", 8),
                file("a_b.keys", 8),
                file("c.keys", 8),
                file("d/a_b.keys", 4),
            ],
            &[
                "keys/a_b.keys goes to the same place, a_b",
                "keys/a-b.keys goes to the same place, a_b",
                "",
                "",
            ],
        );
        check(
            vec![
                file("a.keys", 8),
                file("A/B/c.keys", 4),
                file("A/d.keys", 4),
                file("b/a.keys", 4),
            ],
            &[
                "keys/A/B/c.keys goes to A/B/c: one place lies in the other",
                "keys/a.keys goes to a: one place lies in the other",
                "keys/a.keys goes to a: one place lies in the other",
                "",
            ],
        );
        check(
            vec![entry("pipe.keys", EntryKind::Special("FIFO"))],
            &["cannot open keys/pipe.keys: it is a FIFO, not a regular file"],
        );
        check(
            vec![entry("x.keys", EntryKind::Directory), file("x.keys/y.keys", 4)],
            &["", "cannot open keys/x.keys: it is a directory, not a regular file"],
        );
        check(
            vec![file("a.keys", 8), entry("a/b.keys", EntryKind::Special("FIFO"))],
            &["", "cannot open keys/a/b.keys: it is a FIFO, not a regular file"],
        );
        let large = planned_alone(&job, file("large.keys", 1 << 20));
        let needed = large.memory_bytes(&job);
        check(
            vec![file("large.keys", 1 << 20)],
            &[&format!("it needs about {needed} bytes of memory, the limit is 1048576")],
        );
        check(
            vec![file("huge.keys", (1 << 32) + 4)],
            &["1073741825 keys are more than a table can hold (1073741824)"],
        );
        check(
            vec![file(".perfecta-stage-1-0/a.keys", 4)],
            &["its directory's name is kept for perfecta's stages"],
        );
    }

    #[test]
    fn more_keys_than_a_table_holds_may_be_fewer_when_they_are_read() {
        let mut job = job();
        job.keys.repair.dedupe = true;
        job.limits.memory_bytes_max = 1 << 20;
        let most = planned_alone(&job, file("most.keys", 4 << 30));
        let more = planned_alone(&job, file("more.keys", 5 << 30));
        let needed = more.memory_bytes(&job);
        assert_eq!(needed - most.memory_bytes(&job), 2 << 30, "the file and its keys");
        assert_eq!(more.refusal, Some(ItemError::Memory { needed, limit: 1 << 20 }));
    }

    #[test]
    fn whatever_was_published_of_a_key_file_is_read_in_its_memory() {
        const MANIFEST_BYTES_MAX: u64 = 4 << 10;
        let mut job = job();
        let all = Artifacts::new(ArtifactKinds::all(), SelfTest::WithKeys);
        for width in [KeyWidth::Bits32, KeyWidth::Bits64] {
            job.keys.width = WidthRule::Fixed(width);
            for keys in (0..=26).flat_map(|log2| [1 << log2, (1 << log2) + 1_u64]) {
                let file = file("a.keys", keys * width.bytes() as u64);
                let planned = planned_alone(&job, file);
                let geometry = Geometry::for_keys(keys as usize).unwrap();
                let found = all.estimate(keys, width, geometry).bytes + MANIFEST_BYTES_MAX;
                let bytes_max = planned.found_bytes_max(&job);
                assert!(found <= bytes_max, "{found} of {keys} keys, {bytes_max} are read");
            }
        }
    }

    #[test]
    fn text_that_is_written_is_reserved_with_the_table() {
        let job = job();
        let memory = |kinds: &str, self_test, keys: u64| {
            let renderer = Artifacts::new(kinds.parse().unwrap(), self_test);
            let file = file("a.keys", 4 * keys);
            plan(&job, Some(&renderer), vec![file]).remove(0).memory_bytes(&job)
        };
        let check = |self_test, keys: u64, expected: Range<u64>| {
            let table = memory("pht", SelfTest::FromFile, keys);
            let text = memory("all", self_test, keys) - table;
            assert!(expected.contains(&text), "{text} for {keys} keys");
            let alone = planned_alone(&job, file("a.keys", 4 * keys)).memory_bytes(&job);
            assert!(table.abs_diff(alone) < 1 << 10, "{table} {alone}");
        };
        // Numbers of the array and keys of 11 bytes, in two languages; small tables count as full.
        check(SelfTest::FromFile, 1, 6_000..12_000);
        check(SelfTest::WithKeys, 1, 6_000..12_000);
        check(SelfTest::FromFile, 40_000, 1_000_000..1_100_000);
        check(SelfTest::WithKeys, 40_000, 2_500_000..2_700_000);
        check(SelfTest::FromFile, 1_200_000, 30_000_000..31_000_000);
        check(SelfTest::WithKeys, 1_200_000, 56_000_000..58_000_000);
    }

    #[test]
    fn a_table_that_is_doubled_at_first_takes_as_much_as_the_larger_one() {
        let renderer = Artifacts::new(ArtifactKinds::all(), SelfTest::FromFile);
        let planned = |keys: u64, grows_initial: u8| {
            let mut job = job();
            job.search.grows_initial = grows_initial;
            let planned = plan(&job, Some(&renderer), vec![file("a.keys", 4 * keys)]).remove(0);
            (planned.memory_bytes(&job), planned.rendered_bytes)
        };
        for keys in [1_000, 400_000] {
            let (plain, grown) = (planned(keys, 0), planned(keys, 3));
            assert!(grown.0 > 4 * plain.0, "{plain:?} {grown:?}");
            assert!(grown.1 > 4 * plain.1, "{plain:?} {grown:?}");
        }
        // Never searched: only its keys are read.
        assert_eq!(planned(1_000, 100), planned(1_000, 0));
    }

    #[test]
    fn text_that_is_too_much_for_the_memory_is_refused_before_it_runs() {
        let mut job = job();
        let table = planned_alone(&job, file("a.keys", 4_800_000)).memory_bytes(&job);
        job.limits.memory_bytes_max = table + (1 << 20);
        let refusal = |kinds: &str| {
            let renderer = Artifacts::new(kinds.parse().unwrap(), SelfTest::WithKeys);
            plan(&job, Some(&renderer), vec![file("a.keys", 4_800_000)]).remove(0).refusal
        };
        assert_eq!(refusal("pht"), None);
        let limit = job.limits.memory_bytes_max;
        assert!(matches!(refusal("all"), Some(ItemError::Memory { needed, limit: said })
            if needed > table + 50_000_000 && said == limit));
        let packed = Output { layout: Layout::Packed, ..Output::new("out") };
        let job = Job { output: Some(packed), ..job.clone() };
        let renderer = Artifacts::new(ArtifactKinds::all(), SelfTest::WithKeys);
        let packed = plan(&job, Some(&renderer), vec![file("a.keys", 4_800_000)]).remove(0);
        assert_eq!(packed.memory_bytes(&job), table, "a pack has no text");
    }

    #[test]
    fn threads_beyond_the_cpus_get_no_more_memory() {
        let check = |file_bytes: u64, cpus: usize, expected: fn(u64) -> u64| {
            let mut job = job();
            job.limits.threads = 256.try_into().unwrap();
            job.limits.cpus = cpus.try_into().unwrap();
            job.limits.memory_bytes_max = 8 << 30;
            let items = plan(&job, None, vec![file("a.keys", file_bytes), file("b.keys", 8)]);
            let items: Vec<Arc<Planned>> = items.into_iter().map(Arc::new).collect();
            let budget = MemoryBudget::of_job(&job, &items);
            assert_eq!(budget.limit, expected(items[0].memory_bytes(&job)));
        };
        check(1 << 10, 2, |largest| 2 * largest + MemoryBudget::SHARED_BYTES);
        check(64 << 20, 2, |largest| 2 * largest + MemoryBudget::SHARED_BYTES);
        check(64 << 20, 1, |largest| largest + MemoryBudget::SHARED_BYTES);
        check(64 << 20, 64, |_| 8 << 30);
    }

    #[test]
    fn memory_is_given_out_once() {
        let mut budget = MemoryBudget::new(10);
        let six = budget.reserve(6).unwrap();
        assert!(budget.reserve(5).is_none());
        let four = budget.reserve(4).unwrap();
        budget.release(six);
        assert!(!budget.is_quiet());
        budget.release(four);
        assert!(budget.is_quiet());
    }

    #[test]
    fn what_takes_more_than_was_reserved_lets_nothing_else_begin() {
        let mut budget = MemoryBudget::new(10);
        let mut six = budget.reserve(6).unwrap();
        budget.extend(&mut six, 5);
        assert_eq!((six.bytes(), budget.reserved()), (6, 6), "it takes no more");
        budget.extend(&mut six, 12);
        assert_eq!((six.bytes(), budget.reserved()), (12, 12));
        assert!(!budget.has(1));
        budget.release(six);
        assert!(budget.is_quiet() && budget.has(10));
    }
}
