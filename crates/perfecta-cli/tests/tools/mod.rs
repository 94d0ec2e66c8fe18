//! Programs of others that tests hold ours to.

#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, from the Python environment of the tests or else from where programs are found.
///
/// Where there is none, what needs it is skipped, and says so. With `PERFECTA_TOOLS=required` in the
/// environment that is a failure.
pub fn tool(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python/bin");
    let found = env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(own).chain(env::split_paths(&found));
    let tool = places.map(|place| place.join(name)).find(|program| program.is_file());
    assert!(tool.is_some() || !is_required(), "there is no {name}, and PERFECTA_TOOLS=required");
    if tool.is_none() {
        eprintln!("skipped: there is no {name}; see CONTRIBUTING.md");
    }
    tool
}

/// A number that the environment gives, for campaigns that may be longer than a test.
pub fn number(variable: &str, default: u32) -> u32 {
    env::var_os(variable).map_or(default, |value| {
        let value = value.to_str().and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{variable} is no number"))
    })
}

/// A Python that has a module; else as [`tool`].
pub fn python_with(module: &str) -> Option<PathBuf> {
    let python = tool("python3")?;
    let has_it = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    let has_it = has_it.is_ok_and(|output| output.status.success());
    assert!(
        has_it || !is_required(),
        "{} has no {module}, and PERFECTA_TOOLS=required",
        python.display()
    );
    if !has_it {
        eprintln!("skipped: {} has no {module}; see CONTRIBUTING.md", python.display());
    }
    has_it.then_some(python)
}

fn is_required() -> bool {
    env::var_os("PERFECTA_TOOLS").is_some_and(|value| value == "required")
}
