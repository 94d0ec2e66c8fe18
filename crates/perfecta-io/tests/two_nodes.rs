//! Boots a machine with two nodes and runs every test of this crate in it.
//!
//! ```sh
//! PERFECTA_GUEST=1 cargo test -p perfecta-io --test two_nodes
//! ```
//!
//! Needs root and apt-get (a Debian of x86-64), and some four minutes. The machine is emulated, so
//! placement is real and distances are not: nothing can be said of speed.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod guest;

use self::guest::{Workshop, name_of, static_programs};

#[test]
fn every_test_of_this_crate_passes_on_a_machine_with_two_nodes() {
    let Some(workshop) = Workshop::open(env!("CARGO_TARGET_TMPDIR")) else { return };
    let tests = ["test", "--no-run", "--package", env!("CARGO_PKG_NAME"), "--tests"];
    let programs = static_programs(&tests);
    assert!(programs.iter().any(|program| name_of(program).starts_with("placement-")));
    workshop.run("io", &programs, &[]);
}
