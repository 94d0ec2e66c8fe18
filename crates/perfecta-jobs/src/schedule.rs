//! The order of items, and which of them will not run.
//!
//! Files first: largest first, then by the bytes of their paths, so that the longest work does not
//! begin last. What is refused whatever its keys is known here, before anything runs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use perfecta_core::geometry::Geometry;
use perfecta_core::key::KeyWidth;
use perfecta_core::search::Plan;
use perfecta_emit::Identifier;
use perfecta_io::{Entry, EntryKind, IoError, IoErrorKind};

use crate::config::{Inputs, Job, Layout};
use crate::error::ItemError;
use crate::names::NameFilter;
use crate::places::STAGE_PREFIX;
use crate::planned::{Planned, largest_table, smallest_table, table_bytes};
use crate::render::Renderer;

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
    match entry.kind {
        // Whatever it leads to is not walked.
        EntryKind::Unreadable(IoError { kind: IoErrorKind::LinkBelowRoot, .. }) => {
            names.admits(&entry.path)
        }
        EntryKind::Unreadable(_) => names.may_hide_inputs(&entry.path),
        EntryKind::File { .. }
        | EntryKind::Unmeasured
        | EntryKind::Directory
        | EntryKind::Special(_)
        | EntryKind::BrokenLink(_) => names.admits(&entry.path),
    }
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
        | EntryKind::BrokenLink(_)
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
    item.refusal = refusal(job, &item, entry.kind).map(Box::new);
    item
}

fn refusal(job: &Job, item: &Planned, kind: EntryKind) -> Option<ItemError> {
    let checked = job.keys.check_file(&item.keys_file, kind, job.limits.input_bytes_max);
    if let Err(error) = checked {
        return Some(error);
    }
    let is_reserved =
        |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(STAGE_PREFIX.as_bytes());
    if job.output.is_some() && item.below.iter().any(is_reserved) {
        return Some(ItemError::ReservedName);
    }
    let (needed, limit) = (item.memory_bytes(job), job.limits.memory_bytes_max);
    let grows = job.search.grows_initial;
    (needed > limit).then(|| match item.undoubled_memory_bytes(job) <= limit {
        true => ItemError::DoubledMemory { grows, needed, limit },
        false => ItemError::Memory { needed, limit },
    })
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
            let for_first = Box::new(clash(&items[first], &items[index]));
            let for_this = Box::new(clash(&items[index], &items[first]));
            items[first].refusal.get_or_insert(for_first);
            items[index].refusal = Some(for_this);
        } else {
            first_at.insert(place, index);
        }
    }
    refuse_nested(items, &first_at);
}

