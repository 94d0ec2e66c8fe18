//! Emitted C and Rust, as the command writes them: compiled without a warning, and right for every
//! key of thirty real key files (or of generated ones).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::Place;

const SAMPLE: usize = 30;

#[test]
#[cfg_attr(not(shared_keys), ignore = "skipped: ../shared/keys is absent")]
fn thirty_real_tables_compile_and_agree_in_c_and_rust() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/keys/sys32");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let step = files.len() / SAMPLE;
    let sample: Vec<PathBuf> = files.into_iter().step_by(step).take(SAMPLE).collect();
    let place = Place::new();
    check(&place, &sample, "32");
}

#[test]
fn generated_tables_of_both_widths_compile_and_agree_in_c_and_rust() {
    let place = Place::new();
    place.ok(&["keygen", "made", "--keys", "300"]);
    for (width, extension) in [("32", "keys"), ("64", "keys64")] {
        let shapes = ["uniform", "clusters", "ends"];
        let names = shapes.map(|shape| format!("made/u{width}/{shape}-300.{extension}"));
        check(&place, &names.map(|name| place.path(&name)), width);
    }
}

fn check(place: &Place, key_files: &[PathBuf], width: &str) {
    let list: Vec<String> = key_files.iter().map(|path| format!("{}\n", path.display())).collect();
    place.write("list", list.concat().as_bytes());
    let out = format!("out{width}");
    let arguments = [
        "bulk-create",
        "--files-from",
        "list",
        &out,
        "--emit",
        "c,rust",
        "--include-keys",
        "--key-size",
        width,
    ];
    let built = place.ok(&arguments);
    assert!(built.out.contains(&format!("{} ok", key_files.len())), "{}", built.out);
    let tables: Vec<PathBuf> =
        std::fs::read_dir(place.path(&out)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(tables.len(), key_files.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
                    compile_and_run_c(table);
                    compile_and_run_rust(table);
                }
            });
        }
    });
}

fn compile_and_run_c(table: &Path) {
    let identifier = table.file_name().unwrap().to_str().unwrap();
    let define = format!("-D{}_SELF_TEST", identifier.to_uppercase());
    let program = format!("{identifier}_c");
    let mut compile = Command::new("gcc");
    compile.args(["-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", &define]);
    compile.args(["-o", &program, "-x", "c"]).current_dir(table);
    let data = format!("{identifier}_data.c");
    let source = if table.join(&data).is_file() { data } else { format!("{identifier}.h") };
    compile.arg(source);
    succeed(&mut compile);
    let said = succeed(Command::new(table.join(program)).current_dir(table));
    assert!(said.contains("ok"), "{identifier}: {said}");
}

fn compile_and_run_rust(table: &Path) {
    let identifier = table.file_name().unwrap().to_str().unwrap();
    let source = format!("{identifier}.rs");
    let program = format!("{identifier}_rust");
    let edition = "--edition=2024";
    let library = ["--crate-type=lib", "--emit=metadata", "-Dwarnings", "-Dclippy::all", &source];
    succeed(Command::new("clippy-driver").arg(edition).args(library).current_dir(table));
    let test = ["--test", "-Copt-level=1", "-Dwarnings", "-o", &program, &source];
    succeed(Command::new("rustc").arg(edition).args(test).current_dir(table));
    let said = succeed(Command::new(table.join(program)).current_dir(table));
    assert!(said.contains("1 passed"), "{identifier}: {said}");
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said
}
