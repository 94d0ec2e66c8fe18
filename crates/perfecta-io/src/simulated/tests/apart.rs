//! Directories that are made apart, on a file system that numbers files in the order in which they are
//! made.

use super::*;

/// Makes directories apart in `/out`; gives where they came to lie, and how many there are now.
fn make(count: usize, files: u64) -> (Vec<u64>, usize) {
    let (machine, mut engine) = machine(1);
    let made =
        complete(&mut engine, Op::MakeDirectoriesApart { parent: "/out".into(), count, files });
    let names = made.unwrap().into_names();
    let paths = machine.inner.state.lock().disk.paths();
    let place = |path: &Path| paths.iter().find(|(other, _)| other == path).unwrap().1;
    let places = names.iter().map(|name| place(&Path::new("/out").join(name))).collect();
    (places, paths.iter().filter(|(path, _)| path.parent() == Some(Path::new("/out"))).count())
}

#[track_caller]
fn check(count: usize, files: u64, distance: u64) {
    let (places, num_left) = make(count, files);
    let first = places[0];
    let expected: Vec<u64> = (0..count as u64).map(|number| first + number * distance).collect();
    assert_eq!(places, expected, "{count} of {files} files");
    assert_eq!(num_left, count, "what was too near is removed");
}

#[test]
fn directories_are_made_until_they_are_far_enough_from_each_other() {
    // A quarter of 40 for each.
    check(2, 1000, 5);
    check(3, 1000, 3);
    check(5, 1000, 2);
    check(20, 1000, 1);
}

#[test]
fn few_files_need_no_distance() {
    check(2, 0, 1);
    check(1, 1000, 1);
    let (places, num_left) = make(0, 1000);
    assert_eq!((places, num_left), (Vec::new(), 0));
}
