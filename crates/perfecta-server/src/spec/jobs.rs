//! Requests as jobs, and jobs as requests.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use perfecta_core::key::{KeyWidth, Repair};
use perfecta_core::search::{Contradiction, FamilyChoice, Plan, UnknownFamily};
use perfecta_core::seeds::{FixedSeedsError, SeedSource};
use perfecta_emit::ArtifactKinds;
use perfecta_jobs::{
    Artifacts, Conflicts, Durability, Inputs, Job, KeyEncoding, KeyOptions, Layout, Limits,
    NameFilter, NodePolicy, Output, Ramp, SelfTest, Share, WidthRule,
};

use super::{
    Bounds, InputSpec, JobSpec, KeySize, KeySpec, LayoutSpec, LimitSpec, OutputSpec,
    PATH_BYTES_MAX, PATTERN_BYTES_MAX, PATTERNS_BYTES_MAX, SearchSpec, ShareSpec, default_emit,
};
use crate::problem::{Problem, shortened};

impl JobSpec {
    /// The request for a job whose relative paths are meant from `directory`.
    #[must_use]
    pub fn of(job: &Job, artifacts: &Artifacts, directory: Option<PathBuf>) -> Self {
        let unbounded = Limits::default().output_bytes_max;
        let limits = &job.limits;
        Self {
            directory,
            inputs: InputSpec::of(&job.inputs),
            output: job.output.as_ref().map(|output| OutputSpec::of(output, artifacts)),
            keys: KeySpec::of(job.keys),
            search: SearchSpec::of(&job.search),
            share: ShareSpec::of(job.ramp, job.share, job.nodes),
            limits: LimitSpec {
                memory_bytes: Some(limits.memory_bytes_max).filter(|max| *max != u64::MAX),
                max_milliseconds: limits.item_time_max.map_or(u64::MAX, milliseconds),
                max_output_bytes: Some(limits.output_bytes_max).filter(|max| *max != unbounded),
                deadline_ms: limits.job_time_max.map(milliseconds),
                deadline_unix_ms: None,
            },
        }
    }

    /// The job, and what it emits, when it is so late: a deadline that is a time is so far away.
    ///
    /// # Errors
    /// [`Problem`] that names the field.
    pub fn checked(
        &self,
        bounds: &Bounds,
        since_1970: Duration,
    ) -> Result<(Job, Artifacts), Problem> {
        let memory_bytes_max =
            self.limits.memory_bytes.unwrap_or(u64::MAX).min(bounds.memory_bytes_max);
        let defaults = Limits::default();
        let (ramp, share, nodes) = self.share.checked(bounds.threads)?;
        if let Some(directory) = &self.directory {
            check_length(directory).map_err(|wrong| wrong.of("directory"))?;
        }
        let job = Job {
            inputs: self.checked_inputs()?,
            keys: self.keys.checked(),
            search: self.search.checked(memory_bytes_max)?,
            output: self.output.as_ref().map(|output| self.checked_output(output)).transpose()?,
            ramp,
            share,
            nodes,
            limits: Limits {
                threads: bounds.threads,
                cpus: bounds.cpus,
                files_in_flight_max: bounds.files_in_flight_max,
                io_depth: bounds.io_depth,
                memory_bytes_max,
                item_time_max: Some(Duration::from_millis(self.limits.max_milliseconds)),
                job_time_max: self.limits.time_left(since_1970)?,
                output_bytes_max: self.limits.max_output_bytes.unwrap_or(defaults.output_bytes_max),
                ..defaults
            },
        };
        Ok((job, self.output.as_ref().map_or_else(default_artifacts, OutputSpec::artifacts)?))
    }

    /// The same, with what is done where it says nothing. Null is left where the daemon decides, or nothing is bounded.
    pub(crate) fn in_force(&self) -> Self {
        let mut spec = self.clone();
        if let InputSpec::Tree { include, .. } = &mut spec.inputs
            && include.is_empty()
        {
            let usual = self.keys.width().default_patterns();
            *include = usual.iter().map(|&pattern| pattern.to_owned()).collect();
        }
        let search = &mut spec.search;
        search.max_attempts = Some(search.attempts_max());
        search.max_grows = Some(search.grows_max());
        spec
    }

