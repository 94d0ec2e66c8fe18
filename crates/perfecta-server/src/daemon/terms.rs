//! On what terms requests are taken: who may ask for what, and what there is for them.

use std::collections::BTreeSet;
use std::time::Duration;

use perfecta_jobs::{Job, NodePolicy};

use crate::access::{Access, Placed};
use crate::problem::Problem;
use crate::spec::{Bounds, JobSpec};

/// The terms of a daemon.
pub(crate) struct Terms {
    /// Who may ask for what.
    pub(crate) access: Access,
    /// What jobs may have.
    pub(crate) bounds: Bounds,
    /// The nodes that have workers.
    pub(crate) nodes: BTreeSet<usize>,
}

impl Terms {
    /// The job of a request that can be taken at this time.
    ///
    /// # Errors
    /// [`Problem`] that names the field.
    pub(super) fn place(&self, spec: &JobSpec, since_1970: Duration) -> Result<Placed, Problem> {
        let placed = self.access.place(spec, &self.bounds, since_1970)?;
        self.check_node(&placed.job)?;
        Ok(placed)
    }

    /// Items for a node without workers would wait for ever.
    fn check_node(&self, job: &Job) -> Result<(), Problem> {
        match job.nodes {
            NodePolicy::Fixed(node) if !self.nodes.contains(&node) => {
                let reason = format!("there is no node {node}");
                let nodes = self.nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
                let remedy = format!("there are: {}", nodes.join(", "));
                Err(Problem::field("share.node_policy", reason, remedy))
            }
            NodePolicy::Fixed(_) | NodePolicy::LeastLoaded | NodePolicy::RoundRobin => Ok(()),
        }
    }
}
