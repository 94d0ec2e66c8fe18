//! Runs the real binary in a directory of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A directory that goes when the test ends, and the binary to run in it.
pub struct Place {
    directory: TempDir,
}

/// The same command where the end of a terminal is heeded, whoever started the tests: `nohup` has it
/// ignored, and what is ignored is inherited. Its streams are to be set afterwards.
pub fn heeding_hang_up(command: &Command) -> Command {
    let mut heeding = Command::new("env");
    heeding.arg("--default-signal=HUP").arg(command.get_program()).args(command.get_args());
    heeding.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        heeding.env(name, value.unwrap());
    }
    heeding
}

/// What a run came to.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfecta"));
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        Run::of(&self.command(arguments).output().unwrap())
    }

    /// Runs and expects success.
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        run
    }

    /// A shell that sets `limits` and becomes the binary at `path`.
    pub fn command_of(&self, path: &Path, limits: &str, arguments: &[&str]) -> Command {
        let script = format!("{limits} exec '{}' {}", path.display(), arguments.join(" "));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(self.directory.path());
        command
    }

    /// Runs within `limits`, as bash sets them.
    pub fn run_within(&self, limits: &str, arguments: &[&str]) -> Run {
        let binary = Path::new(env!("CARGO_BIN_EXE_perfecta"));
        Run::of(&self.command_of(binary, limits, arguments).output().unwrap())
    }

    /// Writes a key file of 32-bit keys.
    pub fn write_keys(&self, relative: &str, keys: &[u32]) {
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        self.write(relative, &bytes);
    }

    pub fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Every file below `relative` with its content; directories as empty entries with a slash.
    pub fn tree(&self, relative: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(relative), "", &mut files);
        files
    }
}

impl Run {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as JSON lines.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The last line, which is a run's summary.
    pub fn summary(&self) -> Value {
        let last = self.lines().pop().unwrap();
        assert_eq!(last["type"], "summary");
        last
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
            files.insert(format!("{name}/"), Vec::new());
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// Some hundred key files of all shapes and sizes below `keys`.
pub fn generated_keys(place: &Place) {
    for (seed, keys) in [("1", "8"), ("2", "50"), ("3", "186"), ("4", "1000"), ("5", "3000")] {
        let directory = format!("keys/{seed}");
        place.ok(&["keygen", &directory, "--keys", keys, "--seed", seed]);
    }
}

/// A directory of the key files that may lie beside the project, where the tests for them are run.
pub fn shared_keys(name: &str) -> String {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/keys").join(name);
    keys.to_str().unwrap().to_owned()
}

/// Has the system drop the files below from memory, so that they have to be waited for.
#[cfg(target_os = "linux")]
pub fn forget(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            forget(&entry.path());
            continue;
        }
        let file = fs::File::open(entry.path()).unwrap();
        file.sync_data().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

/// Whether what only root may can be tried.
#[cfg(target_os = "linux")]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A copy of the binary, in a place that every user may enter.
#[cfg(unix)]
pub fn binary_for_everybody(place: &Place) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = place.path("perfecta");
    // By a process of its own: a file that children of other tests still have open for writing is not run.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_perfecta")).arg(&binary).status();
    assert!(copied.unwrap().success());
    binary
}
