//! Who may ask for what, and where files may lie.
//!
//! ```text
//!  local socket ---peer's user---> Owner (the daemon's user, and root) | User (allowed) | refused: 403
//!  TCP ---certificate, token-----> Remote                              | refused: no handshake, 401
//! ```
//!
//! Owners and remote callers may do everything; a user who is allowed sees and ends its own requests
//! alone. Below roots, engines see to it that nothing is reached beside them; here is said so early.

mod guard;
mod report;
mod tcp;
mod token;

use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perfecta_io::Roots;
use perfecta_jobs::{Artifacts, Job};
use serde::{Deserialize, Serialize};

pub(crate) use self::guard::{
    ANSWER_TIME_MAX, BODIES_BYTES_MAX, BODY_BYTES_MAX, BODY_TIME_MAX, Bodies, Transport, check,
    pass_over, receive,
};
pub(crate) use self::report::AccessReport;
pub use self::tcp::{Tcp, TcpError, TcpFiles};
pub(crate) use self::tcp::{authorities, client, identity, is_of_an_authority};
pub use self::token::{Token, TokenError};
use crate::problem::{Problem, ProblemKind, shortened};
use crate::spec::{Bounds, FILES_MAX, InputSpec, JobSpec, file_field};

/// Who may ask for what.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Directories beneath which alone files are read and written.
    pub roots: Option<Arc<Roots>>,
    /// Where outputs go that are named relatively, or not at all.
    pub output_root: Option<PathBuf>,
    /// Users who may ask beside the daemon's own and root.
    pub users: Vec<u32>,
    /// Where clients elsewhere are served, and how they prove who they are.
    pub tcp: Option<Tcp>,
    /// How much of the daemon clients may take.
    pub limits: ClientLimits,
}

/// How much of the daemon clients may take.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Connections at once; further ones wait in the system's queue.
    pub connections_max: NonZeroUsize,
    /// A connection without a request goes after so long.
    pub idle_max: Duration,
    /// Items that are known and not begun, over all requests; with more, no request is taken.
    pub items_queued_max: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections_max: const { NonZeroUsize::new(1_024).unwrap() },
            idle_max: Duration::from_secs(600),
            items_queued_max: 1_000_000,
        }
    }
}

impl ClientLimits {
    /// Connections of all clients over TCP, who need not have proved anything yet.
    pub(crate) fn connections_tcp_max(&self) -> usize {
        self.connections_max.get().div_ceil(2)
    }

    /// Connections of one user who is allowed.
    pub(crate) fn connections_user_max(&self) -> usize {
        self.connections_max.get().div_ceil(4)
    }
}

/// Requests of one user who is allowed, that have not ended.
pub(crate) const OUTSTANDING_USER_MAX: usize = 1_000;

/// Key files that these name: as many as one request may.
pub(crate) const FILES_NAMED_USER_MAX: usize = FILES_MAX;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Caller {
    /// The daemon's own user, or root.
    Owner,
    /// Another user, who is allowed.
    User(u32),
    /// Somebody who has the token, or a certificate.
    Remote,
}

impl Caller {
    /// Whether it may see and end what `owner` asked for.
    pub(crate) fn may_see(self, owner: Self) -> bool {
        match self {
            Self::Owner | Self::Remote => true,
            Self::User(_) => self == owner,
        }
    }

    /// An idempotency key that is none of another user's: a key has no space.
    pub(crate) fn own_key(self, key: String) -> String {
        match self {
            Self::Owner | Self::Remote => key,
            Self::User(user) => format!("{user} {key}"),
        }
    }
}

/// A request whose paths are known to be allowed by their letters.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) job: Job,
    pub(crate) artifacts: Artifacts,
    is_output_named: bool,
}

impl Placed {
    /// The job, whose output has the request's id where the client named none.
    pub(crate) fn of_request(self, id: &str) -> (Job, Artifacts) {
        let mut job = self.job;
        if let Some(output) = job.output.as_mut().filter(|_| !self.is_output_named) {
            output.directory.push(id);
        }
        (job, self.artifacts)
    }
}

