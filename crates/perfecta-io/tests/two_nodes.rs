//! Boots a machine with two nodes and runs every test of this crate in it.
//!
//! ```sh
//! PERFECTA_GUEST=1 cargo test -p perfecta-io --test two_nodes
//! ```
//!
//! Needs root and apt-get (a Debian of x86-64): emulator and kernel come from its packages. The
//! machine is emulated, so placement is real and distances are not: nothing can be said of speed.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

#[test]
fn every_test_of_this_crate_passes_on_a_machine_with_two_nodes() {
    if let Some(reason) = reason_to_skip() {
        eprintln!("skipped: {reason}");
        return;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let programs = test_programs();
    output_of(script("set-up.sh").arg(&directory));
    output_of(script("image.sh").arg(&directory).args(&programs));
    let console = output_of(script("boot.sh").arg(&directory)).replace('\r', "");
    let is_there = |line: &str| console.lines().any(|found| found == line);
    assert!(is_there("guest: nodes 0-1"), "{console}");
    assert!(programs.iter().any(|program| name_of(program).starts_with("placement-")));
    for program in &programs {
        let passed = format!("guest: {} ended with 0", name_of(program));
        assert!(is_there(&passed), "{passed}? no:\n{console}");
    }
}

fn reason_to_skip() -> Option<&'static str> {
    if std::env::var_os("PERFECTA_GUEST").is_none_or(|wanted| wanted != "1") {
        return Some("PERFECTA_GUEST is not 1");
    }
    if !rustix::process::geteuid().is_root() {
        return Some("only root can install an emulator");
    }
    let apt = Command::new("apt-get").arg("--version").output();
    apt.is_err().then_some("there is no apt-get to install an emulator with")
}

/// Builds this crate's tests so that they need nothing of the system that they run on.
fn test_programs() -> Vec<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["test", "--no-run", "--quiet", "--message-format=json", "--target", TARGET]);
    build.args(["--package", env!("CARGO_PKG_NAME"), "--tests"]);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    let messages = output_of(&mut build);
    let program = |line: &str| {
        let (_, path) = line.split_once("\"executable\":\"")?;
        path.split_once('"').map(|(path, _)| PathBuf::from(path))
    };
    messages.lines().filter_map(program).collect()
}

fn name_of(program: &Path) -> String {
    program.file_name().expect("a program has a name").to_string_lossy().into_owned()
}

fn script(name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
    let mut command = Command::new("bash");
    command.arg(scripts.join(name));
    command
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let (told, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{told}\n{complaint}", output.status);
    told.into_owned()
}
