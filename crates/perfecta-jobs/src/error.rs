//! What can go wrong with an item and with a job, and whose fault it is.

use std::path::PathBuf;
use std::time::Duration;

use perfecta_core::interrupt::Interrupted;
use perfecta_core::key::KeyError;
use perfecta_core::search::{AttemptsMade, FamilyChoice, Limit, PlanError};
use perfecta_core::table::VerifyError;
use perfecta_io::{IoError, IoErrorKind, thousands};

use crate::names::PassedOver;

/// What the exit code of a program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExitClass {
    /// All went well.
    Ok,
    /// A bug here.
    Internal,
    /// What was asked for makes no sense: a file is named where a directory is meant, it may be.
    Usage,
    /// Of several tables at least one failed.
    SomeFailed,
    /// No key file matched.
    NothingMatched,
    /// A key file is not one.
    InvalidKeys,
    /// No table within the limits.
    Unsolved,
    /// The output has something else in its place.
    Conflict,
    /// Disk or file system.
    Io,
    /// Written bytes do not give every key its index.
    Verification,
    /// Another run holds the output.
    Locked,
    /// Permission denied.
    Denied,
    /// Not done in time.
    Expired,
    /// Cancelled by the user.
    Cancelled,
}

impl ExitClass {
    /// All of them, by their codes.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Internal,
        Self::Usage,
        Self::SomeFailed,
        Self::NothingMatched,
        Self::InvalidKeys,
        Self::Unsolved,
        Self::Conflict,
        Self::Io,
        Self::Verification,
        Self::Locked,
        Self::Denied,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::SomeFailed => 3,
            Self::NothingMatched => 4,
            Self::InvalidKeys => 5,
            Self::Unsolved => 6,
            Self::Conflict => 7,
            Self::Io => 8,
            Self::Verification => 9,
            Self::Locked => 11,
            Self::Denied => 12,
            Self::Expired => 15,
            Self::Cancelled => 130,
        }
    }

    /// The class as a word, for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::SomeFailed => "some_failed",
            Self::NothingMatched => "nothing_matched",
            Self::InvalidKeys => "invalid_keys",
            Self::Unsolved => "unsolved",
            Self::Conflict => "conflict",
            Self::Io => "io",
            Self::Verification => "verification",
            Self::Locked => "locked",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why one item has no table. The key file is named by the report that holds this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The key file cannot be read.
    #[error(transparent)]
    Input(IoError),
    /// The key file holds no key set.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// It lies in a directory whose name would be taken for a stage of ours in the output.
    #[error("its directory's name is kept for perfecta's stages")]
    ReservedName,
    /// The plan cannot succeed on these keys.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The search ended without a table.
    #[error("no table after {}: {limit}", AttemptsMade(*.attempts))]
    Unsolved {
        /// What ended it.
        limit: Limit,
        /// Attempts made.
        attempts: u64,
        /// What was searched in.
        family: FamilyChoice,
    },
    /// The search took too long.
    #[error("no table after {} in {} s", AttemptsMade(*.attempts), .limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
        /// Attempts made.
        attempts: u64,
        /// What was searched in.
        family: FamilyChoice,
    },
    /// The item does not fit the job's memory.
    #[error("it needs about {} bytes of memory, the limit is {}", thousands(*.needed), thousands(*.limit))]
    Memory {
        /// Bytes that it needs.
        needed: u64,
        /// The job's limit.
        limit: u64,
    },
    /// With the doublings that were asked for at first, it does not fit the job's memory.
    #[error(
        "with {grows} doublings at first it needs about {} bytes of memory, the limit is {}",
        thousands(*.needed), thousands(*.limit)
    )]
    DoubledMemory {
        /// Doublings asked for.
        grows: u8,
        /// Bytes that it needs.
        needed: u64,
        /// The job's limit.
        limit: u64,
    },
    /// Another key file of the job has the same place in the output.
    #[error("{} goes to the same place, {target}", .other.display())]
    Clash {
        /// The other key file.
        other: PathBuf,
        /// The place, below the output directory.
        target: String,
    },
    /// Another key file of the job has the same place in the output where the case of letters is ignored.
    #[error(
        "{} goes to {target}: names that differ in upper and lower case alone are one where file systems ignore it",
        .other.display()
    )]
    ClashByCase {
        /// The other key file.
        other: PathBuf,
        /// Its place, below the output directory.
        target: String,
    },
    /// The place of another key file of the job lies in its own, or its own in that.
    #[error("{} goes to {target}: one place lies in the other", .other.display())]
    Nested {
        /// The other key file.
        other: PathBuf,
        /// Its place, below the output directory.
        target: String,
    },
    /// The same where the case of letters is ignored.
    #[error(
        "{} goes to {target}: one place lies in the other where file systems ignore upper and lower case",
        .other.display()
    )]
    NestedByCase {
        /// The other key file.
        other: PathBuf,
        /// Its place, below the output directory.
        target: String,
    },
    /// The target lies in a table that is published.
    #[error("{} is a table: nothing else is published in it", .table.display())]
    InTable {
        /// The table.
        table: PathBuf,
    },
    /// The target is a directory of key files, or above or below one.
    #[error("{} holds key files or lies among them, which are never written to", .target.display())]
    InputInTheWay {
        /// The target.
        target: PathBuf,
    },
    /// The target is there and has no manifest of ours.
    #[error("{} exists and is no table of ours", .target.display())]
    Foreign {
        /// The target.
        target: PathBuf,
    },
    /// In the target lies what no table of its name has: another table's directory, it may be.
    #[error("{} holds {}, which is no part of the table that goes there", .target.display(), .name.display())]
    ForeignPart {
        /// The target.
        target: PathBuf,
        /// What lies in it.
        name: PathBuf,
    },
    /// The target was absent when the item began, and is there now.
    #[error("{} was made by somebody else meanwhile", .target.display())]
    Overtaken {
        /// The target.
        target: PathBuf,
    },
    /// Writing failed.
    #[error(transparent)]
    Output(IoError),
    /// The job wrote as much as it may.
    #[error(
        "with its {} bytes the job would write more than its limit of {} bytes",
        thousands(*.bytes), thousands(*.bytes_max)
    )]
    OutputLimit {
        /// Bytes of the item.
        bytes: u64,
        /// The job's limit.
        bytes_max: u64,
    },
    /// The disk was full for several items in a row, and this one was not begun.
    #[error("not begun: the disk was full {0} times in a row")]
    DiskFull(u32),
    /// A table cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The table does not give every key its index.
    #[error("verification failed: {0}")]
    Verify(#[from] VerifyError),
    /// The bytes that were read back are not those that should be there.
    #[error("verification failed: {}: {reason}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file lies in a table's directory that is no part of it.
    #[error("verification failed: {}: the manifest does not list it", .file.display())]
    Unlisted {
        /// The file.
        file: PathBuf,
    },
    /// Something lies in a table's directory that is no file of a table, or what says that it is one lies in
    /// another's.
    #[error(
        "verification failed: {}: {} is a {kind}, and no part of the table that {} says is there",
        .directory.display(), .part.display(), .claim.display()
    )]
    Mixed {
        /// The directory.
        directory: PathBuf,
        /// What is no file of a table.
        part: PathBuf,
        /// What kind of file it is.
        kind: &'static str,
        /// By which the directory was taken for a table's.
        claim: PathBuf,
    },
    /// A key file has no table where that would lie.
    #[error("verification failed: {}: no table of the key file is there", .target.display())]
    NoTable {
        /// Its place.
        target: PathBuf,
    },
    /// A table or a pack was published after the verification had looked at what there is.
    #[error("{} was published while others were verified", .target.display())]
    PublishedMeanwhile {
        /// Its directory.
        target: PathBuf,
    },
    /// A published table was to be checked against its keys, and none of the key files is its own.
    #[error("verification failed: none of the key files is that of this table")]
    NoKeyFile,
    /// A worker panicked: a bug here.
    #[error("internal error: {0}")]
    Panicked(String),
}

