//! Boots a machine with two nodes and runs every test of this crate in it.
//!
//! ```sh
//! PERFECTA_GUEST=1 cargo test -p perfecta-io --test two_nodes
//! ```
//!
//! Needs root and apt-get (a Debian of x86-64), the tests of the workspace compiled, and some four
//! minutes. The machine is emulated, so placement is real and distances are not: nothing can be said
//! of speed.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod guest;

use std::path::PathBuf;
use std::process::Command;

use self::guest::{Workshop, name_of, output_of};

#[test]
fn every_test_of_this_crate_passes_on_a_machine_with_two_nodes() {
    let Some(workshop) = Workshop::open(env!("CARGO_TARGET_TMPDIR")) else { return };
    let programs = test_programs();
    assert!(programs.iter().any(|program| name_of(program).starts_with("placement-")));
    workshop.run("io", &programs, &[]);
}

/// The test programs of this crate, as the tests of the workspace compile them: where these run,
/// nothing is compiled anew.
fn test_programs() -> Vec<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["test", "--no-run", "--quiet", "--message-format=json"]);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    // What tells a test of its own package tells build scripts that theirs has changed: much would
    // be compiled anew, here and once more by whoever comes next.
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            let begins = |part| name.starts_with(part);
            begins("CARGO_MANIFEST_") || begins("CARGO_PKG_") || name == "OUT_DIR"
        });
        if own {
            build.env_remove(name);
        }
    }
    let messages = output_of(&mut build).unwrap();
    let manifest = concat!("\"manifest_path\":\"", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml\"");
    let program = |line: &str| {
        let (_, path) = line.split_once("\"executable\":\"")?;
        path.split_once('"').map(|(path, _)| PathBuf::from(path))
    };
    messages.lines().filter(|line| line.contains(manifest)).filter_map(program).collect()
}
