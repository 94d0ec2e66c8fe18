//! Jobs that publish one directory for each table, on a real file system.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod common;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use common::{
    Fault, Faulty, Made, Overheard, PlainRenderer, job, keys, planned, run_all, three_good, tree,
};
use perfecta_io::FaultPlan;
use perfecta_jobs::{
    CancelFlag, Conflicts, Durability, Event, ExitClass, Inputs, ItemError, Job, JobError, Layout,
    NameFilter, Runtime, Status, WidthRule, dry_run, run,
};

const PLAIN: PlainRenderer = PlainRenderer { version: 1 };

fn runtime() -> Runtime<'static> {
    Runtime::new(Some(&PLAIN), CancelFlag::default())
}

fn output(job: &mut Job) -> &mut perfecta_jobs::Output {
    job.output.as_mut().unwrap()
}

#[test]
fn tables_are_published_with_a_manifest_and_nothing_else_is_left() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let (summary, reports) = run_all(&job(input.path(), out.path()), &runtime());
    assert_eq!((summary.ok, summary.files, summary.keys), (3, 9, 3305));
    let files: Vec<_> =
        tree(out.path()).into_keys().filter(|path| path.extension().is_some()).collect();
    assert_eq!(
        files,
        [
            "below/large/large.h",
            "below/large/large.pht",
            "below/large/manifest.json",
            "middle/manifest.json",
            "middle/middle.h",
            "middle/middle.pht",
            "small/manifest.json",
            "small/small.h",
            "small/small.pht",
        ]
        .map(Path::new)
    );
    let bytes: usize = tree(out.path()).values().map(Vec::len).sum();
    assert_eq!(summary.bytes, bytes as u64);
    assert_eq!(reports["large.keys"].search.unwrap().vertices, 8192);
}

/// One that leads nowhere was an invalid key file where it was met, and an error of the disk where it was named.
#[test]
fn of_links_that_lead_to_no_file_the_same_is_said_met_in_a_directory_and_named_alone() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (link, to, class) in [
        ("dangling.keys", "nowhere", ExitClass::Io),
        ("loop.keys", "loop.keys", ExitClass::Io),
        ("up.keys", ".", ExitClass::InvalidKeys),
    ] {
        let path = input.path().join(link);
        std::os::unix::fs::symlink(to, &path).unwrap();
        let named =
            Job { inputs: Inputs::Files(vec![path.clone()]), ..job(input.path(), out.path()) };
        let errors = [job(input.path(), out.path()), named].map(|job| {
            let (summary, mut reports) = run_all(&job, &runtime());
            assert_eq!(summary.exit_class(), class, "{link}");
            reports.remove(link).unwrap().error.unwrap()
        });
        let [met, named] = errors.each_ref().map(ToString::to_string);
        assert!(met.starts_with("cannot ") && met.contains(link), "{met}");
        assert!(met == named || link == "up.keys", "{met}; {named}");
        assert!(errors.iter().all(|error| error.remedy().is_some()), "{errors:?}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_bytes_do_not_depend_on_threads_or_durability() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    for number in 1..40 {
        let name = format!("set-{number}.keys");
        std::fs::write(input.path().join(name), keys(number * 13, 1000 + number)).unwrap();
    }
    let built = |threads: usize, durability| {
        let out = tempfile::tempdir().unwrap();
        let mut job = job(input.path(), out.path());
        job.limits.threads = threads.try_into().unwrap();
        output(&mut job).durability = durability;
        assert_eq!(run_all(&job, &runtime()).0.ok, 42);
        tree(out.path())
    };
    let expected = built(1, Durability::Process);
    for threads in [2, 4] {
        assert!(built(threads, Durability::Process) == expected, "{threads} threads");
        assert!(built(threads, Durability::Power) == expected, "{threads} threads, durable");
    }
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let job = job(input.path(), out.path());
    run_all(&job, &runtime());
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(out.path().join(name)).unwrap().ino()
    };
    let before = inode("small/small.pht");
    let (summary, _) = run_all(&job, &runtime());
    assert_eq!((summary.unchanged, summary.files, summary.keys), (3, 0, 3305));
    assert_eq!(inode("small/small.pht"), before);

    // Other keys, other options, and a torn file: each is built again, and only that.
    std::fs::write(input.path().join("small.keys"), keys(6, 77)).unwrap();
    std::fs::write(out.path().join("middle/middle.pht"), b"").unwrap();
    let (_, reports) = run_all(&job, &runtime());
    assert_eq!(reports["small.keys"].status, Status::Ok);
    assert_eq!(reports["middle.keys"].status, Status::Ok);
    assert_eq!(reports["large.keys"].status, Status::Unchanged);
    let other = PlainRenderer { version: 2 };
    let other = Runtime::new(Some(&other), CancelFlag::default());
    assert_eq!(run_all(&job, &other).0.ok, 3);
    std::fs::write(out.path().join("small/manifest.json"), b"").unwrap();
    assert_eq!(run_all(&job, &other).0.ok, 1);
}