impl ItemError {
    /// The files and directories that it names, for whoever knows them by other names.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Input(error) | Self::Output(error) => error.paths_mut(),
            Self::Clash { other, .. }
            | Self::ClashByCase { other, .. }
            | Self::Nested { other, .. }
            | Self::NestedByCase { other, .. } => vec![other],
            Self::InTable { table } => vec![table],
            Self::InputInTheWay { target }
            | Self::Foreign { target }
            | Self::Overtaken { target }
            | Self::NoTable { target }
            | Self::PublishedMeanwhile { target } => vec![target],
            // What lies in it is told by its name alone.
            Self::ForeignPart { target, name: _ } => vec![target],
            Self::Damaged { file, .. } | Self::Unlisted { file } => vec![file],
            Self::Mixed { directory, part, claim, .. } => vec![directory, part, claim],
            Self::Keys(_)
            | Self::ReservedName
            | Self::Plan(_)
            | Self::Unsolved { .. }
            | Self::TimedOut { .. }
            | Self::Memory { .. }
            | Self::DoubledMemory { .. }
            | Self::OutputLimit { .. }
            | Self::DiskFull(_)
            | Self::Render(_)
            | Self::Verify(_)
            | Self::NoKeyFile
            | Self::Panicked(_) => Vec::new(),
        }
    }

    /// What the exit code says of it.
    #[must_use]
    pub fn exit_class(&self) -> ExitClass {
        match self {
            Self::Input(error) if error.is_denied() => ExitClass::Denied,
            Self::Input(error) if error.errno().is_some() => ExitClass::Io,
            Self::Input(_) | Self::Keys(_) | Self::ReservedName => ExitClass::InvalidKeys,
            Self::Plan(_)
            | Self::Unsolved { .. }
            | Self::TimedOut { .. }
            | Self::Memory { .. }
            | Self::DoubledMemory { .. } => ExitClass::Unsolved,
            Self::Clash { .. }
            | Self::ClashByCase { .. }
            | Self::Nested { .. }
            | Self::NestedByCase { .. }
            | Self::InTable { .. }
            | Self::InputInTheWay { .. }
            | Self::Foreign { .. }
            | Self::ForeignPart { .. }
            | Self::Overtaken { .. } => ExitClass::Conflict,
            Self::Output(error) if error.is_denied() => ExitClass::Denied,
            Self::Output(_)
            | Self::OutputLimit { .. }
            | Self::DiskFull(_)
            | Self::PublishedMeanwhile { .. } => ExitClass::Io,
            Self::Verify(_)
            | Self::Damaged { .. }
            | Self::Unlisted { .. }
            | Self::Mixed { .. }
            | Self::NoTable { .. }
            | Self::NoKeyFile => ExitClass::Verification,
            Self::Render(_) | Self::Panicked(_) => ExitClass::Internal,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Input(IoError { kind: IoErrorKind::NotAFile("directory"), .. }) => {
                Some("name a key file; `bulk-create` takes all files of a directory")
            }
            Self::Input(IoError { kind: IoErrorKind::NotAFile("FIFO"), .. }) => Some(PIPES_REFUSED),
            Self::Input(error) if error.is_absent() && error.path.ends_with("-") => {
                Some(PIPES_REFUSED)
            }
            Self::Input(IoError { kind: IoErrorKind::TooLarge { .. }, .. }) => Some(
                "split the set, or give its keys in binary and each once: larger files are not read",
            ),
            // What was published is bounded by nothing else.
            Self::Output(IoError { kind: IoErrorKind::TooLarge { .. }, .. }) => {
                Some("raise the memory limit (--memory)")
            }
            Self::Input(error) | Self::Output(error) => error.remedy(),
            Self::Keys(error) => Some(error.remedy()),
            Self::ReservedName => Some("rename the directory"),
            Self::Plan(PlanError::Unsuitable(_)) => Some("choose another hash, or --hash auto"),
            Self::Plan(PlanError::NoAttempts { .. }) => Some("allow 1 attempt at least"),
            Self::Plan(PlanError::Memory { .. }) | Self::Memory { .. } => {
                Some("raise the memory limit (--memory), or split the set")
            }
            Self::DoubledMemory { .. } => Some(
                "ask for fewer doublings at first (--initial-grows), raise the memory limit (--memory), or split the set",
            ),
            Self::Plan(PlanError::TooLarge { .. }) => Some("ask for fewer doublings at first"),
            // None of today's.
            Self::Plan(_) => None,
            Self::Unsolved { limit: Limit::FixedSeeds | Limit::FewSeeds { .. }, .. } => {
                Some("give other seeds, or 0 for a seed that is to be drawn anew for each attempt")
            }
            Self::Unsolved { limit: Limit::Obstructed(obstructed), .. } => {
                Some(match (obstructed.has_fixed_seeds, obstructed.doublings) {
                    (true, _) => "give other seeds, choose another hash, or --hash auto",
                    (false, Some(_)) => {
                        "choose another hash, or --hash auto; or let the table grow (--grow-after, --max-grows)"
                    }
                    (false, None) => {
                        "choose another hash, or --hash auto: neither attempts nor a larger table help"
                    }
                })
            }
            Self::Unsolved { family, .. } | Self::TimedOut { family, .. } => Some(match family {
                FamilyChoice::Auto => "raise the limit, or let the table grow",
                FamilyChoice::Named(_) => {
                    "raise the limit, let the table grow, or choose --hash auto"
                }
            }),
            Self::Clash { .. } => {
                Some("list a key file once; of two files rename one, or build them apart")
            }
            Self::ClashByCase { .. } => Some("rename one of the files, or build them apart"),
            Self::Nested { .. } | Self::NestedByCase { .. } => {
                Some("rename the file or the directory of the other, or build them apart")
            }
            Self::InTable { .. } => {
                Some("choose another output directory, or rename the directory of the keys")
            }
            Self::InputInTheWay { .. } => Some("choose an output directory apart from the keys"),
            Self::Foreign { .. } => {
                Some("choose another output directory, remove it, or give --force")
            }
            Self::ForeignPart { .. } => Some(
                "choose another output directory, rename the key file, or give --force, which removes all that \
                 lies there",
            ),
            Self::Overtaken { .. } => Some("let one run at a time write there, and run again"),
            Self::OutputLimit { .. } => {
                Some("raise the limit of output bytes (--max-output-bytes)")
            }
            Self::DiskFull(_) => Some("free space, then run again: finished tables are kept"),
            Self::Verify(_) | Self::Damaged { .. } => Some(
                "build the table again, with --force if that finds none of ours; if it persists, check disk and memory",
            ),
            Self::Unlisted { .. } => Some("move it away, or build the table again with --force"),
            Self::Mixed { .. } => {
                Some("move one of the two away: a table's directory holds its files alone")
            }
            Self::NoTable { .. } => Some("build it; if that cannot be done, it says why"),
            Self::PublishedMeanwhile { .. } => Some("verify again when no run writes there"),
            Self::NoKeyFile => Some(
                "name the directory of its key file, and what key files are called there (--include, or \
                 --key-size auto for *.keys64 as well); without, only hashes and forms are checked",
            ),
            Self::Render(_) | Self::Panicked(_) => Some("please report it, with the key file"),
        }
    }
}

