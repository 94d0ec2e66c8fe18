//! The binary on another machine: two nodes, and disks that fail.
//!
//! ```sh
//! PERFECTA_GUEST=1 cargo test -p perfecta-cli --test guest
//! ```
//!
//! What is run there, and expected, is in the scripts beside this file.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../../perfecta-io/tests/guest/mod.rs"]
mod machine;

use std::path::{Path, PathBuf};

use self::machine::Workshop;

#[test]
fn two_nodes_are_used_and_failing_disks_are_told_of() {
    let Some(workshop) = Workshop::open(env!("CARGO_TARGET_TMPDIR")) else { return };
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_perfecta"));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
    let programs: [PathBuf; 2] = ["nodes.sh", "device_faults.sh"].map(|name| scripts.join(name));
    workshop.run("cli", &programs, &[binary]);
}
