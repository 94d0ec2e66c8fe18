//! Sessions on a simulated machine, all of them drawn by a seed.
//!
//! ```text
//!  seed --> Scenario --> each job alone, undisturbed: what is expected
//!                   `--> [an older run] --> rounds, disturbed --> a round that is not
//!                                              after each: what was told, what stands in the outputs
//! ```

mod draw;
mod drive;
mod expected;
mod told;

use std::collections::BTreeMap;

use perfecta_io::{PowerCut, Random, SimulatedMachine};
use perfecta_jobs::{Durability, JobError, Status};

pub(crate) use self::draw::Kind;
use self::draw::{Drawn, Round, Scenario};
use self::drive::run_session;
use self::expected::{Expected, Standing, is_there};
use self::told::Told;
use super::common;

/// A seed's machine, and all that is expected of it.
struct Trial<'m> {
    machine: &'m SimulatedMachine,
    scenario: Scenario,
    /// By job.
    expected: Vec<Expected>,
    /// Tables of an older run, by job.
    older: Vec<Option<Expected>>,
}

/// Runs a seed on its machine.
pub(crate) fn run_seed(machine: &SimulatedMachine, seed: u64) {
    let scenario = Scenario::draw(seed);
    set_up(machine, &scenario);
    let expect = |drawn: &Drawn| {
        let machine = SimulatedMachine::new(seed);
        set_up(&machine, &scenario);
        Expected::by_running(&machine, drawn)
    };
    let expected = scenario.jobs.iter().map(expect).collect();
    let older = scenario.jobs.iter().map(|drawn| {
        let is_run = scenario.has_older && drawn.twin_of.is_none() && drawn.job.output.is_some();
        is_run.then(|| Expected::by_running(machine, &older(drawn)))
    });
    let mut older: Vec<Option<Expected>> = older.collect();
    for (number, drawn) in scenario.jobs.iter().enumerate() {
        if let Some(other) = drawn.twin_of {
            older[number] = older[other].clone();
        }
    }
    let trial = Trial { machine, scenario, expected, older };
    let mut is_after_cut = false;
    for (number, round) in trial.scenario.rounds.iter().enumerate() {
        trial.disturbed(round, seed ^ ((number as u64 + 1) << 32), is_after_cut);
        is_after_cut |= round.cuts_power;
    }
    trial.undisturbed(seed, is_after_cut);
}

fn set_up(machine: &SimulatedMachine, scenario: &Scenario) {
    scenario.directories.iter().for_each(|path| machine.make_directories(path));
    scenario.files.iter().for_each(|(path, bytes)| machine.write_file(path, bytes));
}

/// The same job with other tables.
fn older(drawn: &Drawn) -> Drawn {
    let mut older = drawn.clone();
    older.job.search.seeds.rng_seed ^= 1;
    let output = older.job.output.as_mut().expect("only what writes has an older run");
    output.durability = Durability::Power;
    older
}

impl Trial<'_> {
    fn disturbed(&self, round: &Round, seed: u64, is_after_cut: bool) {
        let Self { machine, scenario, .. } = self;
        if let Some(bytes) = round.bytes_left {
            machine.limit_bytes(machine.bytes_used() + bytes);
        }
        let is_timeless = scenario.kind == Kind::Timeless;
        let told = run_session(machine, &scenario.jobs, round, is_timeless, seed);
        machine.limit_bytes(u64::MAX);
        for (number, told) in told.iter().enumerate() {
            self.check_reports(number, round, told);
            if !is_after_cut || self.survives_cuts(number) {
                self.check_output(number, Standing::Whole);
            }
        }
        if round.cuts_power {
            let mut random = Random::new(seed);
            let cuts = [PowerCut::NothingFlushed, PowerCut::JournalFlushed, PowerCut::Random];
            machine.power_cut(cuts[random.index(cuts.len())]);
            for (number, told) in told.iter().enumerate() {
                self.check_after_cut(number, told);
            }
        }
    }

    /// The same jobs with nothing in their way: all is there at the end, and nothing else.
    fn undisturbed(&self, seed: u64, is_after_cut: bool) {
        let Self { machine, scenario, expected, .. } = self;
        let round = Round::quiet(scenario.jobs.len());
        let told = run_session(machine, &scenario.jobs, &round, false, seed);
        for (number, told) in told.iter().enumerate() {
            let drawn = &scenario.jobs[number];
            self.check_reports(number, &round, told);
            if drawn.is_loose {
                // What is torn may be beyond its limits.
                if !is_after_cut || self.survives_cuts(number) {
                    self.check_output(number, Standing::Whole);
                }
            } else if let Some(output) = &drawn.job.output
                && expected[number].job_error.is_none()
            {
                // An older table stays where there is no other.
                let mut whole = self.older[number].clone().map(|it| it.tree).unwrap_or_default();
                whole.extend(expected[number].tree.clone());
                let found = machine.tree(&output.directory);
                let names: Vec<_> = found.keys().collect();
                assert!(found == whole, "job {number} left {names:?}");
            }
        }
    }

    /// Whether each item came to what it comes to undisturbed, or to what may have come between.
    fn check_reports(&self, number: usize, round: &Round, told: &Told) {
        let (drawn, expected) = (&self.scenario.jobs[number], &self.expected[number]);
        let may_fail = round.is_rough() || drawn.shares_output || drawn.is_loose;
        if told.job_error() != expected.job_error {
            let may_not_end = round.ends_at_step.is_some() && told.job_error().is_none();
            let error = told.job_error();
            let is_cancelled =
                told.cancel.is_cancelled() && error == Some(JobError::Cancelled.to_string());
            assert!(may_fail || may_not_end || is_cancelled, "job {number}: {error:?}");
        }
        for (path, report) in told.reports() {
            let Some(undisturbed) = expected.reports.get(&path) else {
                // The listing of the inputs went wrong.
                assert!(round.is_rough(), "{report:?}");
                continue;
            };
            let is_expected = match report.status {
                Status::Ok | Status::Failed if report == *undisturbed => true,
                Status::Ok => drawn.is_loose,
                Status::Unchanged => drawn.is_loose || undisturbed.status == Status::Ok,
                Status::Cancelled => told.cancel.is_cancelled(),
                Status::Failed => may_fail,
            };
            assert!(is_expected, "job {number}: {report:?}\n instead of {undisturbed:?}");
        }
    }

    fn check_output(&self, number: usize, standing: Standing) {
        let Some(output) = &self.scenario.jobs[number].job.output else { return };
        let found = self.machine.tree(&output.directory);
        let older = self.older[number].as_ref();
        self.expected[number].check_tree(output.layout, &found, older, standing);
    }

    /// Whether a job alone answers for its output, and answers for it after a power cut.
    fn survives_cuts(&self, number: usize) -> bool {
        let Drawn { job, shares_output, .. } = &self.scenario.jobs[number];
        let output = job.output.as_ref().filter(|_| !shares_output);
        output.is_some_and(|output| output.durability == Durability::Power)
    }

    /// A durable job's tables are whole, those that it acknowledged are there.
    fn check_after_cut(&self, number: usize, told: &Told) {
        if !self.survives_cuts(number) {
            return;
        }
        self.check_output(number, Standing::Whole);
        let acknowledged: BTreeMap<_, _> =
            told.reports().into_iter().filter(|(_, report)| is_there(report)).collect();
        let acknowledged = acknowledged.keys().map(|path| path.as_path()).collect();
        self.check_output(number, Standing::Acknowledged(acknowledged));
    }
}