#[test]
fn what_no_table_would_have_stays_beside_a_manifest_that_tells_nothing_or_cannot_be_read() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(input.path().join("small.keys"), keys(4, 77)).unwrap();
    let mut job = job(input.path(), out.path());
    job.limits.memory_bytes_max = 64 << 20;
    let file = |name: &str| out.path().join("small").join(name);
    // More than the job may read at once, and nothing on the disk.
    let write_large =
        |name: &str| std::fs::File::create(file(name)).unwrap().set_len(80 << 20).unwrap();
    std::fs::create_dir(out.path().join("small")).unwrap();
    let refused = |part: Option<&str>| {
        let error = run_all(&job, &runtime()).1["small.keys"].error.clone().unwrap();
        assert_eq!(error.exit_class().code(), 7);
        let small = out.path().join("small").display().to_string();
        let message = part.map_or(format!("{small} exists and is no table of ours"), |part| {
            format!("{small} holds {part}, which is no part of the table that goes there")
        });
        assert_eq!(error.to_string(), message);
    };
    std::fs::write(file("manifest.json"), br#"{"name": "a web page"}"#).unwrap();
    std::fs::write(file("index.html"), b"mine").unwrap();
    refused(Some("index.html"));
    write_large("film.mkv");
    refused(Some("film.mkv"));
    std::fs::remove_file(file("manifest.json")).unwrap();
    refused(Some("film.mkv"));
    std::fs::rename(file("index.html"), file("small.h")).unwrap();
    refused(Some("film.mkv"));
    assert!(file("small.h").exists() && file("film.mkv").exists());
    // Nothing but what a table of this name would have: a power cut may have left that.
    std::fs::rename(file("film.mkv"), file("small.pht")).unwrap();
    refused(None);
    std::fs::write(file("manifest.json"), b"").unwrap();
    assert_eq!(run_all(&job, &runtime()).0.ok, 1);
    assert_eq!(run_all(&job, &runtime()).0.unchanged, 1);
}

#[test]
fn a_place_that_cannot_be_looked_at_fails_alone() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(input.path().join("sub/deep")).unwrap();
    for name in ["sub/deep/a.keys", "b.keys"] {
        std::fs::write(input.path().join(name), keys(4, 77)).unwrap();
    }
    // A file stands where a directory would have to be.
    std::fs::write(out.path().join("sub"), b"mine").unwrap();
    let (summary, reports) = run_all(&job(input.path(), out.path()), &runtime());
    assert_eq!((summary.ok, summary.failed), (1, 1), "{reports:?}");
    assert_eq!(std::fs::read(out.path().join("sub")).unwrap(), b"mine");
}

#[test]
fn a_dry_run_hears_of_a_cancel_after_its_listing() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let job = job(input.path(), out.path());
    for call in 0.. {
        let plan = Arc::new(FaultPlan::default());
        let engines = planned(&plan);
        let cancel = CancelFlag::default();
        let runtime = Runtime { engines: &engines, ..Runtime::new(Some(&PLAIN), cancel.clone()) };
        plan.meanwhile(call, move || cancel.cancel());
        let told = dry_run(&job, &runtime, &mut |_: &Event<'_>| {});
        if plan.num_calls() <= call {
            assert!(told.is_ok() && call > 6, "{told:?}");
            break;
        }
        assert!(matches!(told, Err(JobError::Cancelled)), "call {call}: {told:?}");
    }
}

