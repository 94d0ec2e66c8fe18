//! Builds all tables of a directory and says what that cost:
//! `bulk KEYS_DIR THREADS [OUT [ARTIFACTS|packed|verify [durable]]]`.
#![expect(clippy::print_stdout, reason = "an example for the terminal")]

use std::path::PathBuf;

use perfecta_jobs::{
    Artifacts, CancelFlag, Durability, Event, Inputs, Job, JobError, Layout, Output, Runtime,
    SelfTest, Summary, Verification, run, verify,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let input: PathBuf = arguments.next().unwrap_or_default().into();
    let threads = arguments.next().and_then(|threads| threads.parse().ok());
    let output = arguments.next();
    let mode = arguments.next().unwrap_or_else(|| "pht".to_owned());
    let is_durable = arguments.next().is_some_and(|word| word == "durable");

    let artifacts = Artifacts::new(mode.parse().unwrap_or_default(), SelfTest::FromFile);
    let runtime = Runtime::new(Some(&artifacts), CancelFlag::default());
    let mut job = Job::new(Inputs::tree(&input));
    job.limits.threads = threads.unwrap_or(job.limits.threads);
    job.output = output.map(|directory| {
        let layout = if mode == "packed" { Layout::Packed } else { Layout::Dirs };
        let durability = if is_durable { Durability::Power } else { Durability::Process };
        Output { layout, durability, ..Output::new(directory) }
    });
    let mut observer = |event: &Event<'_>| {
        if let Event::Settled { report, .. } = event
            && let Some(error) = &report.error
        {
            println!("{}: {error}", report.keys_file.display());
        }
    };
    let summary: Result<Summary, JobError> = match (&job.output, &*mode) {
        (Some(output), "verify") => {
            let verification = Verification {
                keys: Some(job.inputs.clone()),
                limits: job.limits.clone(),
                ..Verification::new(&output.directory)
            };
            verify(&verification, &runtime, &mut observer)
        }
        (Some(_) | None, _) => run(&job, &runtime, &mut observer),
    };
    match summary {
        Ok(summary) => println!("{summary:?}"),
        Err(error) => println!("{error}"),
    }
}