    fn checked_inputs(&self) -> Result<Inputs, Problem> {
        match &self.inputs {
            InputSpec::Files(files) if files.is_empty() => {
                Err(Problem::field("inputs.files", "names no key file", "name one at least"))
            }
            InputSpec::Files(files) => {
                let resolved = |(index, file): (usize, &PathBuf)| {
                    self.resolved(file).map_err(|wrong| wrong.of(file_field(index)))
                };
                let files = files.iter().enumerate().map(resolved);
                Ok(Inputs::Files(files.collect::<Result<_, _>>()?))
            }
            InputSpec::Tree { root, include, exclude } => {
                let root = self.resolved(root).map_err(|wrong| wrong.of("inputs.tree.root"))?;
                check_patterns(include, exclude)?;
                let width = self.keys.width();
                let names = NameFilter::new(width, include, exclude).map_err(|error| {
                    let is_of_include = NameFilter::new(width, include, &[]).is_err();
                    let list = if is_of_include { "include" } else { "exclude" };
                    let field = format!("inputs.tree.{list}");
                    Problem::field(field, error.to_string(), "mend the pattern")
                })?;
                Ok(Inputs::Tree { root, names })
            }
        }
    }

    fn checked_output(&self, output: &OutputSpec) -> Result<Output, Problem> {
        let directory = self.resolved(&output.directory);
        Ok(Output {
            directory: directory.map_err(|wrong| wrong.of("output.directory"))?,
            layout: match output.layout {
                LayoutSpec::Dirs => Layout::Dirs,
                LayoutSpec::Packed => Layout::Packed,
            },
            durability: if output.durable { Durability::Power } else { Durability::Process },
            conflicts: if output.force { Conflicts::Replace } else { Conflicts::Refuse },
        })
    }

    /// A path as the daemon finds it.
    fn resolved(&self, path: &Path) -> Result<PathBuf, WrongPath> {
        if path.as_os_str().is_empty() {
            return Err(WrongPath::EMPTY);
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(WrongPath::of_path(path, "holds a NUL", "name a path without"));
        }
        check_length(path)?;
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        match self.directory.as_deref().filter(|directory| directory.is_absolute()) {
            Some(directory) => Ok(directory.join(path)),
            None => Err(WrongPath::of_path(
                path,
                "is a relative path, and no absolute directory is named to resolve it from",
                "name an absolute path; in a request, an absolute `directory` does as well",
            )),
        }
    }

    /// What is asked for and left out, which its reader is told.
    pub(crate) fn left_out(&self) -> Option<&'static str> {
        self.output.as_ref().and_then(OutputSpec::left_out)
    }

    /// A path as the client named it, of one that [`Self::checked`] resolved.
    pub(crate) fn as_named<'p>(&self, path: &'p Path) -> &'p Path {
        match (&self.directory, self.inputs.named()) {
            (Some(directory), Some(named)) if named.is_relative() => {
                path.strip_prefix(directory).unwrap_or(path)
            }
            _ => path,
        }
    }

    /// The same of a path that an error names, of an output as well.
    pub(crate) fn rename(&self, path: &mut PathBuf) {
        let Some(directory) = &self.directory else { return };
        let is_below = |named: &&Path| path.starts_with(directory.join(named));
        let tree = match &self.inputs {
            InputSpec::Files(_) => None,
            InputSpec::Tree { root, .. } => Some(root.as_path()),
        };
        let output = self.output.as_ref().map(|output| output.directory.as_path());
        let output = output.filter(|output| !output.as_os_str().is_empty());
        let named = tree.filter(is_below).or_else(|| output.filter(is_below));
        let is_relative = named.or_else(|| self.inputs.named()).is_some_and(Path::is_relative);
        // By letters: the client's path may begin with `./`, or be that.
        let directory = directory.join("");
        let below = path.as_os_str().as_bytes().strip_prefix(directory.as_os_str().as_bytes());
        if let Some(below) = below.filter(|below| is_relative && !below.is_empty()) {
            *path = OsStr::from_bytes(below).into();
        }
    }

    /// A notice of the job that [`Self::checked`] made, with paths as the client named them. It holds no others, and
    /// nothing that looks like one: no pattern, and not where a link leads.
    pub(crate) fn in_its_words(&self, told: &str) -> String {
        let Some(directory) = self.directory.as_deref().and_then(Path::to_str) else {
            return told.to_owned();
        };
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        let output = self.output.as_ref().and_then(|output| output.directory.to_str());
        let output = output.filter(|output| !output.is_empty() && !output.starts_with('/'));
        let is_input_relative = self.inputs.named().is_some_and(Path::is_relative);
        let mut words = String::with_capacity(told.len());
        let mut copied = 0;
        for (at, _) in told.match_indices(&prefix) {
            let (before, behind) = (&told[..at], &told[at + prefix.len()..]);
            // Elsewhere it is in the middle of another path.
            let begins = before.chars().next_back().is_none_or(|last| " \"'`(".contains(last));
            let is_of_output = output.is_some_and(|output| behind.starts_with(output));
            if begins && (is_input_relative || is_of_output) {
                words.push_str(&told[copied..at]);
                copied = at + prefix.len();
            }
        }
        words.push_str(&told[copied..]);
        words
    }
}

