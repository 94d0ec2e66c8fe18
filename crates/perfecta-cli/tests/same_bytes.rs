//! Same input, same options: same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{Place, generated_keys};

#[test]
fn threads_and_input_order_leave_no_trace_in_the_output() {
    let place = Place::new();
    generated_keys(&place);
    for layout in ["dirs", "packed"] {
        let build = |out: &str, jobs: &str| {
            place.ok(&[
                "bulk-create",
                "keys",
                out,
                "--jobs",
                jobs,
                "--key-size",
                "auto",
                "--emit",
                "all",
                "--layout",
                layout,
            ]);
            place.tree(out)
        };
        let one = build(&format!("one-{layout}"), "1");
        assert!(one.len() > 1);
        assert!(one == build(&format!("two-{layout}"), "2"), "{layout}: two threads");
        assert!(one == build(&format!("five-{layout}"), "5"), "{layout}: five threads");
    }
}

#[test]
fn a_shuffled_list_gives_the_same_output() {
    let place = Place::new();
    place.ok(&["keygen", "keys", "--key-size", "32"]);
    let mut names: Vec<String> =
        place.tree("keys").into_keys().filter(|name| name.ends_with(".keys")).collect();
    let mut outputs = Vec::new();
    for (round, layout) in [(0, "dirs"), (1, "dirs"), (2, "packed"), (3, "packed")] {
        names.rotate_left(7);
        names.swap(0, 11);
        let list: Vec<String> = names.iter().map(|name| format!("keys/{name}\n")).collect();
        place.write("list", list.concat().as_bytes());
        let out = format!("out{round}");
        place.ok(&["bulk-create", "--files-from", "list", &out, "--layout", layout]);
        outputs.push(place.tree(&out));
    }
    assert!(outputs[0] == outputs[1]);
    assert!(outputs[2] == outputs[3]);
}
