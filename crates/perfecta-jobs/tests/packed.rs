//! Jobs that publish all tables in one file.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::path::Path;

use common::{Fault, Faulty, PlainRenderer, job, keys, run_all, three_good, tree};
use perfecta_io::thousands;
use perfecta_jobs::{
    CancelFlag, Durability, Event, ItemError, Job, Layout, Runtime, Status, Verification, run,
    verify,
};

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

fn runtime() -> Runtime<'static> {
    Runtime::new(Some(&PLAIN), CancelFlag::default())
}

fn packed(input: &Path, output: &Path) -> Job {
    let mut job = job(input, output);
    job.output.as_mut().unwrap().layout = Layout::Packed;
    job
}

#[test]
fn the_bytes_do_not_depend_on_threads_or_durability() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    std::fs::write(input.path().join("odd.keys"), [0; 9]).unwrap();
    for number in 1..40 {
        let name = format!("set-{number}.keys");
        std::fs::write(input.path().join(name), keys(number * 501, 1000 + number)).unwrap();
    }
    let built = |threads: usize, durability| {
        let out = tempfile::tempdir().unwrap();
        let mut job = packed(input.path(), out.path());
        job.limits.threads = threads.try_into().unwrap();
        job.output.as_mut().unwrap().durability = durability;
        let (summary, _) = run_all(&job, &runtime());
        assert_eq!((summary.ok, summary.failed, summary.files), (42, 1, 2));
        let tree = tree(out.path());
        assert_eq!(tree.len(), 3, "{:?}", tree.keys());
        assert_eq!(tree.values().map(|bytes| bytes.len() as u64).sum::<u64>(), summary.bytes);
        tree
    };
    let expected = built(1, Durability::Process);
    assert!(expected[Path::new("tables.packed/tables.phtpack")].len() > 1 << 20);
    for threads in [2, 4] {
        assert!(built(threads, Durability::Process) == expected, "{threads} threads");
        assert!(built(threads, Durability::Power) == expected, "{threads} threads, durable");
    }
}

#[test]
fn a_pack_that_is_there_is_not_written_again_and_what_is_not_ours_is_left() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let job = packed(input.path(), out.path());
    run_all(&job, &runtime());
    let (summary, _) = run_all(&job, &runtime());
    assert_eq!((summary.unchanged, summary.files, summary.keys), (3, 0, 3305));
    std::fs::write(input.path().join("small.keys"), keys(6, 77)).unwrap();
    let (summary, _) = run_all(&job, &runtime());
    assert_eq!((summary.ok, summary.keys), (3, 3306));
    let pack = out.path().join("tables.packed");
    std::fs::write(pack.join("tables.phtpack"), b"torn").unwrap();
    assert_eq!(run_all(&job, &runtime()).0.ok, 3);
    std::fs::write(pack.join("notes.txt"), b"mine").unwrap();
    let error = run(&job, &runtime(), &mut |_: &Event<'_>| {}).unwrap_err();
    assert_eq!(error.exit_class().code(), 7);
    assert!(pack.join("notes.txt").exists());
}

/// It is valid, and longer than may be in memory.
#[test]
fn a_packs_manifest_that_is_too_large_is_not_read() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let mut job = packed(input.path(), out.path());
    run_all(&job, &runtime());
    let manifest = out.path().join("tables.packed/manifest.json");
    let whole = std::fs::read(&manifest).unwrap();
    let padded = [&whole[..], &vec![b' '; 4 << 20]].concat();
    std::fs::write(&manifest, &padded).unwrap();
    let verification = Verification::new(out.path());
    assert_eq!(run_all(&job, &runtime()).0.unchanged, 3);
    job.limits.memory_bytes_max = 3 * padded.len() as u64;
    assert_eq!(run_all(&job, &runtime()).0.unchanged, 3);

    job.limits.memory_bytes_max -= 1;
    let mut bounded = verification.clone();
    bounded.limits.memory_bytes_max = padded.len() as u64 - 1;
    let mut told = Vec::new();
    verify(&bounded, &runtime(), &mut |event: &Event<'_>| {
        if let Event::Settled { report, .. } = event {
            let error = report.error.as_ref().unwrap();
            told.push((error.to_string(), error.remedy().unwrap()));
        }
    })
    .unwrap();
    let (message, remedy) = &told[0];
    assert!(message.contains("tables.packed/manifest.json"), "{message}");
    assert!(message.contains(&thousands(padded.len() as u64)), "{message}");
    assert_eq!((told.len(), *remedy), (3, "raise the memory limit (--memory)"));

    assert_eq!(run_all(&job, &runtime()).0.ok, 3);
    assert!(std::fs::read(&manifest).unwrap() == whole);
    assert_eq!(verify(&verification, &runtime(), &mut |_: &Event<'_>| {}).unwrap().ok, 3);
}

/// Whatever the limit: what stands there in the end is no more, and what of it fits is published.
#[test]
fn the_limit_of_output_bytes_is_that_of_the_whole_pack_with_its_manifest() {
    /// Digits of offsets, and what is never written of header, trailer and manifest at their longest.
    const SLACK_BYTES: u64 = 3 * 20 + 20 + 64;
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    let written = |output_bytes_max: u64| {
        let out = tempfile::tempdir().unwrap();
        let mut job = packed(input.path(), out.path());
        job.limits.output_bytes_max = output_bytes_max;
        let (summary, reports) = run_all(&job, &runtime());
        for report in reports.values().filter(|report| report.status != Status::Ok) {
            let error = report.error.as_ref().unwrap();
            assert!(matches!(error, ItemError::OutputLimit { .. }), "{error}");
        }
        let bytes: u64 = tree(out.path()).values().map(|bytes| bytes.len() as u64).sum();
        assert!(bytes <= output_bytes_max, "{bytes}, the limit is {output_bytes_max}");
        (summary.ok, bytes)
    };
    let (ok, all) = written(u64::MAX);
    assert_eq!(ok, 3);
    assert_eq!(written(all + SLACK_BYTES), (3, all));
    let mut numbers = std::collections::BTreeSet::new();
    for limit in (0..all + SLACK_BYTES).step_by(97) {
        numbers.insert(written(limit).0);
    }
    assert_eq!(Vec::from_iter(numbers), [0, 1, 2, 3]);
}

#[test]
fn tables_that_a_pack_will_hold_no_more_are_told_of() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let notices = || {
        let mut notices = Vec::new();
        run(&packed(input.path(), out.path()), &runtime(), &mut |event: &Event<'_>| {
            if let Event::Notice(notice) = event {
                notices.push((*notice).to_owned());
            }
        })
        .unwrap();
        notices
    };
    assert_eq!((notices(), notices()), (Vec::new(), Vec::new()));
    std::fs::write(input.path().join("new.keys"), keys(9, 77)).unwrap();
    assert_eq!(notices(), Vec::<String>::new());
    std::fs::rename(input.path().join("small.keys"), input.path().join("other.keys")).unwrap();
    std::fs::remove_file(input.path().join("middle.keys")).unwrap();
    let notices = notices();
    assert!(notices.len() == 1 && notices[0].starts_with("2 of the tables"), "{notices:?}");
}

