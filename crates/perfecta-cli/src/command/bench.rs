//! `perfecta bench`: how hash families do on a key file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use perfecta_core::family::Family;
use perfecta_core::graph::Scratch;
use perfecta_core::key::KeySet;
use perfecta_core::search::{FamilyChoice, Plan, PlanError, Verdict, search};
use perfecta_io::thousands;
use perfecta_jobs::{Clock, SystemClock};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::job_options::InputOptions;
use crate::terminal::Terminal;
use crate::{json, key_file, machine, options};

/// Make the same number of attempts with each hash family and count what comes of them.
///
/// One thread. A family that solves nothing is a result, not a failure.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The key file
    keys: PathBuf,
    /// Only this hash family: a name or an id; can be given again
    #[arg(long, value_name = "HASH", value_parser = options::parse_hash)]
    hash: Vec<FamilyChoice>,
    /// Attempts of each family
    #[arg(long, value_name = "N", default_value = "1000", value_parser = options::parse_attempts)]
    attempts: u64,
    /// One JSON object a line, for every family
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: InputOptions,
}

impl Bench {
    /// Makes the attempts and prints a line for each family.
    ///
    /// # Errors
    /// [`Failure`] if the key file cannot be read.
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let keys = key_file::load(&self.keys, &self.input, terminal)?;
        if !self.json {
            terminal.say(
                "id  name                      collisions    cyclic    solved   first  attempts/s",
            )?;
        }
        let mut scratch = Scratch::default();
        for family in self.families() {
            let begun = SystemClock.cpu();
            let plan = self.plan(family);
            let outcome = search(&keys, &plan, &mut scratch, &|| true);
            let verdict = outcome.map(|solution| solution.verdict);
            let seconds = (SystemClock.cpu() - begun).as_secs_f64();
            self.say(terminal, family, &keys, verdict, Duration::from_secs_f64(seconds))?;
        }
        Ok(Exit::SUCCESS)
    }

    /// The families that were named, or all of the reference and perfecta's own.
    fn families(&self) -> Vec<Family> {
        if self.hash.is_empty() {
            return Family::all().collect();
        }
        self.hash.iter().map(|choice| choice.family()).collect()
    }

    fn plan(&self, family: Family) -> Plan {
        Plan {
            family: FamilyChoice::Named(family),
            fixed_attempts: Some(self.attempts),
            memory_bytes_max: machine::memory_bytes(),
            ..Plan::default()
        }
    }

    fn say(
        &self,
        terminal: &Terminal,
        family: Family,
        keys: &KeySet,
        verdict: Result<Verdict, PlanError>,
        time: Duration,
    ) -> Result<(), Failure> {
        if self.json {
            return terminal.say(&json::bench_line(family, keys, verdict, time));
        }
        let (id, name) = (family.id(), family.name());
        match verdict {
            Err(refusal) => terminal.say(&format!("{id:<3} {name:<25} refused: {refusal}")),
            Ok(verdict) => {
                let tally = verdict.tally;
                let first = verdict.win().map_or("-".to_owned(), |win| win.attempt.to_string());
                let rate = thousands((tally.attempts() as f64 / time.as_secs_f64()) as u64);
                let (collisions, cyclic) = (tally.vertex_collisions, tally.cyclic);
                let solved = tally.acyclic;
                terminal.say(&format!(
                    "{id:<3} {name:<25} {collisions:>10} {cyclic:>9} {solved:>9} {first:>7} {rate:>11}"
                ))
            }
        }
    }
}
