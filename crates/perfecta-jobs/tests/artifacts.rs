//! Jobs with the artifacts that users get.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Fault, Faulty, flip_last, job, planned, run_all, three_good, tree};
use perfecta_core::format::pack::PackView;
use perfecta_io::{Call, FaultPlan};
use perfecta_jobs::{Artifacts, CancelFlag, Event, Inputs, Layout, Runtime, SelfTest};
use perfecta_jobs::{Verification, dry_run, verify};

fn artifacts(kinds: &str) -> Artifacts {
    Artifacts::new(kinds.parse().unwrap(), SelfTest::FromFile)
}

fn check_all(self_test: SelfTest) {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let artifacts = Artifacts::new("all".parse().unwrap(), self_test);
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    let mut job = job(input.path(), out.path());
    // As much as there is of input, and no more: of output there is more.
    (job.limits.entries_max, job.limits.depth_max) = (4, 2);
    let planned = dry_run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap();
    let (summary, _) = run_all(&job, &runtime);
    assert_eq!((summary.ok, summary.files), (3, planned.files));
    assert!(planned.bytes.abs_diff(summary.bytes) * 10 < summary.bytes, "{planned:?} {summary:?}");
    assert_eq!(run_all(&job, &runtime).0.unchanged, 3);
    let verification = Verification {
        keys: Some(Inputs::tree(input.path())),
        limits: job.limits.clone(),
        ..Verification::new(out.path())
    };
    let summary = verify(&verification, &runtime, &mut |_: &Event<'_>| {}).unwrap();
    assert_eq!((summary.ok, summary.failed), (3, 0));
}

#[test]
fn all_artifacts_are_published_verified_and_found_unchanged() {
    check_all(SelfTest::FromFile);
    check_all(SelfTest::WithKeys);
}

#[test]
fn a_dry_run_knows_of_tables_that_are_doubled_at_first() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    let artifacts = artifacts("all");
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    for layout in [Layout::Dirs, Layout::Packed] {
        let out = tempfile::tempdir().unwrap();
        let mut job = job(input.path(), out.path());
        job.output.as_mut().unwrap().layout = layout;
        job.search.grows_initial = 3;
        let planned = dry_run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap();
        let (summary, _) = run_all(&job, &runtime);
        assert_eq!((planned.tables, summary.ok), (3, 3));
        let difference = planned.bytes.abs_diff(summary.bytes);
        assert!(difference * 10 < summary.bytes, "{planned:?} {summary:?}");
        job.search.grows_initial = 29;
        let planned = dry_run(&job, &runtime, &mut |_: &Event<'_>| {}).unwrap();
        let messages: Vec<_> = planned.refused.iter().map(|(_, error)| error.to_string()).collect();
        assert_eq!(messages, ["29 doublings pass the greatest table (2^31 vertices)"; 3]);
    }
}

#[test]
fn a_pack_is_what_the_library_maps() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let artifacts = artifacts("pht");
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    let mut job = job(input.path(), out.path());
    job.output.as_mut().unwrap().layout = Layout::Packed;
    run_all(&job, &runtime);
    let files = tree(out.path());
    let bytes = &files[std::path::Path::new("tables.packed/tables.phtpack")];
    let pack = PackView::decode(bytes).unwrap();
    let table = pack.get(b"below/large").unwrap().table().unwrap();
    assert_eq!((table.index(104_729u32), table.index(104_729u32 * 3000)), (0, 2999));
    let names: Vec<_> = pack.iter().map(|entry| entry.name).collect();
    assert_eq!(names, [&b"below/large"[..], b"middle", b"small"]);
}

#[test]
fn a_byte_of_a_staged_file_that_is_another_on_the_disk_is_never_published() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    let artifacts = artifacts("c,pht");
    let run_with = |plan: &Arc<FaultPlan>, out: &Path| {
        let mut job = job(input.path(), out);
        job.limits.threads = 1.try_into().unwrap();
        let engines = planned(plan);
        let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
        run_all(&job, &Runtime { engines: &engines, ..runtime })
    };
    let (undisturbed, out) = (Arc::<FaultPlan>::default(), tempfile::tempdir().unwrap());
    run_with(&undisturbed, out.path());
    let staged = |call: &Call| call.path.to_string_lossy().contains(".perfecta-stage");
    let calls = undisturbed.calls(0);
    let mut caught = 0;
    for read in calls.iter().filter(|call| call.name == "read" && staged(call)) {
        let (plan, again) = (Arc::<FaultPlan>::default(), tempfile::tempdir().unwrap());
        let path = again.path().join(read.path.strip_prefix(out.path()).unwrap());
        plan.meanwhile(read.number, move || flip_last(&path));
        let (summary, reports) = run_with(&plan, again.path());
        assert_eq!((summary.ok, summary.failed), (2, 1), "{read}");
        let error = reports.values().find_map(|report| report.error.as_ref()).unwrap();
        assert_eq!(error.exit_class().code(), 9, "{error}");
        caught += 1;
    }
    // A table file, a header, a manifest.
    assert_eq!(caught, 3 * 3);
}

#[test]
fn a_byte_of_a_pack_that_is_another_on_the_disk_is_never_published() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    let artifacts = artifacts("pht");
    let mut caught = 0;
    for at in 0.. {
        let out = tempfile::tempdir().unwrap();
        let mut job = job(input.path(), out.path());
        job.output.as_mut().unwrap().layout = Layout::Packed;
        let faulty = Faulty::new(at, Fault::Flip);
        let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
        let (summary, reports) = run_all(&job, &Runtime { engines: &faulty, ..runtime.clone() });
        for report in reports.values().filter(|report| report.error.is_some()) {
            assert_eq!(report.error.as_ref().unwrap().exit_class().code(), 9, "{report:?}");
        }
        caught += u32::from(summary.failed > 0);
        if summary.ok > 0 {
            let verification = Verification {
                keys: Some(Inputs::tree(input.path())),
                ..Verification::new(out.path())
            };
            let found = verify(&verification, &runtime, &mut |_: &Event<'_>| {}).unwrap();
            assert_eq!(found.ok, summary.ok, "{at}");
        }
        if faulty.submitted() <= at {
            break;
        }
    }
    // The pack's one chunk and its index.
    assert_eq!(caught, 2);
}
