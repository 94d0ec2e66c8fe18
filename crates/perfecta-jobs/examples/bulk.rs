//! Builds all tables of a directory in memory and says what that cost:
//! `bulk KEYS_DIR [THREADS]`.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use perfecta_jobs::{CancelFlag, Event, Inputs, Job, Runtime, run};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let mut job = Job::new(Inputs::tree(directory));
    if let Some(threads) = arguments.next().and_then(|threads| threads.parse().ok()) {
        job.limits.threads = threads;
    }
    let runtime = Runtime::new(None, CancelFlag::default());
    let mut failures = 0;
    let summary = run(&job, &runtime, &mut |event: &Event<'_>| {
        if let Event::Settled { report, .. } = event
            && let Some(error) = &report.error
        {
            failures += 1;
            println!("{}: {error}", report.keys_file.display());
        }
    });
    match summary {
        Ok(summary) => println!("{summary:#?}"),
        Err(error) => println!("{error}"),
    }
}