impl Access {
    /// The job of a request.
    ///
    /// # Errors
    /// [`Problem`] that names the field.
    pub(crate) fn place(
        &self,
        spec: &JobSpec,
        bounds: &Bounds,
        since_1970: Duration,
    ) -> Result<Placed, Problem> {
        let named = spec.output.as_ref().map(|output| output.directory.as_path());
        let is_output_named = named.is_none_or(|directory| !directory.as_os_str().is_empty());
        let (job, artifacts) =
            self.with_roots(spec, is_output_named)?.checked(bounds, since_1970)?;
        self.check_roots(&job)?;
        Ok(Placed { job, artifacts, is_output_named })
    }

    /// The request with those paths absolute that are meant from a root of ours.
    fn with_roots(&self, spec: &JobSpec, is_output_named: bool) -> Result<JobSpec, Problem> {
        let mut spec = spec.clone();
        if let Some(output) = &mut spec.output {
            match &self.output_root {
                Some(root) => output.directory = root.join(&output.directory),
                None if is_output_named => {}
                None => {
                    let remedy = "name one, or start the daemon with --output-root";
                    return Err(Problem::field("output.directory", "is missing", remedy));
                }
            }
        }
        if spec.directory.is_none()
            && let Some(root) = self.only_root()
        {
            match &mut spec.inputs {
                InputSpec::Files(files) => {
                    files.iter_mut().for_each(|file| *file = below(root, file));
                }
                InputSpec::Tree { root: tree, .. } => *tree = below(root, tree),
            }
            if let Some(output) = &mut spec.output {
                output.directory = below(root, &output.directory);
            }
        }
        Ok(spec)
    }

    /// From where relative paths are meant of clients who name no directory of theirs.
    fn only_root(&self) -> Option<&Path> {
        let mut paths = self.roots.as_ref()?.paths();
        paths.next().filter(|_| paths.next().is_none())
    }

    fn check_roots(&self, job: &Job) -> Result<(), Problem> {
        let Some(roots) = &self.roots else { return Ok(()) };
        let is_outside = |path: &Path| !roots.admit(path);
        match &job.inputs {
            perfecta_jobs::Inputs::Files(files) => {
                if let Some(index) = files.iter().position(|file| is_outside(file)) {
                    return Err(outside(&file_field(index), &files[index], roots));
                }
            }
            perfecta_jobs::Inputs::Tree { root, .. } => {
                if is_outside(root) {
                    return Err(outside("inputs.tree.root", root, roots));
                }
            }
        }
        match &job.output {
            Some(output) if is_outside(&output.directory) => {
                Err(outside("output.directory", &output.directory, roots))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { path.to_owned() } else { root.join(path) }
}

fn outside(field: &str, path: &Path, roots: &Roots) -> Problem {
    let is_parent = |part| part == Component::ParentDir;
    let (reason, remedy) = if path.components().any(is_parent) {
        let reason = "has a `..`, which a daemon with roots does not follow";
        (reason, "name the place without `..`".to_owned())
    } else {
        let roots: Vec<String> = roots.paths().map(|root| root.display().to_string()).collect();
        let remedy = format!("name a path below a root; there are: {}", roots.join(", "));
        ("lies below none of the daemon's roots", remedy)
    };
    let detail = format!("{field}: {} {reason}", shortened(&path.to_string_lossy()));
    let problem = Problem::new(ProblemKind::OutsideRoots, detail, remedy);
    Problem { field: Some(field.to_owned()), ..problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_one_user_is_no_others() {
        let callers = [Caller::Owner, Caller::User(7), Caller::User(77)];
        let keys = ["k", "7/k", "7k", "77/k"];
        let own = callers.iter().flat_map(|caller| keys.map(|key| caller.own_key(key.to_owned())));
        let distinct: std::collections::BTreeSet<String> = own.collect();
        assert_eq!(distinct.len(), callers.len() * keys.len());
    }
}
