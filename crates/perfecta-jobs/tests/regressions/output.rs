//! Rows of files: too long, half written, shared, or with bytes of another table.

use std::path::Path;
use std::sync::Arc;

use perfecta_core::geometry::Geometry;
use perfecta_core::interrupt::{Interrupted, KeepGoing};
use perfecta_core::key::{KeySet, KeyWidth};
use perfecta_core::table::Table;
use perfecta_io::FileContent;
use perfecta_jobs::{
    CancelFlag, Durability, Estimate, Facts, ItemError, Job, Layout, RenderError, RenderedFile,
    Renderer, Runtime, Status,
};

use crate::common::{PlainRenderer, job, keys, run_all, tree};
use crate::stepped::{Process, Turns, limits};
use crate::told::Telling;

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

fn written(out: &str, layout: Layout, durability: Durability) -> Job {
    let mut job = job(Path::new("/in"), Path::new(out));
    let output = job.output.as_mut().unwrap();
    (output.layout, output.durability) = (layout, durability);
    job
}

#[test]
fn a22_a_run_never_has_more_on_the_disk_than_what_it_publishes() {
    for layout in [Layout::Dirs, Layout::Packed] {
        for durability in [Durability::Process, Durability::Power] {
            let process = Process::new(1);
            for number in 0..12 {
                process.write_keys(&format!("{number}.keys"), &keys(30 << (number / 2), 7919));
            }
            let limits = limits(3);
            let session = process.session(limits);
            let telling = Telling::default();
            let renderer: Arc<dyn Renderer> = Arc::new(PLAIN);
            session.submit(telling.request(written("/out", layout, durability), Some(renderer)));
            session.close();
            let mut turns = Turns::new(&process, &session, limits);
            let mut most = 0;
            while turns.next() {
                most = most.max(process.machine.bytes_used());
            }
            assert_eq!(telling.told().summary().ok, 12);
            assert_eq!(most, process.machine.bytes_used(), "{layout:?}, {durability:?}");
        }
    }
}

