//! A job on real files, in memory only.

use perfecta_jobs::{CancelFlag, Event, Inputs, Job, Runtime, run};

#[test]
fn a_good_file_is_built_and_a_bad_one_is_named() {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("good.keys"), [1u32, 2, 3].map(u32::to_le_bytes).concat())
        .unwrap();
    std::fs::write(keys.path().join("odd.keys"), [0; 9]).unwrap();
    let runtime = Runtime::new(None, CancelFlag::default());
    let mut failed = Vec::new();
    let summary = run(&Job::new(Inputs::tree(keys.path())), &runtime, &mut |event: &Event<'_>| {
        if let Event::Settled { report, .. } = event
            && report.error.is_some()
        {
            failed.push(report.keys_file.file_name().unwrap().to_owned());
        }
    })
    .unwrap();
    assert_eq!((summary.ok, summary.failed, summary.exit_class().code()), (1, 1, 3));
    assert_eq!(failed, ["odd.keys"]);
}
