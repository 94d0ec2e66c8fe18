//! Files are never longer than what was written to them. `docs/regressions.md` says whose row that is.

use std::path::Path;
use std::sync::{Arc, Mutex};

use perfecta_io::{Call, EntryKind, FaultPlan, Op, Token};

use crate::cases::{Case, writing_cases};
use crate::world::{Backend, World, backends_with_faults};

/// The length of a file, 0 where there is none.
fn length(world: &dyn World, path: &Path) -> u64 {
    let name = path.strip_prefix(world.root()).unwrap();
    match world.inspect(name.to_str().unwrap()) {
        Some(EntryKind::File { bytes }) => bytes,
        _ => 0,
    }
}

/// What the calls wrote to a file.
fn written(calls: &[Call], path: &Path) -> u64 {
    let writes = calls.iter().filter(|call| call.name == "write" && call.path == path);
    writes.filter_map(|call| call.answer?.ok()).sum()
}

/// Looks at all files that an operation writes, right before its call number `at`. The longest
/// surplus, with the calls, or nothing if it makes fewer calls.
fn look(backend: &Backend, case: &Case, at: u64) -> Option<Vec<(String, u64, u64)>> {
    let plan = Arc::<FaultPlan>::default();
    let (mut engine, world) = (backend.start)(Some(&plan));
    let op = (case.prepare)(engine.as_mut(), world.as_ref());
    let before = plan.num_calls();
    let earlier = if let Op::Append { offset, .. } = &op { *offset } else { 0 };
    let seen = Arc::<Mutex<Option<Vec<_>>>>::default();
    let lengths = {
        let (plan, world) = (Arc::clone(&plan), Arc::clone(&world));
        move || {
            let calls = plan.calls(0);
            let files = calls.iter().filter(|call| ["create", "write"].contains(&call.name));
            let look = |call: &Call| {
                let path = &call.path;
                let name = path.display().to_string();
                (name, length(world.as_ref(), path), earlier + written(&calls, path))
            };
            files.map(look).collect::<Vec<_>>()
        }
    };
    let (then, later) = (Arc::clone(&seen), lengths.clone());
    plan.meanwhile(before + at, move || *then.lock().unwrap() = Some(later()));
    engine.submit(Token(0), op);
    while engine.num_in_flight() > 0 {
        match engine.poll() {
            Some(completion) => drop(completion.outcome.unwrap()),
            None => engine.wait(None),
        }
    }
    let at_the_end = lengths();
    assert!(at_the_end.iter().all(|(_, length, written)| length == written), "{at_the_end:?}");
    seen.lock().unwrap().take()
}

#[test]
fn a22_a30_no_file_is_ever_longer_than_what_was_written_to_it() {
    let cases = writing_cases()
        .into_iter()
        .filter(|case| case.name.starts_with("write") || case.name == "append");
    let mut looked = 0;
    for case in cases {
        for backend in backends_with_faults() {
            for lengths in (0..).map_while(|at| look(&backend, &case, at)) {
                looked += lengths.len();
                for (name, length, written) in lengths {
                    assert!(length <= written, "{}: {name}, {length} > {written}", backend.name);
                }
            }
        }
    }
    assert!(looked > 20, "{looked} looks at files");
}