#[test]
fn what_the_name_of_a_key_file_says_is_part_of_its_table() {
    for layout in [Layout::Dirs, Layout::Packed] {
        let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = |name: &str| input.path().join(name);
        std::fs::write(file("a-b.keys"), keys(4, 77)).unwrap();
        let mut job = job(input.path(), out.path());
        job.keys.width = WidthRule::FromName;
        let names = NameFilter::new::<&str>(job.keys.width, &[], &[]).unwrap();
        job.inputs = Inputs::Tree { root: input.path().to_owned(), names };
        output(&mut job).layout = layout;
        let built = || {
            let summary = run_all(&job, &runtime()).0;
            (summary.ok, summary.unchanged, summary.keys)
        };
        assert_eq!(built(), (1, 0, 4));
        assert_eq!(built(), (0, 1, 4));
        // The same identifier and the same bytes, which are two keys of 64 bits now.
        std::fs::rename(file("a-b.keys"), file("a-b.keys64")).unwrap();
        assert_eq!(built(), (1, 0, 2), "{layout:?}");
        assert_eq!(built(), (0, 1, 2));
        // In directories a manifest says what the key file was called.
        std::fs::rename(file("a-b.keys64"), file("a+b.keys64")).unwrap();
        let expected = if layout == Layout::Dirs { (1, 0, 2) } else { (0, 1, 2) };
        assert_eq!(built(), expected, "{layout:?}");
    }
}

/// Two runs of other options into one place leave tables of both, where not all key files are of both.
#[test]
fn that_tables_of_other_options_are_replaced_is_told_once_for_all() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let told = |rng_seed| {
        let mut job = job(input.path(), out.path());
        job.search.seeds.rng_seed = rng_seed;
        let mut notices = Vec::new();
        let summary = run(&job, &runtime(), &mut |event: &Event<'_>| {
            if let Event::Notice(text) = event {
                notices.push((*text).to_owned());
            }
        });
        (summary.unwrap().ok, notices)
    };
    assert_eq!(told(1), (3, Vec::new()));
    let large = input.path().join("below/large.keys");
    let notice = format!(
        "{} and 2 files more: a table made with other options, or by another version, was there and is replaced",
        large.display()
    );
    assert_eq!(told(2), (3, vec![notice]));
    assert_eq!(told(2), (0, Vec::new()));
    // Other keys are no other options, nor is a key file of another name.
    std::fs::write(input.path().join("small.keys"), keys(9, 9)).unwrap();
    assert_eq!(told(2), (1, Vec::new()));
    std::fs::write(input.path().join("a-b.keys"), keys(9, 9)).unwrap();
    assert_eq!(told(2), (1, Vec::new()));
    std::fs::rename(input.path().join("a-b.keys"), input.path().join("a+b.keys")).unwrap();
    assert_eq!(told(2), (1, Vec::new()));
}

#[test]
fn what_is_not_ours_is_not_replaced_unless_told() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    std::fs::create_dir(out.path().join("small")).unwrap();
    std::fs::write(out.path().join("small/notes.txt"), b"mine").unwrap();
    std::fs::write(out.path().join("middle"), b"mine").unwrap();
    let mut job = job(input.path(), out.path());
    let (summary, reports) = run_all(&job, &runtime());
    assert_eq!((summary.ok, summary.failed, summary.exit_class().code()), (1, 2, 3));
    for name in ["small.keys", "middle.keys"] {
        assert_eq!(reports[name].error.as_ref().unwrap().exit_class().code(), 7, "{name}");
    }
    assert_eq!(std::fs::read(out.path().join("small/notes.txt")).unwrap(), b"mine");
    output(&mut job).conflicts = Conflicts::Replace;
    assert_eq!(run_all(&job, &runtime()).0.ok, 2);
    assert!(!out.path().join("small/notes.txt").exists());

    // A file that somebody put beside ours is not thrown away with them.
    output(&mut job).conflicts = Conflicts::Refuse;
    std::fs::write(out.path().join("small/notes.txt"), b"mine").unwrap();
    let (_, reports) = run_all(&job, &runtime());
    assert_eq!(reports["small.keys"].error.as_ref().unwrap().exit_class().code(), 7);
}