/// So much is told of a path that is too long: enough to know which one it is.
const LONG_PATH_BYTES_TOLD: usize = 64;

/// Why a path is none, whichever field it stands in.
struct WrongPath {
    reason: Cow<'static, str>,
    remedy: &'static str,
}

impl WrongPath {
    const EMPTY: Self = Self { reason: Cow::Borrowed("is empty"), remedy: "name a path" };

    /// Names it: a client that was given a list knows its files by their names, and no numbers.
    fn of_path(path: &Path, reason: &str, remedy: &'static str) -> Self {
        let path = path.to_string_lossy();
        Self { reason: format!("{:?} {reason}", shortened(&path)).into(), remedy }
    }

    fn of(self, field: impl Into<String>) -> Problem {
        Problem::field(field, self.reason, self.remedy)
    }
}

/// One of the key files that a request names.
pub(crate) fn file_field(index: usize) -> String {
    format!("inputs.files[{index}]")
}

/// What no system takes is not kept and shown either.
fn check_length(path: &Path) -> Result<(), WrongPath> {
    let bytes = path.as_os_str().len();
    if bytes <= PATH_BYTES_MAX {
        return Ok(());
    }
    let path = path.to_string_lossy();
    let begin = format!("{} ...", &path[..path.floor_char_boundary(LONG_PATH_BYTES_TOLD)]);
    let reason = format!("is a path of {bytes} bytes, more than {PATH_BYTES_MAX}");
    Err(WrongPath::of_path(begin.as_ref(), &reason, "name a shorter one"))
}

/// What takes too long to compile is not begun.
fn check_patterns(include: &[String], exclude: &[String]) -> Result<(), Problem> {
    let mut bytes_all = 0;
    for (field, patterns) in [("inputs.tree.include", include), ("inputs.tree.exclude", exclude)] {
        if let Some(long) = patterns.iter().find(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            let bytes = long.len();
            let reason = format!("has a pattern of {bytes} bytes, more than {PATTERN_BYTES_MAX}");
            return Err(Problem::field(field, reason, "name a shorter one"));
        }
        bytes_all += patterns.iter().map(String::len).sum::<usize>();
        if bytes_all > PATTERNS_BYTES_MAX {
            let reason =
                format!("makes it {bytes_all} bytes of patterns, more than {PATTERNS_BYTES_MAX}");
            return Err(Problem::field(field, reason, "name fewer or shorter ones"));
        }
    }
    Ok(())
}

impl InputSpec {
    /// A path as the client named it, which tells how it names all of them.
    fn named(&self) -> Option<&Path> {
        match self {
            Self::Files(files) => files.first().map(PathBuf::as_path),
            Self::Tree { root, .. } => Some(root),
        }
    }

    fn of(inputs: &Inputs) -> Self {
        match inputs {
            Inputs::Files(files) => Self::Files(files.clone()),
            Inputs::Tree { root, names } => Self::Tree {
                root: root.clone(),
                include: names.include().to_vec(),
                exclude: names.exclude().to_vec(),
            },
        }
    }
}

impl OutputSpec {
    /// What is left out is not sent.
    fn of(output: &Output, artifacts: &Artifacts) -> Self {
        let given = Self {
            directory: output.directory.clone(),
            layout: match output.layout {
                Layout::Dirs => LayoutSpec::Dirs,
                Layout::Packed => LayoutSpec::Packed,
            },
            durable: output.durability == Durability::Power,
            force: output.conflicts == Conflicts::Replace,
            emit: artifacts.kinds().to_string(),
            include_keys: artifacts.self_test() == SelfTest::WithKeys,
        };
        match given.layout {
            LayoutSpec::Dirs => given,
            LayoutSpec::Packed => Self { emit: default_emit(), include_keys: false, ..given },
        }
    }

    /// What is asked for and left out.
    fn left_out(&self) -> Option<&'static str> {
        let kinds = self.emit.parse::<ArtifactKinds>();
        let is_source_emitted = kinds.is_ok_and(|kinds| kinds != ArtifactKinds::default());
        match self.layout {
            LayoutSpec::Packed if self.include_keys || is_source_emitted => Some(
                "a packed file holds tables alone: output.emit and output.include_keys are left out",
            ),
            LayoutSpec::Dirs if self.include_keys && !is_source_emitted => Some(
                "nothing that output.emit names has a self-test: output.include_keys is left out",
            ),
            LayoutSpec::Dirs | LayoutSpec::Packed => None,
        }
    }

    fn artifacts(&self) -> Result<Artifacts, Problem> {
        let kinds = self.emit.parse().map_err(|error: perfecta_emit::UnknownArtifact| {
            Problem::field("output.emit", error.to_string(), "name some of these, or all")
        })?;
        let self_test = if self.include_keys { SelfTest::WithKeys } else { SelfTest::FromFile };
        Ok(Artifacts::new(kinds, self_test))
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "stands in for what an output says, which may be wrong"
)]
fn default_artifacts() -> Result<Artifacts, Problem> {
    Ok(Artifacts::new(ArtifactKinds::default(), SelfTest::FromFile))
}

