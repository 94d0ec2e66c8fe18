//! Rings, plain calls, and rings that are forbidden: the same trees, and one notice.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "how long each took is worth knowing")]

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Place, Run, forget, generated_keys, shared_keys};

/// Who waits for disks, and what a ring is answered.
#[derive(Debug, Clone, Copy)]
struct Way {
    backend: &'static str,
    ring: Answer,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    AsUsual,
    /// An error number, by a filter of system calls, as containers have it.
    Forbidden(i32),
}

/// Runs, with rings answered so.
fn run(place: &Place, ring: Answer, arguments: &[&str]) -> Run {
    match ring {
        Answer::AsUsual => place.run(arguments),
        // The filter stays with the thread and what it starts.
        Answer::Forbidden(errno) => std::thread::scope(|scope| {
            let filtered = scope.spawn(move || {
                forbid_rings(errno);
                place.run(arguments)
            });
            filtered.join().unwrap()
        }),
    }
}

fn forbid_rings(errno: i32) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let rules = [(libc::SYS_io_uring_setup, Vec::new())].into();
    let forbidden = SeccompAction::Errno(errno as u32);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, forbidden, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Whether this machine lets us have rings at all.
fn has_rings(place: &Place) -> bool {
    place.write_keys("one.keys", &[1, 2]);
    let probe = ["create", "one.keys", "--no-output", "--io-backend", "io_uring"];
    let probed = place.run(&probe);
    if probed.code != 0 {
        println!("skipped for rings: {}", probed.err);
    }
    probed.code == 0
}

fn ways(place: &Place) -> Vec<Way> {
    let mut ways = vec![
        Way { backend: "blocking", ring: Answer::AsUsual },
        Way { backend: "auto", ring: Answer::Forbidden(libc::EPERM) },
        Way { backend: "auto", ring: Answer::Forbidden(libc::ENOSYS) },
    ];
    if has_rings(place) {
        ways.push(Way { backend: "io_uring", ring: Answer::AsUsual });
        ways.push(Way { backend: "auto", ring: Answer::AsUsual });
    }
    ways
}

/// Builds `keys` in some ways, and expects one tree.
fn check(place: &Place, ways: &[Way], keys: &str, options: &[&str]) {
    let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
    for (number, &way) in ways.iter().enumerate() {
        let out = format!("out{number}");
        let mut arguments = vec!["bulk-create", keys, &out, "--json", "--io-backend", way.backend];
        arguments.extend(options);
        if keys == "keys" {
            forget(&place.path(keys));
        }
        let built = run(place, way.ring, &arguments);
        assert_eq!(built.code, 0, "{way:?}: {}", built.err);
        assert_notice(way, &built.err);
        let tree = place.tree(&out);
        std::fs::remove_dir_all(place.path(&out)).unwrap();
        println!("{way:?} {options:?}: {} entries, {}", tree.len(), times(&built.summary()));
        let first = first.get_or_insert_with(|| tree.clone());
        assert!(*first == tree, "{way:?} gives another tree, with {options:?}");
    }
}

fn times(summary: &Value) -> String {
    format!("{} s wall, {} s CPU", summary["wall_seconds"], summary["cpu_seconds"])
}

fn assert_notice(way: Way, told: &str) {
    let expected = match way.ring {
        Answer::AsUsual => return assert_eq!(told, "", "{way:?}"),
        Answer::Forbidden(libc::ENOSYS) => {
            "this kernel has no io_uring, or a seccomp filter hides it"
        }
        Answer::Forbidden(_) => "a seccomp filter or security module forbids it",
    };
    let notice = format!("io_uring is not used: {expected}; plain calls take its place\n");
    assert_eq!(told, notice, "{way:?}");
}

#[test]
fn every_backend_gives_the_same_tree_and_a_forbidden_ring_one_notice() {
    let place = Place::new();
    generated_keys(&place);
    let ways = ways(&place);
    for (layout, emit) in [("dirs", "all"), ("packed", "pht")] {
        let options = ["--key-size", "auto", "--emit", emit, "--layout", layout];
        check(&place, &ways, "keys", &options);
        check(&place, &ways, "keys", &[&options[..], &["--durable", "--jobs", "5"]].concat());
    }
}

#[test]
#[cfg_attr(not(shared_keys), ignore = "skipped: ../shared/keys is absent")]
fn every_backend_gives_the_same_tree_of_all_real_key_files() {
    let place = Place::new();
    let (keys, ways) = (shared_keys("sys32"), ways(&place));
    check(&place, &ways, &keys, &["--layout", "packed"]);
    // Tens of thousands of files: with and without rings is enough.
    check(&place, &[ways[0], ways[ways.len() - 1]], &keys, &[]);
}

#[test]
fn a_ring_that_is_insisted_on_and_forbidden_is_an_error_with_a_remedy() {
    let place = Place::new();
    place.write_keys("keys/one.keys", &[1, 2]);
    for errno in [libc::EPERM, libc::ENOSYS] {
        let arguments = ["bulk-create", "keys", "out", "--io-backend", "io_uring"];
        let refused = run(&place, Answer::Forbidden(errno), &arguments);
        assert_eq!(refused.code, 8, "{}", refused.err);
        for words in ["io_uring cannot be used: ", "seccomp", "help: allow io_uring in"] {
            assert!(refused.err.contains(words), "{words:?} in {}", refused.err);
        }
        assert!(!place.path("out").exists());
    }
}