#[test]
fn every_bad_file_is_named_and_the_good_ones_are_built() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = input.path();
    three_good(root);
    std::fs::write(root.join("odd.keys"), [0; 9]).unwrap();
    std::fs::write(root.join("empty.keys"), []).unwrap();
    std::fs::write(root.join("duplicate.keys"), [1u32, 7, 7].map(u32::to_le_bytes).concat())
        .unwrap();
    std::fs::write(root.join("unsorted.keys"), [7u32, 1].map(u32::to_le_bytes).concat()).unwrap();
    std::fs::write(root.join("a-b.keys"), keys(3, 5)).unwrap();
    std::fs::write(root.join("a_b.keys"), keys(4, 5)).unwrap();
    // It is walked, and no key file.
    std::fs::create_dir(root.join("directory.keys")).unwrap();
    std::fs::write(root.join("directory.keys/inner.keys"), keys(5, 5)).unwrap();
    std::os::unix::fs::symlink("loop.keys", root.join("loop.keys")).unwrap();
    std::os::unix::fs::symlink("../below", root.join("below/again")).unwrap();
    std::os::unix::fs::symlink("small.keys", root.join("linked.keys")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe.keys"), fifo, mode, 0).unwrap();
    std::os::unix::net::UnixListener::bind(root.join("socket.keys")).unwrap();
    let foreign = std::ffi::OsStr::from_bytes(b"\xff\xfename.keys");
    std::fs::write(root.join(foreign), keys(9, 3)).unwrap();

    let (summary, reports) = run_all(&job(root, out.path()), &runtime());
    let error = |name: &str| {
        let report = &reports[name];
        assert_eq!(report.status, Status::Failed, "{name}");
        let error = report.error.as_ref().unwrap();
        (error.exit_class().code(), error.to_string())
    };
    let check = |name: &str, code: u8, part: &str| {
        let (found, message) = error(name);
        assert_eq!(found, code, "{name}: {message}");
        assert!(message.contains(part), "{name}: {message}");
    };
    check("odd.keys", 5, "1 byte is left at byte 0x8");
    check("empty.keys", 5, "no keys");
    check("duplicate.keys", 5, "duplicate key 0x00000007 at byte 0x8 (key 2), first at byte 0x4");
    check("unsorted.keys", 5, "0x00000001 at byte 0x4");
    check("a-b.keys", 7, "a_b.keys goes to the same place");
    check("a_b.keys", 7, "a-b.keys goes to the same place");
    check("loop.keys", 8, "symbolic link");
    check("pipe.keys", 5, "FIFO");
    check("socket.keys", 5, "socket");
    assert_eq!((summary.ok, summary.failed, summary.exit_class().code()), (6, 9, 3));
    for name in ["small", "middle", "below/large", "linked", "directory.keys/inner"] {
        assert!(out.path().join(name).join("manifest.json").exists(), "{name}");
    }
    let is_foreign = |path: &Path| path.to_string_lossy().starts_with("name_");
    assert!(tree(out.path()).keys().any(|path| is_foreign(path)));
}

#[test]
fn a_single_bad_file_gives_its_own_exit_code() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = input.path().join("odd.keys");
    std::fs::write(&file, [0; 9]).unwrap();
    let one = |path: &Path| {
        let job =
            Job { inputs: Inputs::Files(vec![path.to_owned()]), ..job(input.path(), out.path()) };
        run_all(&job, &runtime()).0.exit_class().code()
    };
    assert_eq!(one(&file), 5);
    assert_eq!(one(&input.path().join("absent.keys")), 8);
}

#[test]
fn nothing_is_written_into_the_input_and_nothing_found_is_an_error() {
    let input = tempfile::tempdir().unwrap();
    three_good(input.path());
    let check = |job: &Job, code| {
        let error = run(job, &runtime(), &mut |_: &perfecta_jobs::Event<'_>| {}).unwrap_err();
        assert_eq!(error.exit_class().code(), code, "{error}");
    };
    check(&job(input.path(), &input.path().join("out")), 7);
    let empty = tempfile::tempdir().unwrap();
    check(&job(empty.path(), &input.path().join("out")), 4);
    check(&job(&empty.path().join("absent"), empty.path()), 8);
}

#[test]
fn the_memory_and_output_limits_are_kept_by_name() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let mut job = job(input.path(), out.path());
    job.limits.memory_bytes_max = 120_000;
    let (_, reports) = run_all(&job, &runtime());
    assert_eq!(reports["large.keys"].error.as_ref().unwrap().exit_class().code(), 6);
    assert_eq!(reports["middle.keys"].status, Status::Ok);
    job.limits = perfecta_jobs::Limits { output_bytes_max: 100, ..Default::default() };
    let (summary, reports) = run_all(&job, &runtime());
    assert_eq!((summary.failed, summary.unchanged), (1, 2));
    assert_eq!(reports["large.keys"].error.as_ref().unwrap().exit_class().code(), 8);
}