impl KeySpec {
    fn of(keys: KeyOptions) -> Self {
        Self {
            size: match keys.width {
                WidthRule::Fixed(KeyWidth::Bits32) => KeySize::Bits32,
                WidthRule::Fixed(KeyWidth::Bits64) => KeySize::Bits64,
                WidthRule::FromName => KeySize::Auto,
            },
            text: keys.encoding == KeyEncoding::Text,
            sort: keys.repair.sort,
            dedupe: keys.repair.dedupe,
        }
    }

    const fn width(&self) -> WidthRule {
        match self.size {
            KeySize::Bits32 => WidthRule::Fixed(KeyWidth::Bits32),
            KeySize::Bits64 => WidthRule::Fixed(KeyWidth::Bits64),
            KeySize::Auto => WidthRule::FromName,
        }
    }

    const fn checked(&self) -> KeyOptions {
        KeyOptions {
            width: self.width(),
            encoding: if self.text { KeyEncoding::Text } else { KeyEncoding::Binary },
            repair: Repair { sort: self.sort, dedupe: self.dedupe },
        }
    }
}

impl SearchSpec {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            hash: plan.family.to_string(),
            fixed_attempts: plan.fixed_attempts,
            max_attempts: Some(plan.attempts_max),
            grow_after: plan.grow_after,
            max_grows: Some(plan.grows_max),
            initial_grows: plan.grows_initial,
            seeds: plan.seeds.fixed,
            rng_seed: plan.seeds.rng_seed,
            rng_subsequence: plan.seeds.rng_subsequence,
        }
    }

    fn attempts_max(&self) -> u64 {
        self.max_attempts.unwrap_or_else(|| Plan::attempts_max_beside(self.fixed_attempts))
    }

    fn grows_max(&self) -> u8 {
        self.max_grows.unwrap_or_else(|| Plan::grows_max_beside(self.initial_grows))
    }

    fn checked(&self, memory_bytes_max: u64) -> Result<Plan, Problem> {
        let family: FamilyChoice = self.hash.parse().map_err(|_: UnknownFamily| {
            let reason = format!("there is no hash family {:?}", self.hash);
            Problem::field("search.hash", reason, "`perfecta hashes` lists them; or auto")
        })?;
        let seeds = SeedSource {
            rng_seed: self.rng_seed,
            rng_subsequence: self.rng_subsequence,
            fixed: self.seeds,
        };
        let plan = Plan {
            family,
            seeds,
            fixed_attempts: self.fixed_attempts,
            attempts_max: self.attempts_max(),
            grow_after: self.grow_after,
            grows_max: self.grows_max(),
            grows_initial: self.initial_grows,
            memory_bytes_max,
        };
        plan.check().map_err(|contradiction| contradictory(&contradiction))?;
        Ok(plan)
    }
}

/// The field of a search that contradicts another, or itself.
fn contradictory(contradiction: &Contradiction) -> Problem {
    let (field, reason, remedy) = match contradiction {
        Contradiction::NoAttempts { field } => {
            let field = match *field {
                "attempts_max" => "max_attempts",
                same => same,
            };
            return Problem::field(format!("search.{field}"), "is 0", "at least 1");
        }
        Contradiction::FixedAttempts { fixed, max } => (
            "search.fixed_attempts",
            format!("is {fixed}, more than search.max_attempts, {max}"),
            "leave search.max_attempts out: the fixed number is made, and no more",
        ),
        Contradiction::InitialGrows { initial, max } => (
            "search.initial_grows",
            format!("is {initial}, more than search.max_grows, {max}"),
            "raise search.max_grows, or leave it out",
        ),
        Contradiction::Seeds(error @ FixedSeedsError::Count { .. }) => {
            ("search.seeds", error.to_string(), "0 in the other places")
        }
        Contradiction::Seeds(error @ FixedSeedsError::Bits { .. }) => {
            ("search.seeds", error.to_string(), "0 in the other bits")
        }
        // None of today's.
        _ => ("search", contradiction.to_string(), "other values, or none"),
    };
    Problem::field(field, reason, remedy)
}

impl LimitSpec {
    /// The same of a request that was accepted then, in milliseconds since 1970.
    pub(crate) fn since(self, accepted_unix_ms: u64) -> Self {
        let at = self.deadline_ms.map(|after| accepted_unix_ms.saturating_add(after));
        Self { deadline_ms: None, deadline_unix_ms: at.or(self.deadline_unix_ms), ..self }
    }