/// Why an item is refused that has one place with another.
fn clash(item: &Planned, other: &Planned) -> ItemError {
    let (target, other_target) = (item.target(), other.target());
    let (is_same, target) = (target == other_target, other_target.display().to_string());
    let other = other.keys_file.clone();
    match is_same {
        true => ItemError::Clash { other, target },
        false => ItemError::ClashByCase { other, target },
    }
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
        let is_within = items[inner].below.starts_with(items[outer].target());
        let nested = |other: &Planned| {
            let (target, other) = (other.target().display().to_string(), other.keys_file.clone());
            Box::new(match is_within {
                true => ItemError::Nested { other, target },
                false => ItemError::NestedByCase { other, target },
            })
        };
        let (for_inner, for_outer) = (nested(&items[outer]), nested(&items[inner]));
        items[inner].refusal.get_or_insert(for_inner);
        items[outer].refusal.get_or_insert(for_outer);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use perfecta_core::graph::Attempter;
    use perfecta_emit::ArtifactKinds;
    use perfecta_io::{IoError, IoErrorKind, Operation, thousands};

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
                "keys/A/B/c.keys goes to A/B/c: one place lies in the other where file systems ignore upper and lower case",
                "keys/a.keys goes to a: one place lies in the other where file systems ignore upper and lower case",
                "keys/a.keys goes to a: one place lies in the other where file systems ignore upper and lower case",
                "",
            ],
        );
        check(
            vec![file("a.keys", 8), file("a/d.keys", 4)],
            &[
                "keys/a/d.keys goes to a/d: one place lies in the other",
                "keys/a.keys goes to a: one place lies in the other",
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
            &[&format!(
                "it needs about {} bytes of memory, the limit is 1,048,576",
                thousands(needed)
            )],
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
    fn a_link_that_no_root_lets_in_is_an_input_only_by_its_name() {
        let link = |path: &str| {
            let kind = IoErrorKind::LinkBelowRoot;
            let error = IoError::new(Operation::Open, &Path::new("keys").join(path), kind);
            entry(path, EntryKind::Unreadable(error))
        };
        let mut job = job();
        job.inputs = Inputs::tree("keys");
        let items = plan(&job, None, vec![link("README.txt"), link("below"), link("a.keys")]);
        let taken: Vec<_> = items.iter().map(|item| item.keys_file.as_path()).collect();
        assert_eq!(taken, [Path::new("keys/a.keys")]);
    }

    #[test]
    fn what_is_excluded_is_no_input_though_it_cannot_be_read() {
        let denied = || {
            let error =
                IoError::new(Operation::Open, Path::new("keys/lost+found"), IoErrorKind::Cancelled);
            entry("lost+found", EntryKind::Unreadable(error))
        };
        let num_items = |exclude: &[&str]| {
            let mut job = job();
            let names = NameFilter::new(job.keys.width, &[], exclude).unwrap();
            job.inputs = Inputs::Tree { root: "keys".into(), names };
            plan(&job, None, vec![denied(), file("a.keys", 4)]).len()
        };
        assert_eq!(
            [num_items(&[]), num_items(&["lost+found"]), num_items(&["lost+found/**"])],
            [2, 1, 1]
        );
    }

    #[test]
    fn keys_of_what_is_refused_are_not_counted() {
        let job = job();
        let sparse = |number: u32| file(&format!("{number}.keys"), i64::MAX as u64);
        let mut entries: Vec<Entry> = (0..9).map(sparse).collect();
        entries.push(file("a.keys", 12));
        let items = plan(&job, None, entries);
        assert_eq!(items.iter().map(|item| item.num_keys_counted(&job)).sum::<u64>(), 3);
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
        assert_eq!(more.refusal.as_deref(), Some(&ItemError::Memory { needed, limit: 1 << 20 }));
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
    fn before_there_is_a_table_what_is_reserved_is_enough_to_look_for_an_obstacle() {
        for output in [None, job().output] {
            let job = Job { output, ..job() };
            for keys in [2, 300, 32_768, 65_536, 1 << 18, 1 << 20] {
                let item = planned_alone(&job, file("a.keys", 4 * keys));
                let (solved, geometry) = largest_table(&job.search, keys);
                let searched = 8 * keys + Attempter::memory_bytes(solved, geometry);
                let needed = searched + Attempter::obstacle_memory_bytes(solved);
                let reserved = item.memory_bytes(&job);
                assert!(needed <= reserved, "{keys} keys: {needed}, {reserved}");
            }
        }
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
    fn a_table_that_doublings_make_too_large_leads_to_fewer_of_them() {
        let mut job = job();
        let refusal = |job: &Job| planned_alone(job, file("a.keys", 4_092)).refusal;
        job.limits.memory_bytes_max = 1 << 20;
        assert_eq!(refusal(&job), None);
        job.search.grows_initial = 19;
        let refused = refusal(&job).unwrap();
        assert!(
            refused.to_string().starts_with("with 19 doublings at first it needs about "),
            "{refused}"
        );
        assert!(refused.remedy().unwrap().starts_with("ask for fewer doublings"));
        job.search.grows_initial = 0;
        job.limits.memory_bytes_max = 1 << 10;
        assert!(!refusal(&job).unwrap().remedy().unwrap().contains("doublings"));
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
        assert!(
            matches!(refusal("all").as_deref(), Some(&ItemError::Memory { needed, limit: said })
            if needed > table + 50_000_000 && said == limit)
        );
        let packed = Output { layout: Layout::Packed, ..Output::new("out") };
        let job = Job { output: Some(packed), ..job.clone() };
        let renderer = Artifacts::new(ArtifactKinds::all(), SelfTest::WithKeys);
        let packed = plan(&job, Some(&renderer), vec![file("a.keys", 4_800_000)]).remove(0);
        assert_eq!(packed.memory_bytes(&job), table, "a pack has no text");
    }
}