/// The largest, which comes first, cannot be staged: the others have its bytes.
#[test]
fn a_table_that_fails_gives_back_the_bytes_that_it_was_allowed_to_write() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let mut job = job(input.path(), out.path());
    let (_, reports) = run_all(&job, &runtime());
    let bytes = |name: &str| reports[name].bytes;
    job.limits.output_bytes_max = bytes("large.keys");
    assert!(bytes("middle.keys") + bytes("small.keys") <= job.limits.output_bytes_max);
    std::fs::remove_dir_all(out.path()).unwrap();

    let undisturbed = Arc::<FaultPlan>::default();
    let engines = planned(&undisturbed);
    let (_, reports) = run_all(&job, &Runtime { engines: &engines, ..runtime() });
    assert_eq!(reports["large.keys"].status, Status::Ok);
    let error = reports["small.keys"].error.as_ref().unwrap();
    assert!(matches!(error, ItemError::OutputLimit { .. }), "{error}");
    let calls = undisturbed.calls(0);
    let written =
        |call: &&perfecta_io::Call| call.name == "write" && call.path.ends_with("large.pht");
    let number = calls.iter().find(written).unwrap().number;
    std::fs::remove_dir_all(out.path()).unwrap();

    let plan = Arc::<FaultPlan>::default();
    plan.inject(number..=number, perfecta_io::Fault::Errno(5));
    let engines = planned(&plan);
    let (summary, reports) = run_all(&job, &Runtime { engines: &engines, ..runtime() });
    assert_eq!(reports["large.keys"].error.as_ref().unwrap().exit_class().code(), 8);
    assert_eq!((summary.ok, summary.failed), (2, 1), "{reports:?}");
}

#[test]
fn a_dry_run_knows_the_files_and_about_the_bytes() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    std::fs::create_dir(input.path().join("x.keys")).unwrap();
    std::fs::write(input.path().join("empty.keys"), b"").unwrap();
    std::fs::write(input.path().join("odd.keys"), b"odd").unwrap();
    let job = job(input.path(), out.path());
    let planned = dry_run(&job, &runtime(), &mut |_: &Event<'_>| {}).unwrap();
    assert!(tree(out.path()).is_empty());
    let (summary, reports) = run_all(&job, &runtime());
    assert_eq!((planned.tables, planned.files, planned.keys), (3, summary.files, summary.keys));
    assert!(planned.bytes.abs_diff(summary.bytes) * 10 <= summary.bytes, "{planned:?} {summary:?}");
    assert_eq!(planned.refused.len(), 2);
    for (keys_file, error) in planned.refused {
        let name = keys_file.file_name().unwrap().to_str().unwrap();
        assert_eq!(reports[name].error.as_ref(), Some(&error), "{name}");
    }
}

/// Runs the job with operation 0, 1, 2, ... failing, until it is too short for the fault.
fn for_every_operation(
    job: &Job,
    fault: Fault,
    mut check: impl FnMut(usize, Option<JobError>, u32),
) {
    for at in 0.. {
        let faulty = Faulty::new(at, fault);
        let runtime = Runtime { engines: &faulty, cancel: faulty.cancel.clone(), ..runtime() };
        let mut not_built = 0;
        let result = run(job, &runtime, &mut |event: &perfecta_jobs::Event<'_>| {
            if let perfecta_jobs::Event::Settled { progress, .. } = event {
                let ledger = &progress.ledger;
                not_built = ledger.failed() + ledger.cancelled();
                assert_eq!(
                    ledger.queued() + ledger.running() + ledger.settled(),
                    ledger.admitted()
                );
            }
        });
        check(at, result.err(), not_built);
        if faulty.submitted() <= at {
            assert!(at > 10, "only {at} operations");
            return;
        }
    }
}