/// Of standard input and of pipes.
const PIPES_REFUSED: &str = "write the keys to a file and name that: a table has its name from it, and a pipe has no length";

/// Why what was done for an item ended before it was done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It cannot be done.
    Failed(ItemError),
    /// The user cancelled.
    Cancelled,
}

impl<E: Into<ItemError>> From<E> for Stop {
    fn from(error: E) -> Self {
        match error.into() {
            // Nobody but the user's cancelling ends an operation early.
            ItemError::Input(IoError { kind: IoErrorKind::Cancelled, .. })
            | ItemError::Output(IoError { kind: IoErrorKind::Cancelled, .. }) => Self::Cancelled,
            error => Self::Failed(error),
        }
    }
}

impl Stop {
    /// Of what looks at the user's flag and at nothing else.
    pub(crate) const fn interrupted(_: Interrupted) -> Self {
        Self::Cancelled
    }
}

/// Why a whole job could not run. Failures of single items are no such thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// No key file matched.
    #[error("no key file ({patterns}) in {}{}", .root.display(), passed_over_words(.passed_over.as_ref()))]
    NothingMatched {
        /// The directory that was searched.
        root: PathBuf,
        /// The patterns that names were held against.
        patterns: String,
        /// What is called as key files are, all the same.
        passed_over: Option<PassedOver>,
    },
    /// No table is there to be verified.
    #[error("no table is published in {}", .root.display())]
    NothingPublished {
        /// The directory that was searched.
        root: PathBuf,
    },
    /// The input directory cannot be listed.
    #[error(transparent)]
    Input(IoError),
    /// What is to be verified cannot be listed.
    #[error(transparent)]
    Published(IoError),
    /// The key files that tables are to be held against cannot be listed.
    #[error(transparent)]
    KeysOfPublished(IoError),
    /// The output directory lies in the input, which is never written to.
    #[error("the output directory {} lies in the input directory {}", .output.display(), .input.display())]
    OutputInInput {
        /// The output directory.
        output: PathBuf,
        /// The input directory.
        input: PathBuf,
    },
    /// The output cannot be prepared or published.
    #[error(transparent)]
    Output(IoError),
    /// The packed output is there and is not ours.
    #[error("{} exists and is no table file of ours", .target.display())]
    Foreign {
        /// The target.
        target: PathBuf,
    },
    /// Items were to go to a node without workers.
    #[error("there is no node {node}: workers run on {num_nodes}, counted from 0")]
    NoSuchNode {
        /// The node that was asked for.
        node: usize,
        /// Nodes with workers.
        num_nodes: usize,
    },
    /// What was asked for is not built in.
    #[error("{0} is not available")]
    Unsupported(&'static str),
    /// The user cancelled it before any of its key files was begun.
    #[error("cancelled before it began")]
    Cancelled,
    /// Its time was over before any of its key files was begun.
    #[error("its time was over before it began")]
    Expired,
    /// What is done for it as a whole panicked: a bug here.
    #[error("internal error: {0}")]
    Panicked(String),
}

