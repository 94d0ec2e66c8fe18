//! The options of `create` and `bulk-create`, and how they become a checked [`Job`].

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use perfecta_core::key::Repair;
use perfecta_core::search::{Contradiction, FamilyChoice, Plan};
use perfecta_core::seeds::{FixedSeedsError, SeedSource};
use perfecta_emit::{ArtifactKind, ArtifactKinds};
use perfecta_jobs::{
    Artifacts, Conflicts, Durability, Inputs, Job, KeyEncoding, KeyOptions, Layout, Limits, Output,
    SelfTest, Share, WidthRule,
};

use crate::failure::Failure;
use crate::job_run::DisplayOptions;
use crate::options::{self, FixedSeeds};
use crate::work_options::{MemoryOptions, ShareOptions, WorkOptions};

/// All that `create` and `bulk-create` have in common.
#[derive(Debug, Args)]
pub(crate) struct JobOptions {
    #[command(flatten)]
    pub(crate) input: InputOptions,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    share: ShareOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    pub(crate) display: DisplayOptions,
}

/// How key files are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Key files")]
pub(crate) struct InputOptions {
    /// Bits of a key: 32, 64, or auto to read them off the file's name: 64 where the extension, or the
    /// name without it, is 64 or ends in it after a letter or a dot (`a.keys64`, `a.64.keys`, `a64.keys`,
    /// `64.keys`), 32 elsewhere (`a-64.keys`, `a_64.keys`)
    #[arg(long, default_value = "32", value_name = "32|64|auto", value_parser = parse_width_rule)]
    key_size: WidthRule,
    /// Key files are text: one decimal or 0x number a line, # begins a comment
    #[arg(long)]
    text: bool,
    /// Sort keys that are not in order
    #[arg(long)]
    sort: bool,
    /// Keep one of several equal keys
    #[arg(long)]
    dedupe: bool,
}

/// What is searched.
#[derive(Debug, Args)]
#[command(next_help_heading = "Search")]
struct SearchOptions {
    /// Hash family: auto, a name or an id (`perfecta hashes` lists them)
    #[arg(long, default_value = "auto", value_name = "HASH", value_parser = options::parse_hash)]
    hash: FamilyChoice,
    /// Make exactly so many attempts, also after a success, and report the counts; fewer, and a line
    /// that says so, where time is over (--max-seconds) or fixed seeds make all of them the same, and
    /// none where the table is there already
    #[arg(long, value_name = "N", value_parser = options::parse_attempts)]
    fixed_attempts: Option<u64>,
    /// Give up after so many attempts [default: 10000000]
    #[arg(long, value_name = "N", value_parser = options::parse_attempts)]
    max_attempts: Option<u64>,
    /// Double the table after so many attempts in vain [default: 256 with --hash auto, else never]
    #[arg(long, value_name = "N", value_parser = options::parse_attempts)]
    grow_after: Option<u64>,
    /// Double the table at most so often [default: 5]
    #[arg(long, value_name = "N")]
    max_grows: Option<u8>,
    /// Double the table so often before the first attempt
    #[arg(long, value_name = "N", default_value_t = 0)]
    initial_grows: u8,
    /// Fixed seed words, comma-separated, at most as many as the family takes, with those bits
    /// that it takes of each; 0 leaves a word to the generator, of a seed that is bytes a byte
    #[arg(long, value_name = "S1,S2,...", value_parser = options::parse_seeds)]
    seeds: Option<FixedSeeds>,
    /// Seed of the generator that draws the seeds
    #[arg(long, value_name = "N", value_parser = options::parse_number)]
    rng_seed: Option<u64>,
    /// Subsequence of the generator that attempts count from
    #[arg(long, value_name = "N", default_value = "0", value_parser = options::parse_number)]
    rng_subsequence: u64,
}

/// What is written, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct OutputOptions {
    #[arg(long, value_name = "LIST", default_value_t, help = emit_help())]
    emit: ArtifactKinds,
    /// Put the keys into emitted sources, for their self-tests; else these read a file of the keys in
    /// ascending order, packed and little-endian: the key file, unless --text, --sort or --dedupe is given
    #[arg(long)]
    include_keys: bool,
    /// A directory for each table, or all tables in one file
    #[arg(long, value_enum, default_value_t = LayoutChoice::Dirs)]
    layout: LayoutChoice,
    /// Let published tables survive a power cut
    #[arg(long)]
    durable: bool,
    /// Replace what is in a table's place, though it is none of perfecta's
    #[arg(long)]
    force: bool,
    /// Write nothing: build and verify only
    #[arg(long)]
    no_output: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutChoice {
    /// One directory for each table
    Dirs,
    /// One file for all tables of these key files; one that is there is replaced as a whole
    Packed,
}