/// Every table is what `old` or `new` has, as a whole.
fn assert_whole(out: &Path, old: &Path, new: &Path, what: &str) {
    for table in ["small", "middle", "below/large"] {
        let found = tree(&out.join(table));
        let is_whole = found == tree(&new.join(table)) || found == tree(&old.join(table));
        assert!(is_whole, "{what}: {table} holds {:?}", found.keys());
    }
}

#[test]
fn whichever_operation_fails_no_table_is_partial_and_nothing_is_left() {
    for (durability, errno) in
        [(Durability::Process, 28), (Durability::Power, 28), (Durability::Power, 5)]
    {
        let (input, complete) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        three_good(input.path());
        run_all(&job(input.path(), complete.path()), &runtime());
        let out = tempfile::tempdir().unwrap();
        let empty = tempfile::tempdir().unwrap();
        let mut job = job(input.path(), &out.path().join("tables"));
        output(&mut job).durability = durability;
        for_every_operation(&job, Fault::Once(errno), |at, error, not_built| {
            let tables = out.path().join("tables");
            assert_whole(&tables, empty.path(), complete.path(), &format!("operation {at}"));
            let built = ["small", "middle", "below/large"].map(|table| tables.join(table).exists());
            let built = built.iter().filter(|exists| **exists).count() as u32;
            if error.is_none() && durability == Durability::Process {
                assert_eq!(built + not_built, 3, "operation {at}");
            }
            // The one fault may have hit the removal itself: the next run sweeps.
            let mut left = tree(&tables).into_keys();
            let left = left.any(|path| path.to_string_lossy().starts_with(".perfecta"));
            if left {
                run_all(&self::job(input.path(), &tables), &runtime());
                assert!(!tree(&tables).keys().any(|path| path.starts_with(".perfecta")));
            }
            let _ = std::fs::remove_dir_all(&tables);
        });
    }
}

#[test]
fn wherever_the_process_dies_the_old_or_the_new_tables_are_there_and_the_next_run_cleans_up() {
    let (input, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (new, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), old.path()), &runtime());
    let renderer = PlainRenderer { version: 2 };
    let newer = Runtime::new(Some(&renderer), CancelFlag::default());
    run_all(&job(input.path(), new.path()), &newer);
    let job = job(input.path(), out.path());
    for at in 0.. {
        run_all(&job, &runtime());
        let faulty = Faulty::new(at, Fault::Death);
        let dying = Runtime { engines: &faulty, ..newer.clone() };
        let _ = run(&job, &dying, &mut |_: &perfecta_jobs::Event<'_>| {});
        assert_whole(out.path(), old.path(), new.path(), &format!("death at {at}"));
        let (summary, _) = run_all(&job, &newer);
        assert_eq!(summary.failed, 0, "after a death at {at}");
        assert!(tree(out.path()) == tree(new.path()), "after a death at {at}");
        if faulty.submitted() <= at {
            break;
        }
    }
}