#[test]
fn a10_a28_a30_every_table_has_its_own_bytes_whatever_was_built_before_it() {
    let (input, all) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The largest begins: whatever it left somewhere would show in those after it.
    for number in 0..9 {
        let name = format!("t{number}.keys");
        std::fs::write(input.path().join(name), keys(5000 >> number, 7919 + number)).unwrap();
    }
    let runtime = Runtime::new(Some(&PLAIN), CancelFlag::default());
    assert_eq!(run_all(&job(input.path(), all.path()), &runtime).0.ok, 9);
    for number in 0..9 {
        let (alone, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = format!("t{number}.keys");
        std::fs::copy(input.path().join(&name), alone.path().join(&name)).unwrap();
        run_all(&job(alone.path(), out.path()), &runtime);
        let table = format!("t{number}");
        assert!(tree(&out.path().join(&table)) == tree(&all.path().join(&table)), "{table}");
    }
    let strange = |path: &std::path::PathBuf| !path.starts_with("t0") && path.iter().count() == 1;
    let at_the_top = tree(all.path()).into_keys().filter(strange).count();
    assert_eq!(at_the_top, 8, "tables share nothing beside them");
}

#[test]
fn a18_jobs_that_run_at_once_come_to_what_each_comes_to_alone() {
    let jobs = || {
        let mut jobs = Vec::new();
        for (number, layout) in [Layout::Dirs, Layout::Packed, Layout::Dirs].into_iter().enumerate()
        {
            let mut job = written(&format!("/out{number}"), layout, Durability::Process);
            job.search.seeds.rng_seed += number as u64;
            jobs.push(job);
        }
        jobs
    };
    let machine = |seed| {
        let process = Process::new(seed);
        for number in 0..9 {
            process.write_keys(&format!("{number}.keys"), &keys(40 << number, 7919));
        }
        process
    };
    let renderer: Arc<dyn Renderer> = Arc::new(PLAIN);
    let alone = machine(0);
    for job in jobs() {
        alone.run(vec![job], &renderer, limits(1));
    }
    for seed in 0..6 {
        let together = machine(seed);
        let (told, _) = together.run(jobs(), &renderer, limits(3));
        assert!(told.iter().all(|told| told.summary().ok == 9), "{told:?}");
        for out in ["/out0", "/out1", "/out2"] {
            let (together, alone) = (&together.machine, &alone.machine);
            assert!(together.tree(Path::new(out)) == alone.tree(Path::new(out)), "{out}");
        }
        // What is kept of a job is known by its own options, not by those of one beside it.
        let of_another = |(number, expected)| {
            let mut job = jobs().swap_remove(number);
            job.output.as_mut().unwrap().directory = "/out0".into();
            let (told, _) = together.run(vec![job], &renderer, limits(1));
            assert_eq!((told[0].summary().ok, told[0].summary().unchanged), expected);
        };
        [(0, (0, 9)), (2, (9, 0)), (0, (9, 0))].into_iter().for_each(of_another);
    }
}

#[test]
fn two_runs_into_one_directory_at_once_come_to_what_one_comes_to() {
    const FILES: u32 = 12;
    let renderer: Arc<dyn Renderer> = Arc::new(PLAIN);
    for durability in [Durability::Process, Durability::Power] {
        let job = |seeds: u64| {
            let mut job = written("/out", Layout::Dirs, durability);
            job.search.seeds.rng_seed += seeds;
            job
        };
        let process = |seed| {
            let process = Process::new(seed);
            for number in 0..FILES {
                process.write_keys(&format!("{number}.keys"), &keys(40 + number, 7919));
            }
            process
        };
        let alone = process(0);
        alone.run(vec![job(0)], &renderer, limits(1));
        let expected = alone.machine.tree(Path::new("/out"));
        let (mut overtaken, mut failed) = (0, 0);
        for seed in 0..20 {
            let together = process(seed);
            let (told, _) = together.run(vec![job(0), job(0)], &renderer, limits(3));
            for told in &told {
                let summary = told.summary();
                assert_eq!(summary.ok + summary.unchanged, FILES, "seed {seed}: {told:?}");
                // What was there before it was looked at was not searched for.
                let searched = told.reports.iter().filter(|report| report.search.is_some());
                overtaken += searched.filter(|report| report.status == Status::Unchanged).count();
            }
            assert!(together.machine.tree(Path::new("/out")) == expected, "seed {seed}");
            // Another table is not taken for ours.
            let together = process(seed);
            let (told, _) = together.run(vec![job(0), job(1)], &renderer, limits(3));
            for report in told.iter().flat_map(|told| &told.reports) {
                let is_overtaken = matches!(report.error, Some(ItemError::Overtaken { .. }));
                assert!(report.status == Status::Ok || is_overtaken, "seed {seed}: {report:?}");
                failed += usize::from(is_overtaken);
            }
        }
        assert!(overtaken > 0 && failed > 0, "{durability:?}: no run overtook the other");
    }
}

#[test]
fn two_runs_that_pack_into_one_directory_at_once_come_to_what_one_comes_to() {
    let renderer: Arc<dyn Renderer> = Arc::new(PLAIN);
    for durability in [Durability::Process, Durability::Power] {
        let job = |seeds: u64| {
            let mut job = written("/out", Layout::Packed, durability);
            job.search.seeds.rng_seed += seeds;
            job
        };
        let process = |seed| {
            let process = Process::new(seed);
            for number in 0..9 {
                process.write_keys(&format!("{number}.keys"), &keys(40 + number, 7919));
            }
            process
        };
        let alone = process(0);
        let (told, _) = alone.run(vec![job(0)], &renderer, limits(1));
        let (bytes, files) = (told[0].summary().bytes, told[0].summary().files);
        let expected = alone.machine.tree(Path::new("/out"));
        let (mut overtaken, mut failed) = (0, 0);
        for seed in 0..20 {
            let together = process(seed);
            let (told, _) = together.run(vec![job(0), job(0)], &renderer, limits(3));
            let summaries = told.iter().map(|told| told.summary());
            for summary in summaries.clone() {
                assert!(summary.ok == 9 || summary.unchanged == 9, "seed {seed}: {told:?}");
            }
            // Each file is written once, whoever does it.
            assert_eq!(summaries.clone().map(|summary| summary.bytes).sum::<u64>(), bytes);
            assert_eq!(summaries.map(|summary| summary.files).sum::<u64>(), files);
            let searched = told.iter().filter(|told| told.reports[0].search.is_some());
            overtaken += usize::from(searched.count() == 2);
            assert!(together.machine.tree(Path::new("/out")) == expected, "seed {seed}");
            // Another pack is not taken for ours.
            let together = process(seed);
            let (told, _) = together.run(vec![job(0), job(1)], &renderer, limits(3));
            for report in told.iter().flat_map(|told| &told.reports) {
                let is_overtaken = matches!(report.error, Some(ItemError::Overtaken { .. }));
                assert!(report.status == Status::Ok || is_overtaken, "seed {seed}: {report:?}");
                failed += usize::from(is_overtaken);
            }
        }
        assert!(overtaken > 0 && failed > 0, "{durability:?}: no run overtook the other");
    }
}

#[test]
fn a21_empty_files_of_an_earlier_crash_neither_fail_a_table_nor_stand_for_one() {
    let process = Process::new(3);
    process.write_keys("a.keys", &keys(90, 7919));
    let renderer: Arc<dyn Renderer> = Arc::new(PLAIN);
    let run = || {
        let job = written("/out", Layout::Dirs, Durability::Process);
        process.run(vec![job], &renderer, limits(1)).0[0].report("a.keys").status
    };
    assert_eq!(run(), Status::Ok);
    let whole = process.machine.tree(Path::new("/out"));
    for (path, bytes) in whole.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let path = Path::new("/out").join(path);
        // With no manifest it is nobody's, and not for us to replace.
        if path.ends_with("manifest.json") {
            continue;
        }
        process.machine.write_file(&path, b"");
        process.machine.make_directories(Path::new("/out/.perfecta-stage-1-0/0"));
        process.machine.write_file(Path::new("/out/.perfecta-stage-1-0/0/a.pht"), b"");
        assert_eq!(run(), Status::Ok, "{}", path.display());
        assert_eq!(process.machine.read_file(&path).as_ref(), Some(bytes));
        assert!(process.machine.tree(Path::new("/out")) == whole);
    }
    assert_eq!(run(), Status::Unchanged);
}