/// How far work may go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitOptions {
    #[command(flatten)]
    memory: MemoryOptions,
    /// Give up on a key file after so many seconds
    #[arg(long, value_name = "S", default_value = "600", value_parser = options::parse_seconds)]
    max_seconds: Duration,
    /// Cancel all that is not done so many seconds after it was asked for, or at @UNIX-SECONDS
    #[arg(long, value_name = "S|@TIME", value_parser = parse_deadline)]
    deadline: Option<Deadline>,
    /// Write at most so many bytes in all, manifests and the index of a pack included; a table that would be
    /// more fails
    #[arg(long, value_name = "BYTES", value_parser = options::parse_bytes)]
    max_output_bytes: Option<u64>,
}

/// When all has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// So long after it was asked for.
    After(Duration),
    /// At this time, since the epoch.
    At(Duration),
}

impl Deadline {
    /// How long there is from then on (since 1970), when it was asked for.
    pub(crate) const fn time_left(self, asked: Duration) -> Duration {
        match self {
            Self::After(time) => time,
            Self::At(time) => time.saturating_sub(asked),
        }
    }
}

/// What the clock shows now.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn parse_deadline(value: &str) -> Result<Deadline, String> {
    match value.strip_prefix('@') {
        Some(time) => options::parse_seconds(time).map(Deadline::At),
        None => options::parse_seconds(value).map(Deadline::After),
    }
}

fn parse_width_rule(value: &str) -> Result<WidthRule, String> {
    match value {
        "auto" => Ok(WidthRule::FromName),
        _ => options::parse_key_size(value).map(WidthRule::Fixed),
    }
}

fn emit_help() -> String {
    let kinds = ArtifactKind::ALL.iter();
    let kinds: Vec<String> = kinds.map(|kind| format!("{kind} ({})", kind.summary())).collect();
    format!("Artifacts of each table, comma-separated: {}; or all", kinds.join(", "))
}

impl InputOptions {
    /// As jobs take it.
    pub(crate) fn checked(&self) -> KeyOptions {
        KeyOptions {
            width: self.key_size,
            encoding: if self.text { KeyEncoding::Text } else { KeyEncoding::Binary },
            repair: Repair { sort: self.sort, dedupe: self.dedupe },
        }
    }
}

impl SearchOptions {
    fn checked(&self, memory_bytes_max: u64) -> Result<Plan, Failure> {
        let (family, seeds) = (self.hash.family(), SeedSource::default());
        if let Some(given) = self.seeds {
            let counted = SeedSource::check_count(family, given.given);
            counted.map_err(|error| contradictory(&error.into()))?;
        }
        let seeds = SeedSource {
            rng_seed: self.rng_seed.unwrap_or(seeds.rng_seed),
            rng_subsequence: self.rng_subsequence,
            fixed: self.seeds.map_or(seeds.fixed, |given| given.words),
        };
        let (fixed, initial) = (self.fixed_attempts, self.initial_grows);
        let plan = Plan {
            family: self.hash,
            seeds,
            fixed_attempts: fixed,
            attempts_max: self.max_attempts.unwrap_or_else(|| Plan::attempts_max_beside(fixed)),
            grow_after: self.grow_after,
            grows_max: self.max_grows.unwrap_or_else(|| Plan::grows_max_beside(initial)),
            grows_initial: initial,
            memory_bytes_max,
        };
        plan.check().map_err(|contradiction| contradictory(&contradiction))?;
        Ok(plan)
    }
}

/// The options of a search that contradict each other, or the family.
fn contradictory(contradiction: &Contradiction) -> Failure {
    let (message, remedy) = match contradiction {
        Contradiction::NoAttempts { .. } => (contradiction.to_string(), "allow 1 at least"),
        Contradiction::FixedAttempts { fixed, max } => (
            format!("--fixed-attempts {fixed} is more than --max-attempts {max}"),
            "leave --max-attempts out: the fixed number is made, and no more",
        ),
        Contradiction::InitialGrows { initial, max } => (
            format!("--initial-grows {initial} is more than --max-grows {max}"),
            "raise --max-grows, or leave it out",
        ),
        Contradiction::Seeds(error @ FixedSeedsError::Count { .. }) => (
            format!("--seeds: {error}"),
            "leave the others out; `perfecta hashes` lists what each family takes",
        ),
        Contradiction::Seeds(error @ FixedSeedsError::Bits { .. }) => (
            format!("--seeds: {error}"),
            "set no other bits; docs/families.md lists what each seed is",
        ),
        // None of today's.
        _ => (contradiction.to_string(), "leave the options of the search out"),
    };
    Failure::usage(message).with_remedy(remedy)
}

impl OutputOptions {
    fn checked(&self, directory: Option<PathBuf>) -> Result<Option<Output>, Failure> {
        match (directory, self.no_output) {
            (Some(_), true) => {
                Err(Failure::usage("an output directory and --no-output contradict each other"))
            }
            (None, false) => Err(Failure::usage("no output directory").with_remedy(
                "name one after the keys, or give --no-output to build and verify only",
            )),
            (None, true) => Ok(None),
            (Some(directory), false) => Ok(Some(self.below(directory))),
        }
    }

