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
    place.write_keys("keys/keys/inner.other", &[3, 4]);
    place.write_keys("keys/apart.keys", &[3, 4]);
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

#[cfg(unix)]
#[test]
fn keys_that_a_link_in_the_input_leads_to_are_input_too() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    for keys in ["store/foo/x.keys", "store/tables.packed/x.keys"] {
        place.write_keys(keys, &[1, 5, 9]);
    }
    place.write_keys("keys/foo.keys", &[2, 3, 4]);
    symlink("../store/foo", place.path("keys/sub")).unwrap();
    place.write_keys("packed/y.keys", &[7]);
    symlink("../store/tables.packed", place.path("packed/sub")).unwrap();
    std::fs::create_dir(place.path("links")).unwrap();
    symlink("../store/foo/x.keys", place.path("links/foo.keys")).unwrap();
    std::fs::create_dir(place.path("trees")).unwrap();
    symlink("../store", place.path("trees/all")).unwrap();
    let check = |arguments: &[&str], code, words| {
        check_untouched(&place, "store/foo", arguments, code, words);
        check_untouched(&place, "store/tables.packed", arguments, code, words);
    };
    check(&["bulk-create", "keys", "store", "--force"], 3, "never written to");
    check(&["create", "links/foo.keys", "store", "--force"], 7, "never written to");
    check(&["bulk-create", "links", "store", "--force"], 7, "never written to");
    let packed = ["bulk-create", "packed", "store", "--layout", "packed", "--force"];
    check(&packed, 7, "lies in the input");
    check(&["bulk-create", "trees", "store/out"], 7, "lies in the input");
}

#[test]
fn no_table_is_published_in_another() {
    let place = Place::new();
    place.write_keys("keys/a.keys", &[1, 2]);
    place.write_keys("keys/a/b.keys", &[3, 4, 5]);
    place.write_keys("keys/c.keys", &[6]);
    for force in [&[][..], &["--force"][..]] {
        let run = place.run(&[&["bulk-create", "keys", "out"], force].concat());
        assert_eq!(run.code, 3, "{}{}", run.out, run.err);
        for words in ["keys/a.keys goes to a: one place", "keys/a/b.keys goes to a/b: one place"] {
            assert!(run.err.contains(words), "{}", run.err);
        }
        assert!(place.path("out/c/c.pht").exists() && !place.path("out/a").exists());
    }
    // Nor in one that an earlier run published.
    place.write_keys("later/c/d.keys", &[7]);
    let run = place.run(&["bulk-create", "later", "out"]);
    assert_eq!(run.code, 7, "{}{}", run.out, run.err);
    assert!(run.err.contains("out/c is a table"), "{}", run.err);
    assert_eq!(place.run(&["verify", "out"]).code, 0);
}