    /// How long there is until the deadline at this time, if there is one.
    fn time_left(&self, since_1970: Duration) -> Result<Option<Duration>, Problem> {
        match (self.deadline_ms, self.deadline_unix_ms) {
            (None, None) => Ok(None),
            (Some(after), None) => Ok(Some(Duration::from_millis(after))),
            (None, Some(at)) => Ok(Some(Duration::from_millis(at).saturating_sub(since_1970))),
            (Some(_), Some(_)) => {
                let reason = "contradicts limits.deadline_ms";
                Err(Problem::field("limits.deadline_unix_ms", reason, "name one of them"))
            }
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl ShareSpec {
    pub(super) fn of(ramp: Ramp, share: Share, nodes: NodePolicy) -> Self {
        Self {
            weight: share.weight,
            max_files: Some(share.files_in_flight_max).filter(|max| *max != NonZeroUsize::MAX),
            per_file_initial: ramp.initial,
            per_file_max: Some(ramp.max).filter(|max| *max != NonZeroU32::MAX),
            ramp_ms: ramp.every.map_or(0, milliseconds),
            node_policy: nodes.to_string(),
        }
    }

    /// Where so many threads work.
    fn checked(&self, threads: NonZeroUsize) -> Result<(Ramp, Share, NodePolicy), Problem> {
        let nodes = self.node_policy.parse().map_err(|policies: &str| {
            let reason = format!("{:?} is no policy", self.node_policy);
            Problem::field("share.node_policy", reason, policies)
        })?;
        // What is allowed beyond them nobody makes, and those who are idle would wake for it.
        let threads = NonZeroU32::try_from(threads).unwrap_or(NonZeroU32::MAX);
        let most = self.per_file_max.map_or(threads, |max| max.min(threads));
        let ramp = Ramp {
            initial: self.per_file_initial,
            max: most.max(self.per_file_initial),
            every: (self.ramp_ms > 0).then(|| Duration::from_millis(self.ramp_ms)),
        };
        let files_in_flight_max = self.max_files.unwrap_or(NonZeroUsize::MAX);
        Ok((ramp, Share { weight: self.weight, files_in_flight_max }, nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds::SMALL;
    const NOW: Duration = Duration::from_secs(7);

    fn spec(json: &str) -> JobSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_told_of_a_job_has_paths_as_they_were_named() {
        let check = |root: &str, output: &str, told: &str, expected: &str| {
            let sent = format!(
                r#"{{"directory": "/d e", "inputs": {{"tree": {{"root": "{root}"}}}},
                "output": {{"directory": "{output}"}}}}"#
            );
            assert_eq!(spec(&sent).in_its_words(told), expected, "{root} {output}");
        };
        let told = "cannot open /d e/k/a: it lies in \"/d e/out\", /x/d e/k and /d e stay";
        let both = "cannot open k/a: it lies in \"out\", /x/d e/k and /d e stay";
        check("k", "out", told, both);
        check("k", "/out", told, both);
        check("/d e/k", "/d e/out", told, told);
        let output = "cannot open /d e/k/a: it lies in \"out\", /x/d e/k and /d e stay";
        check("/d e/k", "out", told, output);
        check("../k", ".", "cannot open /d e/../k/a", "cannot open ../k/a");
        assert_eq!(
            spec(r#"{"inputs": {"files": ["a"]}, "output": null}"#).in_its_words("/a"),
            "/a"
        );
    }

    #[test]
    fn a_path_in_an_error_is_that_which_was_named_and_what_lies_below_it() {
        let check = |root: &str, output: &str, path: &str, expected: &str| {
            let sent = format!(
                r#"{{"directory": "/d", "inputs": {{"tree": {{"root": "{root}"}}}},
                "output": {{"directory": "{output}"}}}}"#
            );
            let mut path = PathBuf::from(path);
            spec(&sent).rename(&mut path);
            assert_eq!(path.to_str(), Some(expected), "{root} {output}");
        };
        check("k", "out", "/d/k/a", "k/a");
        check("./k", "out", "/d/./k/a", "./k/a");
        check(".", "/o", "/d/.", ".");
        check("k", "/d/out", "/d/out/a", "/d/out/a");
        check("/d/k", "out", "/d/out/a", "out/a");
        check("/d/k", "out", "/d/k/a", "/d/k/a");
        check("k", "/d", "/d/k/a", "k/a");
        check("k", "out", "/dk/a", "/dk/a");
        check("k", "out", "/d", "/d");
    }

    #[test]
    fn every_field_survives_the_way_to_a_job_and_back() {
        let sent = spec(
            r#"{"directory": "/d", "inputs": {"tree": {"root": "/k", "include": ["*.a"], "exclude": ["b"]}},
            "output": {"directory": "/o", "layout": "dirs", "durable": true, "force": true, "emit": "c,rust",
                "include_keys": true},
            "keys": {"size": "auto", "text": true, "sort": true, "dedupe": true},
            "search": {"hash": "MultiplyShiftR", "fixed_attempts": 3, "max_attempts": 4, "grow_after": 5,
                "max_grows": 2, "initial_grows": 1, "seeds": [1, 2, 3, 0, 0, 0, 0, 0], "rng_seed": 18446744073709551615,
                "rng_subsequence": 9},
            "share": {"weight": 7, "max_files": 3, "per_file_initial": 2, "per_file_max": 5, "ramp_ms": 11,
                "node_policy": "node:0"},
            "limits": {"memory_bytes": 1000000, "max_milliseconds": 12, "max_output_bytes": 13, "deadline_ms": 14}}"#,
        );
        let bounds = Bounds { threads: NonZeroUsize::new(5).unwrap(), ..BOUNDS };
        let (job, artifacts) = sent.checked(&bounds, NOW).unwrap();
        assert_eq!(JobSpec::of(&job, &artifacts, Some("/d".into())), sent);
        assert_eq!(job.search.memory_bytes_max, 1_000_000);
    }

    #[test]
    fn what_is_asked_for_and_left_out_is_told_and_not_sent() {
        let check = |output: &str, expected: Option<&str>| {
            let json = format!(
                r#"{{"inputs": {{"files": ["/k"]}}, "output": {{"directory": "/o", {output}}}}}"#
            );
            let sent = spec(&json);
            let told = sent.left_out();
            assert_eq!(told.is_some(), expected.is_some(), "{output}");
            assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()), "{told:?}");
            let (job, artifacts) = sent.checked(&BOUNDS, NOW).unwrap();
            let again = JobSpec::of(&job, &artifacts, Some("/d".into()));
            assert_eq!(again.left_out().filter(|told| told.contains("packed")), None);
        };
        let packed = Some("output.emit and output.include_keys are left out");
        check(r#""layout": "packed""#, None);
        check(r#""layout": "packed", "emit": "pht""#, None);
        check(r#""layout": "packed", "emit": "all""#, packed);
        check(r#""layout": "packed", "include_keys": true"#, packed);
        check(r#""layout": "dirs", "emit": "c", "include_keys": true"#, None);
        check(r#""include_keys": true"#, Some("output.include_keys is left out"));
    }

    #[test]
    fn names_that_nobody_chose_are_not_sent_as_if_somebody_had() {
        let sent = spec(
            r#"{"inputs": {"tree": {"root": "/k"}}, "output": null, "keys": {"size": "auto"}}"#,
        );
        let (job, artifacts) = sent.checked(&BOUNDS, NOW).unwrap();
        let Inputs::Tree { names, .. } = &job.inputs else { panic!("{:?}", job.inputs) };
        assert_eq!(names.words(), "*.keys, *.keys64");
        let InputSpec::Tree { include, .. } =
            JobSpec::of(&job, &artifacts, Some("/d".into())).inputs
        else {
            panic!("it is a tree")
        };
        assert!(include.is_empty(), "{include:?}");
    }

    #[test]
    fn what_a_request_leaves_out_is_told_as_it_is_in_force() {
        let check = |size: &str, search: &str, include: &[&str], bounds: (u64, u8)| {
            let sent = spec(&format!(
                r#"{{"inputs": {{"tree": {{"root": "/k"}}}}, "output": null, "keys": {{"size": "{size}"}},
                "search": {{{search}}}}}"#
            ));
            let told = sent.in_force();
            let InputSpec::Tree { include: taken, .. } = &told.inputs else {
                panic!("it is a tree")
            };
            assert_eq!(taken, include);
            let search = &told.search;
            assert_eq!((search.max_attempts, search.max_grows), (Some(bounds.0), Some(bounds.1)));
            let plan = |spec: &JobSpec| spec.checked(&BOUNDS, NOW).unwrap().0.search;
            assert_eq!(plan(&told), plan(&sent));
            assert_eq!(told.in_force(), told, "what somebody chose is left");
        };
        check("32", "", &["*.keys"], (10_000_000, 5));
        check("auto", r#""max_attempts": 7"#, &["*.keys", "*.keys64"], (7, 5));
        let more = r#""fixed_attempts": 20000000, "initial_grows": 6"#;
        check("64", more, &["*.keys", "*.keys64"], (20_000_000, 6));
    }

    #[test]
    fn a_hash_is_named_as_on_the_command_line() {
        let hash = |hash: &str| {
            let search = format!(r#""search": {{"hash": "{hash}"}}"#);
            let json = format!(r#"{{"inputs": {{"files": ["/a"]}}, "output": null, {search}}}"#);
            spec(&json).checked(&BOUNDS, NOW).unwrap().0.search.family.to_string()
        };
        for (given, name) in [("multiplyshiftr", "MultiplyShiftR"), ("23", "MultiplyShiftR")] {
            assert_eq!(hash(given), name);
        }
        assert_eq!(hash("Auto"), "auto");
    }

    #[test]
    fn no_more_attempts_are_made_at_once_than_there_are_threads() {
        let most = |share: &str| {
            let json = format!(
                r#"{{"inputs": {{"files": ["/a"]}}, "output": null, "share": {{{share}}}}}"#
            );
            let bounds = Bounds { threads: NonZeroUsize::new(3).unwrap(), ..BOUNDS };
            spec(&json).checked(&bounds, NOW).unwrap().0.ramp.max.get()
        };
        assert_eq!(most(""), 3);
        assert_eq!(most(r#""per_file_max": 2"#), 2);
        assert_eq!(most(r#""per_file_max": 4000000000"#), 3);
        assert_eq!(most(r#""per_file_initial": 5"#), 5);
    }

    #[test]
    fn a_wrong_value_is_told_by_its_field() {
        let check = |change: &str, field: &str| {
            let json = format!(r#"{{"inputs": {{"files": ["/a"]}}, "output": null, {change}}}"#);
            let problem = spec(&json).checked(&BOUNDS, NOW).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field), "{problem:?}");
            assert!(problem.remedy.is_some());
        };
        check(r#""search": {"hash": "Murmur"}"#, "search.hash");
        check(r#""search": {"max_attempts": 0}"#, "search.max_attempts");
        check(r#""search": {"fixed_attempts": 0}"#, "search.fixed_attempts");
        check(r#""search": {"grow_after": 0}"#, "search.grow_after");
        let fixed = r#""search": {"fixed_attempts": 10, "max_attempts": 5}"#;
        check(fixed, "search.fixed_attempts");
        check(r#""search": {"initial_grows": 3, "max_grows": 2}"#, "search.initial_grows");
        let surplus = r#""search": {"hash": "MultiplyShiftR", "seeds": [1, 2, 3, 4, 0, 0, 0, 8]}"#;
        check(surplus, "search.seeds");
        check(r#""search": {"seeds": [1, 2, 3, 4, 5, 6, 7, 8]}"#, "search.seeds");
        let bits = r#""search": {"hash": "MultiplyShiftR", "seeds": [1, 2, 16639, 0, 0, 0, 0, 0]}"#;
        check(bits, "search.seeds");
        check(r#""share": {"node_policy": "any"}"#, "share.node_policy");
        let both = r#""limits": {"deadline_ms": 1, "deadline_unix_ms": 1}"#;
        check(both, "limits.deadline_unix_ms");
    }

    #[test]
    fn a_bound_that_is_not_given_is_no_less_than_what_is_done_in_any_case() {
        let bounds = |search: &str| {
            let search = format!(r#""search": {{{search}}}"#);
            let json = format!(r#"{{"inputs": {{"files": ["/a"]}}, "output": null, {search}}}"#);
            let plan = spec(&json).checked(&BOUNDS, NOW).unwrap().0.search;
            (plan.attempts_max, plan.grows_max)
        };
        assert_eq!(bounds(""), (10_000_000, 5));
        let none = r#""max_attempts": null, "max_grows": null, "fixed_attempts": 7"#;
        assert_eq!(bounds(none), (10_000_000, 5));
        let more = r#""fixed_attempts": 1000000000000000, "initial_grows": 6"#;
        assert_eq!(bounds(more), (1_000_000_000_000_000, 6));
    }

    #[test]
    fn a_deadline_that_is_a_time_is_counted_from_now() {
        let time_left = |at: u64| {
            let json = format!(
                r#"{{"inputs": {{"files": ["/a"]}}, "output": null, "limits": {{"deadline_unix_ms": {at}}}}}"#
            );
            spec(&json).checked(&BOUNDS, NOW).unwrap().0.limits.job_time_max.unwrap()
        };
        assert_eq!(time_left(1_000), Duration::ZERO);
        assert_eq!(time_left(9_500), Duration::from_millis(2_500));
    }

    #[test]
    fn what_was_accepted_before_has_had_its_time_since_then() {
        let since = |deadline_ms, deadline_unix_ms| {
            let limits = LimitSpec { deadline_ms, deadline_unix_ms, ..LimitSpec::default() };
            let limits = limits.since(1_000);
            (limits.deadline_ms, limits.deadline_unix_ms)
        };
        assert_eq!(since(Some(500), None), (None, Some(1_500)));
        assert_eq!(since(Some(u64::MAX), None), (None, Some(u64::MAX)));
        assert_eq!(since(None, Some(7)), (None, Some(7)));
        assert_eq!(since(None, None), (None, None));
    }

    #[test]
    fn a_path_that_no_system_takes_is_refused() {
        let null = spec(r#"{"inputs": {"files": ["/a\u0000b"]}, "output": null}"#);
        let problem = null.checked(&BOUNDS, NOW).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("inputs.files[0]"));
        assert_eq!(problem.detail, r#"inputs.files[0]: "/a\0b" holds a NUL"#);
    }

    #[test]
    fn a_path_that_is_longer_than_any_is_refused() {
        let check = |json: &str, field: &str| {
            let of_bytes = |bytes: usize| {
                let path = format!("/{}", "a".repeat(bytes - 1));
                spec(&json.replace("PATH", &path)).checked(&BOUNDS, NOW)
            };
            assert!(of_bytes(PATH_BYTES_MAX).is_ok());
            let problem = of_bytes(PATH_BYTES_MAX + 1).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field));
            assert!(
                problem.detail.contains(": \"/aaa") && problem.detail.len() < 200,
                "{problem:?}"
            );
            assert!(problem.detail.ends_with("is a path of 4097 bytes, more than 4096"));
        };
        check(r#"{"inputs": {"files": ["/a", "PATH"]}, "output": null}"#, "inputs.files[1]");
        check(r#"{"inputs": {"tree": {"root": "PATH"}}, "output": null}"#, "inputs.tree.root");
        let output = r#"{"inputs": {"files": ["/a"]}, "output": {"directory": "PATH"}}"#;
        check(output, "output.directory");
        let directory = r#"{"directory": "PATH", "inputs": {"files": ["/a"]}, "output": null}"#;
        check(directory, "directory");
    }

    #[test]
    fn patterns_that_take_too_long_to_compile_are_refused() {
        let check = |include: &[String], exclude: &[String], expected: Option<&str>| {
            let request = spec(r#"{"inputs": {"tree": {"root": "/k"}}, "output": null}"#);
            let (include, exclude) = (include.to_vec(), exclude.to_vec());
            let inputs = InputSpec::Tree { root: "/k".into(), include, exclude };
            let problem = JobSpec { inputs, ..request }.checked(&BOUNDS, NOW).err();
            let field = problem.as_ref().and_then(|problem| problem.field.as_deref());
            assert_eq!(field, expected, "{problem:?}");
            assert!(problem.is_none_or(|problem| problem.detail.len() < 100));
        };
        let long = ["a".repeat(PATTERN_BYTES_MAX)];
        let longer = ["a".repeat(PATTERN_BYTES_MAX + 1)];
        check(&long, &long, None);
        check(&longer, &long, Some("inputs.tree.include"));
        check(&long, &longer, Some("inputs.tree.exclude"));
        let half = vec!["a".repeat(64); PATTERNS_BYTES_MAX / 64 / 2];
        check(&half, &half, None);
        let one = ["a".to_owned()];
        check(&[&half[..], &one].concat(), &half, Some("inputs.tree.exclude"));
        check(&[&half[..], &half, &one].concat(), &[], Some("inputs.tree.include"));
    }

    #[test]
    fn a_pattern_that_is_none_is_told_by_its_list() {
        for list in ["include", "exclude"] {
            let json = format!(
                r#"{{"inputs": {{"tree": {{"root": "/k", "{list}": ["[a"]}}}}, "output": null}}"#
            );
            let problem = spec(&json).checked(&BOUNDS, NOW).unwrap_err();
            assert_eq!(problem.field, Some(format!("inputs.tree.{list}")));
        }
    }

    #[test]
    fn a_relative_path_wants_a_directory() {
        let relative = spec(r#"{"inputs": {"files": ["a"]}, "output": null}"#);
        let problem = relative.checked(&BOUNDS, NOW).unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("inputs.files[0]"));
        assert!(problem.detail.starts_with("inputs.files[0]: \"a\" is a relative path"));
        let based = JobSpec { directory: Some("/d".into()), ..relative };
        let (job, _) = based.checked(&BOUNDS, NOW).unwrap();
        assert!(matches!(job.inputs, Inputs::Files(files) if files == [PathBuf::from("/d/a")]));
    }

    #[test]
    fn no_output_has_to_be_said() {
        let silent = serde_json::from_str::<JobSpec>(r#"{"inputs": {"files": ["/a"]}}"#);
        assert!(silent.unwrap_err().to_string().contains("output"));
    }
}