#[test]
fn a_cancelled_job_says_so_and_leaves_whole_tables_only() {
    let (input, complete) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    run_all(&job(input.path(), complete.path()), &runtime());
    let (out, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let job = job(input.path(), &out.path().join("tables"));
    let mut seen = std::collections::BTreeSet::new();
    for_every_operation(&job, Fault::Cancel, |at, error, cancelled| {
        let is_before_all = matches!(error, Some(JobError::Cancelled)) && cancelled == 0;
        assert!(error.is_none() || is_before_all, "cancel at {at}: {error:?}");
        let tables = out.path().join("tables");
        assert_whole(&tables, empty.path(), complete.path(), &format!("cancel at {at}"));
        assert!(!tree(&tables).keys().any(|path| path.to_string_lossy().contains(".perfecta")));
        seen.insert(cancelled);
        let _ = std::fs::remove_dir_all(&tables);
    });
    assert_eq!(Vec::from_iter(seen), [0, 1, 2, 3]);
}

#[test]
fn a_full_disk_ends_admissions_after_some_failures() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..20 {
        std::fs::write(input.path().join(format!("s{number}.keys")), keys(9, 5)).unwrap();
    }
    struct FullDisk(perfecta_io::BlockingEngine);
    impl perfecta_io::Engine for FullDisk {
        fn submit(&mut self, token: perfecta_io::Token, op: perfecta_io::Op) {
            let op = match op {
                perfecta_io::Op::WriteDirectory { parent, name, files } if !files.is_empty() => {
                    let path = parent.join(name);
                    // Stands for a write that finds the disk full.
                    perfecta_io::Op::Append {
                        path: "/dev/full".into(),
                        offset: 0,
                        bytes: path.into_os_string().into_encoded_bytes(),
                    }
                }
                op => op,
            };
            self.0.submit(token, op);
        }
        fn poll(&mut self) -> Option<perfecta_io::Completion> {
            let mut completion = self.0.poll()?;
            if let Err(failure) = &mut completion.outcome
                && failure.error.path == Path::new("/dev/full")
            {
                failure.error.kind = perfecta_io::IoErrorKind::System(28);
            }
            Some(completion)
        }
        fn wait(&mut self, timeout: Option<std::time::Duration>) {
            self.0.wait(timeout);
        }
        fn waker(&self) -> std::task::Waker {
            self.0.waker()
        }
        fn cancel(&mut self, token: perfecta_io::Token) {
            self.0.cancel(token);
        }
        fn num_in_flight(&self) -> usize {
            self.0.num_in_flight()
        }
        fn capacity(&self) -> usize {
            self.0.capacity()
        }
    }
    let engines = Made::by(|| Box::new(FullDisk(Default::default())));
    let runtime = Runtime { engines: &engines, ..runtime() };
    let (summary, reports) = run_all(&job(input.path(), out.path()), &runtime);
    assert_eq!((summary.failed, summary.exit_class().code()), (20, 3));
    let message = |report: &perfecta_jobs::ItemReport| report.error.as_ref().unwrap().to_string();
    let refused = reports.values().filter(|report| message(report).contains("not begun")).count();
    assert_eq!(refused, 17);
    assert!(tree(out.path()).is_empty());
}

#[test]
fn the_stage_of_a_living_run_is_left_alone() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let living = out.path().join(".perfecta-stage-1-0");
    std::fs::create_dir(&living).unwrap();
    let lock = std::fs::File::create(living.join("lock")).unwrap();
    lock.lock().unwrap();
    let dead = out.path().join(".perfecta-stage-2-0");
    std::fs::create_dir_all(dead.join("17")).unwrap();
    run_all(&job(input.path(), out.path()), &runtime());
    assert!(living.join("lock").exists());
    assert!(!dead.exists());
    drop(lock);
    run_all(&job(input.path(), out.path()), &runtime());
    assert!(!living.exists());
}

#[test]
fn what_is_not_built_in_says_so() {
    let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three_good(input.path());
    let runtime = Runtime::new(None, CancelFlag::default());
    let error =
        run(&job(input.path(), out.path()), &runtime, &mut |_: &perfecta_jobs::Event<'_>| {});
    assert!(matches!(error, Err(JobError::Unsupported(_))));
    let _ = Layout::Packed;
}

#[test]
fn a_table_that_another_run_published_first_is_left_alone_and_said_to_be_so() {
    // Another run is always a moment faster: it publishes whatever is about to be published.
    let publish_theirs = |op: &perfecta_io::Op| {
        if let perfecta_io::Op::Publish { target, .. } = op {
            std::fs::create_dir(target).unwrap();
            std::fs::write(target.join("theirs"), b"").unwrap();
        }
    };
    let rivals = Made::by(|| Box::new(Overheard::by(publish_theirs)));
    for (layout, place) in [(Layout::Dirs, "a"), (Layout::Packed, "tables.packed")] {
        let (input, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(input.path().join("a.keys"), keys(9, 5)).unwrap();
        let mut job = job(input.path(), out.path());
        output(&mut job).layout = layout;
        let (summary, reports) = run_all(&job, &Runtime { engines: &rivals, ..runtime() });
        assert_eq!(summary.exit_class().code(), 7);
        let report = reports.values().next().unwrap();
        let message = report.error.as_ref().unwrap().to_string();
        assert!(message.contains("made by somebody else meanwhile"), "{message}");
        let theirs = format!("{place}/theirs");
        assert!(tree(out.path()).keys().any(|name| name.ends_with(&theirs)), "{place}");
    }
}
