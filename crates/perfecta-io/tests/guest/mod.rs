//! Emulated machines to run programs on: two nodes, a disk that can fail. Emulator and kernel come
//! from the packages of Debian, and nothing stays installed that removes something else.
//!
//! `PERFECTA_GUEST=1` allows it; `PERFECTA_GUEST=required` has a test fail where it cannot be done.

#![allow(unreachable_pub, reason = "the tests of other crates take it, too")]
#![allow(clippy::print_stderr, reason = "what is skipped is told")]
#![allow(clippy::disallowed_methods, reason = "whoever runs the tests says whether to emulate")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What machines are made from.
pub struct Workshop {
    directory: PathBuf,
}

impl Workshop {
    /// None, and a sentence that says why, where machines are not wanted or cannot be had.
    ///
    /// # Panics
    /// If they are required.
    pub fn open(target_directory: &str) -> Option<Self> {
        let wanted = std::env::var("PERFECTA_GUEST").unwrap_or_default();
        let directory = Path::new(target_directory).join("guest");
        let opened = match wanted.as_str() {
            "1" | "required" => set_up(&directory),
            _ => Err("PERFECTA_GUEST is neither 1 nor required".to_owned()),
        };
        match opened {
            Ok(()) => Some(Self { directory }),
            Err(reason) if wanted == "required" => panic!("no guest can be had: {reason}"),
            Err(reason) => {
                eprintln!("skipped: {reason}");
                None
            }
        }
    }

    /// Boots a machine that runs `programs` one after another, beside `tools` in its path, and
    /// expects each to end well. What was on its console.
    pub fn run(&self, name: &str, programs: &[PathBuf], tools: &[PathBuf]) -> String {
        let image = self.directory.join(format!("image-{name}"));
        let mut make = script("image.sh");
        make.arg(&self.directory).arg(&image).args(programs).arg("--").args(tools);
        output_of(&mut make).unwrap();
        let booted = output_of(script("boot.sh").arg(&self.directory).arg(&image));
        let console = booted.unwrap_or_else(|complaint| panic!("{complaint}")).replace('\r', "");
        let tells = |line: &&str| line.starts_with("test result:") || line.starts_with("guest:");
        console.lines().filter(tells).for_each(|line| eprintln!("{line}"));
        let is_there = |line: &str| console.lines().any(|found| found == line);
        assert!(is_there("guest: nodes 0-1"), "{console}");
        for program in programs {
            let passed = format!("guest: {} ended with 0", name_of(program));
            assert!(is_there(&passed), "{passed}? no:\n{console}");
        }
        console
    }
}

pub fn name_of(program: &Path) -> String {
    program.file_name().expect("a program has a name").to_string_lossy().into_owned()
}

fn set_up(directory: &Path) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can install what an emulator needs".to_owned());
    }
    if Command::new("apt-get").arg("--version").output().is_err() {
        return Err("there is no apt-get to install an emulator with".to_owned());
    }
    output_of(script("set-up.sh").arg(directory)).map(drop)
}

fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    // Where this file is, whichever crate takes it.
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../perfecta-io/tests/guest").join(name));
    command
}

/// What a command printed, or all that it said if it failed.
pub fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(told);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}\n{told}\n{complaint}", output.status))
}
