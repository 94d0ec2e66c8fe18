//! Tells the tests whether the shared key files lie beside the project, so that those which need
//! them are listed as skipped, with the reason, where they are not.

use std::path::Path;

fn main() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/keys");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(shared_keys)");
    if keys.is_dir() {
        // What is not there would count as changed, and every build as a new one.
        println!("cargo::rerun-if-changed={}", keys.display());
        println!("cargo::rustc-cfg=shared_keys");
    }
}
