//! What is in the package of each crate.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::process::Command;

/// The files of a crate's package.
fn packaged(root: &Path, name: &str) -> String {
    let listed = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline", "-p", name])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(listed.status.success(), "{name}: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap()
}

/// A package held neither, for they lie above all crates, and that of the library no example with a manifest.
#[test]
fn every_package_holds_the_licences_and_that_of_the_library_all_examples() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for entry in std::fs::read_dir(crates).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let files = packaged(crates, &name);
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(files.lines().any(|file| file == licence), "{name}: {files}");
            let text = std::fs::read(crates.join(&name).join(licence)).unwrap();
            assert!(text == std::fs::read(crates.join("..").join(licence)).unwrap(), "{name}");
        }
    }
    let files = packaged(crates, "perfecta");
    for example in [
        "in_process.rs",
        "build-script/build.rs",
        "build-script/src/main.rs",
        "build-script/opcodes.txt",
    ] {
        let example = format!("examples/{example}");
        assert!(files.lines().any(|file| file == example), "{example}: {files}");
    }
}