/// Emits more files than anybody waits for at once.
struct Many;

impl Renderer for Many {
    fn fingerprint(&self) -> String {
        "many".to_owned()
    }

    fn render(
        &self,
        _facts: &Facts<'_>,
        _table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        artifacts.extend((0..300).map(|number| {
            let file = FileContent { name: format!("f{number}").into(), bytes: vec![7; number] };
            RenderedFile { kind: "pht", file }
        }));
        Ok(())
    }

    fn check(
        &self,
        files: &[FileContent],
        _keys: Option<&KeySet>,
        _keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        assert_eq!(files.len(), 300);
        Ok(Ok(()))
    }

    fn estimate(&self, _num_keys: u64, _width: KeyWidth, _geometry: Geometry) -> Estimate {
        Estimate { files: 300, bytes: 300 * 150 }
    }
}

#[test]
fn b20_a_table_may_have_any_number_of_files() {
    let process = Process::new(4);
    process.write_keys("a.keys", &keys(9, 5));
    let renderer: Arc<dyn Renderer> = Arc::new(Many);
    for status in [Status::Ok, Status::Unchanged] {
        let job = written("/out", Layout::Dirs, Durability::Power);
        let (told, _) = process.run(vec![job], &renderer, limits(1));
        assert_eq!(told[0].report("a.keys").status, status);
    }
    let tree = process.machine.tree(Path::new("/out/a"));
    assert_eq!(tree.len(), 301);
    assert!((0..300).all(|number| tree[Path::new(&format!("f{number}"))].len() == number));
}

/// Emits a file of so many bytes for every table.
struct Large(usize);

impl Renderer for Large {
    fn fingerprint(&self) -> String {
        format!("large {}", self.0)
    }

    fn render(
        &self,
        _facts: &Facts<'_>,
        _table: &Table,
        artifacts: &mut Vec<RenderedFile>,
    ) -> Result<(), RenderError> {
        let file = FileContent { name: "large".into(), bytes: vec![7; self.0] };
        artifacts.push(RenderedFile { kind: "pht", file });
        Ok(())
    }

    fn check(
        &self,
        files: &[FileContent],
        _keys: Option<&KeySet>,
        _keep_going: &KeepGoing<'_>,
    ) -> Result<Result<(), ItemError>, Interrupted> {
        assert_eq!(files.len(), 1);
        Ok(Ok(()))
    }

    fn estimate(&self, _num_keys: u64, _width: KeyWidth, _geometry: Geometry) -> Estimate {
        Estimate { files: 1, bytes: self.0 as u64 }
    }
}

#[test]
fn durable_tables_are_synced_together_up_to_eight_mebibytes() {
    // The last names are synced by their directory. What is staged during a sync shares the next.
    for (bytes, batches) in [(1 << 10, 1..=1), (5 << 20, 2..=2), (8 << 20, 2..=4)] {
        let process = Process::new(4);
        for name in ["a.keys", "b.keys", "c.keys", "d.keys"] {
            process.write_keys(name, &keys(9, 5));
        }
        let renderer: Arc<dyn Renderer> = Arc::new(Large(bytes));
        let job = written("/out", Layout::Dirs, Durability::Power);
        let (told, _) = process.run(vec![job], &renderer, limits(1));
        assert_eq!(told[0].report("d.keys").status, Status::Ok);
        let history = process.machine.history();
        let syncs =
            history.lines().filter(|line| line.contains("is to sync the file system of")).count();
        assert!(batches.contains(&syncs), "{syncs} for {bytes} bytes\n{history}");
    }
}