fn passed_over_words(files: Option<&PassedOver>) -> String {
    files.map_or_else(String::new, |files| {
        format!("; {files}: not taken, though called as key files are")
    })
}

impl JobError {
    /// The files and directories that it names, for whoever knows them by other names.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::NothingMatched { root, patterns: _, passed_over } => {
                let first = passed_over.as_mut().map(PassedOver::first_mut);
                std::iter::once(root).chain(first).collect()
            }
            Self::NothingPublished { root } => vec![root],
            Self::Input(error)
            | Self::Published(error)
            | Self::KeysOfPublished(error)
            | Self::Output(error) => error.paths_mut(),
            Self::OutputInInput { output, input } => vec![output, input],
            Self::Foreign { target } => vec![target],
            Self::NoSuchNode { .. }
            | Self::Unsupported(_)
            | Self::Cancelled
            | Self::Expired
            | Self::Panicked(_) => Vec::new(),
        }
    }

    /// What the exit code says of it.
    #[must_use]
    pub fn exit_class(&self) -> ExitClass {
        match self {
            Self::NothingMatched { .. } | Self::NothingPublished { .. } => {
                ExitClass::NothingMatched
            }
            Self::Input(error)
            | Self::Published(error)
            | Self::KeysOfPublished(error)
            | Self::Output(error)
                if error.is_denied() =>
            {
                ExitClass::Denied
            }
            Self::Input(error)
            | Self::Published(error)
            | Self::KeysOfPublished(error)
            | Self::Output(error)
                if error.is_not_a_directory() && !error.is_link() =>
            {
                ExitClass::Usage
            }
            Self::Output(error) if error.kind == perfecta_io::IoErrorKind::Locked => {
                ExitClass::Locked
            }
            Self::Input(_) | Self::Published(_) | Self::KeysOfPublished(_) | Self::Output(_) => {
                ExitClass::Io
            }
            Self::OutputInInput { .. } | Self::Foreign { .. } => ExitClass::Conflict,
            Self::NoSuchNode { .. } => ExitClass::Usage,
            Self::Unsupported(_) | Self::Panicked(_) => ExitClass::Internal,
            Self::Cancelled => ExitClass::Cancelled,
            Self::Expired => ExitClass::Expired,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NothingMatched { passed_over: Some(files), .. } => Some(files.remedy()),
            Self::NothingMatched { passed_over: None, .. } => {
                Some("check the directory, what --include takes and what --exclude leaves out")
            }
            Self::NothingPublished { .. } => Some("name the output directory of a run"),
            Self::Input(error) if error.is_not_a_directory() => {
                Some("name a directory; `create` takes a single key file")
            }
            Self::Published(error) if error.is_not_a_directory() => Some(
                "name the directory that the table was published into; `perfecta inspect` takes a single file",
            ),
            Self::KeysOfPublished(error) if error.is_not_a_directory() => {
                Some("name a directory of key files, or a key file that is a regular file")
            }
            // It is made if nothing is there.
            Self::Output(error) if error.is_absent() => Some(
                "if a symbolic link is there that leads nowhere, remove it or make what it names",
            ),
            Self::Input(error)
            | Self::Published(error)
            | Self::KeysOfPublished(error)
            | Self::Output(error) => error.remedy(),
            Self::OutputInInput { .. } => Some("choose an output directory outside the input"),
            Self::Foreign { .. } => Some("choose another output directory, or give --force"),
            Self::NoSuchNode { .. } => {
                Some("name another node, or let the least loaded one take them")
            }
            Self::Unsupported(_) | Self::Cancelled => None,
            Self::Expired => Some("give it more time, or ask when there is less to do"),
            Self::Panicked(_) => Some("please report it, with the options"),
        }
    }
}

/// A table that cannot be expressed in an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{artifact} cannot be rendered: {reason}")]
pub struct RenderError {
    /// The artifact.
    pub artifact: String,
    /// Why not.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfecta_core::family::Family;

    #[test]
    fn another_hash_is_advised_only_where_one_was_named() {
        let check = |family, is_advised| {
            let (limit, time) = (Limit::Attempts, Duration::from_secs(1));
            let unsolved = ItemError::Unsolved { limit, attempts: 5, family };
            let timed_out = ItemError::TimedOut { limit: time, attempts: 5, family };
            for error in [unsolved, timed_out] {
                let remedy = error.remedy().unwrap();
                assert_eq!(remedy.contains("--hash auto"), is_advised, "{remedy}");
                assert!(remedy.starts_with("raise the limit"), "{remedy}");
            }
        };
        check(FamilyChoice::Auto, false);
        check(FamilyChoice::Named(Family::from_name("Multiply").unwrap()), true);
    }
}
