//! Key files are never written to, moved or replaced, whatever the output is called.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::Place;

/// Runs, and expects that nothing below `keys` is another than before.
fn check_untouched(place: &Place, keys: &str, arguments: &[&str], code: i32, words: &str) {
    let before = place.tree(keys);
    let run = place.run(arguments);
    assert_eq!(run.code, code, "{arguments:?}: {}{}", run.out, run.err);
    assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
    assert!(place.tree(keys) == before, "{arguments:?} changed {keys}");
}

#[test]
fn a_table_never_takes_the_place_of_the_directory_of_its_keys() {
    let place = Place::new();
    place.write_keys("keys/keys.keys", &[1, 2]);
    place.write_keys("keys/keys/inner.keys", &[3, 4]);
    place.write_keys("tables.packed/a.keys", &[5]);
    let check = |arguments: &[&str], code| {
        check_untouched(&place, "keys", arguments, code, "never written to");
    };
    check(&["create", "keys/keys.keys", ".", "--force"], 7);
    check(&["bulk-create", "keys", ".", "--force"], 3);
    check(&["bulk-create", "keys/keys/..", "keys/../.", "--force"], 3);
    let packed = ["bulk-create", "tables.packed", ".", "--layout", "packed", "--force"];
    check_untouched(&place, "tables.packed", &packed, 7, "lies in the input");
}

#[cfg(unix)]
#[test]
fn an_output_in_the_input_is_refused_also_behind_links_and_dots() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2]);
    std::fs::create_dir(place.path("beside")).unwrap();
    std::os::unix::fs::symlink("keys", place.path("link")).unwrap();
    std::os::unix::fs::symlink("../keys", place.path("beside/below")).unwrap();
    for out in ["keys", "keys/", "keys/out", "link", "link/out", "beside/../keys/out/deep"] {
        check_untouched(&place, "keys", &["bulk-create", "keys", out], 7, "lies in the input");
    }
    check_untouched(&place, "keys", &["bulk-create", "link", "keys/out"], 7, "lies in the input");
    // The output is apart, but a link in it leads back.
    place.write_keys("tree/below/b.keys", &[1]);
    std::os::unix::fs::symlink("tree/below", place.path("below")).unwrap();
    check_untouched(&place, "tree", &["bulk-create", "tree", "."], 7, "never written to");
}