#[test]
fn whichever_key_file_changed_a_pack_is_compared_whole_by_any_number_of_threads() {
    /// More than are compared at once, and one that is read in parts.
    const FILES: u32 = 150;
    const LARGE_KEYS: u32 = 1_100_000;
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |number: u32| input.path().join(format!("{number:03}.keys"));
    for number in 1..FILES {
        std::fs::write(file(number), keys(1 + FILES - number, 7919 + number)).unwrap();
    }
    std::fs::write(file(0), keys(LARGE_KEYS, 3)).unwrap();
    let built = |threads: usize| {
        let mut job = packed(input.path(), out.path());
        job.limits.threads = threads.try_into().unwrap();
        let summary = run_all(&job, &runtime()).0;
        (summary.ok, summary.unchanged)
    };
    assert_eq!(built(2), (FILES, 0));
    for threads in [1, 2, 5] {
        assert_eq!(built(threads), (0, FILES), "{threads} threads");
    }
    for number in [0, 1, 64, 65, FILES - 1] {
        let mut bytes = std::fs::read(file(number)).unwrap();
        // The largest key of all, so that the number of keys stays.
        *bytes.last_mut().unwrap() = 0xFF;
        std::fs::write(file(number), bytes).unwrap();
        assert_eq!(built(3), (FILES, 0), "file {number} changed");
        assert_eq!(built(3), (0, FILES), "file {number} is packed");
    }
    std::fs::rename(file(7), input.path().join("other.keys")).unwrap();
    assert_eq!(built(3), (FILES, 0), "a name changed");
}

#[test]
fn a_key_file_that_is_read_in_parts_may_lie_behind_a_link() {
    const LARGE_KEYS: u32 = 1_100_000;
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(elsewhere.path(), keys(LARGE_KEYS, 3)).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), input.path().join("large.keys")).unwrap();
    let built = || {
        let summary = run_all(&packed(input.path(), out.path()), &runtime()).0;
        (summary.ok, summary.unchanged)
    };
    assert_eq!((built(), built()), ((1, 0), (0, 1)));
}

/// Tables of the pack, all of which pass.
fn verified_tables(out: &Path, runtime: &Runtime<'_>) -> u32 {
    let summary = verify(&Verification::new(out), runtime, &mut |_: &Event<'_>| {}).unwrap();
    assert_eq!(summary.failed, 0);
    summary.ok
}

#[test]
fn whichever_operation_fails_the_old_pack_or_the_new_one_is_there() {
    let (input, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (new, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&packed(input.path(), old.path()), &runtime());
    let newer = |out: &Path| {
        let mut job = packed(input.path(), out);
        job.search.seeds.rng_seed += 1;
        job
    };
    run_all(&newer(new.path()), &runtime());
    let (old, new) = (tree(old.path()), tree(new.path()));
    for fault in [Fault::Once(28), Fault::Death, Fault::Cancel] {
        for at in 0.. {
            run_all(&packed(input.path(), out.path()), &runtime());
            let faulty = Faulty::new(at, fault);
            let failing = Runtime { engines: &faulty, cancel: faulty.cancel.clone(), ..runtime() };
            let mut ok = 0;
            let result = run(&newer(out.path()), &failing, &mut |event: &Event<'_>| {
                if let Event::Settled { report, .. } = event {
                    ok += u32::from(report.status == Status::Ok);
                }
            });
            let mut found = tree(out.path());
            found.retain(|path, _| !path.to_string_lossy().starts_with(".perfecta"));
            let is_new = found == new;
            // A fault at a key file fails its table alone: the pack has the others.
            let has_others = ok == 2 && verified_tables(out.path(), &runtime()) == 2;
            assert!(is_new || found == old || has_others, "{fault:?} at {at}: {:?}", found.keys());
            if fault != Fault::Death && result.is_ok() && ok > 0 {
                assert!(is_new || has_others, "{fault:?} at {at}: {ok} tables are not there");
            }
            assert_eq!(run_all(&newer(out.path()), &runtime()).0.failed, 0);
            assert!(tree(out.path()) == new, "the next run cleans up after {fault:?} at {at}");
            if faulty.submitted() <= at {
                assert!(at > 10, "only {at} operations");
                break;
            }
        }
    }
}