    fn below(&self, directory: PathBuf) -> Output {
        Output {
            directory,
            layout: match self.layout {
                LayoutChoice::Dirs => Layout::Dirs,
                LayoutChoice::Packed => Layout::Packed,
            },
            durability: if self.durable { Durability::Power } else { Durability::Process },
            conflicts: if self.force { Conflicts::Replace } else { Conflicts::Refuse },
        }
    }

    /// What is asked for and left out.
    fn notice(&self) -> Option<&'static str> {
        let is_source_emitted = self.emit != ArtifactKinds::default();
        match self.layout {
            LayoutChoice::Packed if self.include_keys || is_source_emitted => {
                Some("a packed file holds tables alone: --emit and --include-keys are left out")
            }
            LayoutChoice::Dirs if self.include_keys && !is_source_emitted => {
                Some("nothing that --emit names has a self-test: --include-keys is left out")
            }
            LayoutChoice::Dirs | LayoutChoice::Packed => None,
        }
    }

    /// What is emitted of each table.
    fn artifacts(&self) -> Artifacts {
        let self_test = if self.include_keys { SelfTest::WithKeys } else { SelfTest::FromFile };
        Artifacts::new(self.emit.clone(), self_test)
    }
}

impl LimitOptions {
    /// The bounds of a job for these workers, or for those of a daemon, which has its own.
    fn checked(&self, share: Share, work: Option<&WorkOptions>) -> Limits {
        let defaults = Limits::default();
        let limits = Limits {
            // What there is here says nothing of a daemon's memory.
            memory_bytes_max: match work {
                Some(_) => self.memory.bytes_max(),
                None => self.memory.given().unwrap_or(u64::MAX),
            },
            item_time_max: Some(self.max_seconds),
            job_time_max: self.deadline.map(|deadline| deadline.time_left(since_1970())),
            output_bytes_max: self.max_output_bytes.unwrap_or(defaults.output_bytes_max),
            ..defaults
        };
        let Some(work) = work else { return limits };
        let files_in_flight_max = match share.files_in_flight_max {
            NonZeroUsize::MAX => work.files_in_flight_default(),
            files => files,
        };
        Limits {
            threads: work.threads(),
            files_in_flight_max,
            io_depth: work.io_depth(),
            cpus: work.cpus(),
            ..limits
        }
    }
}

impl JobOptions {
    /// The job on `inputs`, with tables in `directory`, for these workers or for a daemon.
    ///
    /// # Errors
    /// [`Failure`] where options contradict each other.
    pub(crate) fn job(
        &self,
        inputs: Inputs,
        directory: Option<PathBuf>,
        work: Option<&WorkOptions>,
    ) -> Result<Job, Failure> {
        let share = self.share.share();
        let limits = self.limits.checked(share, work);
        Ok(Job {
            inputs,
            keys: self.input.checked(),
            search: self.search.checked(limits.memory_bytes_max)?,
            output: match (directory, work) {
                // One that the daemon chooses.
                (None, None) if !self.output.no_output => Some(self.output.below(PathBuf::new())),
                (directory, _) => self.output.checked(directory)?,
            },
            ramp: self.share.ramp(work.map(WorkOptions::threads)),
            share,
            nodes: self.share.node_policy(),
            limits,
        })
    }

    /// When all has to be done, if that is bounded.
    pub(crate) const fn deadline(&self) -> Option<Deadline> {
        self.limits.deadline
    }

    /// What is emitted of each table.
    pub(crate) fn artifacts(&self) -> Artifacts {
        self.output.artifacts()
    }

    /// Where the table of this name lies in `directory`.
    pub(crate) fn place_of(&self, directory: PathBuf, table: &str) -> PathBuf {
        self.output.below(directory).place_of(table)
    }

    /// What is asked for and left out, in a sentence for the user.
    pub(crate) fn notice(&self) -> Option<&'static str> {
        self.output.notice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_in_the_help_are_those_of_a_plan() {
        let command = SearchOptions::augment_args(clap::Command::new("search"));
        let mut arguments = command.get_arguments();
        let mut check = |name: &str, bound: u64| {
            let help = arguments.find(|argument| argument.get_id() == name).unwrap().get_help();
            let help = help.unwrap().to_string();
            assert!(help.ends_with(&format!("[default: {bound}]")), "{help}");
        };
        check("max_attempts", Plan::ATTEMPTS_MAX);
        check("max_grows", Plan::GROWS_MAX.into());
    }

    #[test]
    fn a_deadline_is_a_time_from_now_or_a_time_of_day() {
        assert_eq!(parse_deadline("1.5"), Ok(Deadline::After(Duration::from_millis(1_500))));
        assert_eq!(parse_deadline("@7"), Ok(Deadline::At(Duration::from_secs(7))));
        let left = |deadline: Deadline| deadline.time_left(Duration::from_secs(5));
        assert_eq!(left(Deadline::At(Duration::from_secs(7))), Duration::from_secs(2));
        assert_eq!(left(Deadline::At(Duration::from_secs(4))), Duration::ZERO);
        assert_eq!(left(Deadline::After(Duration::from_secs(4))), Duration::from_secs(4));
        assert!(parse_deadline("soon").is_err() && parse_deadline("@").is_err());
    }
}
