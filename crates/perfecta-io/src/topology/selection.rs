//! Which nodes the user wants.

use super::Topology;
use super::processors::{ListError, ProcessorSet};

/// What `--numa` says: `all`, or a list of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NodeSelection {
    /// Every node that there is.
    #[default]
    All,
    /// These, by the system's numbers.
    Listed(ProcessorSet),
}

impl NodeSelection {
    /// Reads `all` or a list such as `0,2-3`.
    ///
    /// # Errors
    /// [`ListError`] with the part that is neither.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let listed = ProcessorSet::parse(text)?;
        if listed.is_empty() {
            return Err(ListError::new(text, text));
        }
        Ok(Self::Listed(listed))
    }
}

/// Nodes were asked for that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No such node, or none that we may use.
    #[error("there is no node {absent}; the nodes that can be used are {present}")]
    Absent {
        /// What was asked for and is not there.
        absent: ProcessorSet,
        /// The nodes that are.
        present: ProcessorSet,
    },
    /// A node on which nothing can run.
    #[error("node {node} has no processor that we may use; the nodes that have are {present}")]
    WithoutProcessors {
        /// The node.
        node: u32,
        /// The nodes with processors.
        present: ProcessorSet,
    },
}

impl Topology {
    /// The part of the topology that is asked for.
    ///
    /// # Errors
    /// [`SelectionError`] if a listed node is not there or nothing can run on it.
    pub fn select(&self, selection: &NodeSelection) -> Result<Self, SelectionError> {
        let listed = match selection {
            NodeSelection::All => return Ok(self.clone()),
            NodeSelection::Listed(listed) => listed,
        };
        let absent = listed.difference(&self.numbers());
        if !absent.is_empty() {
            return Err(SelectionError::Absent { absent, present: self.numbers() });
        }
        let chosen = self.nodes.iter().filter(|node| listed.contains(node.id)).cloned();
        let chosen: Vec<super::Node> = chosen.collect();
        if let Some(node) = chosen.iter().find(|node| node.processors.is_empty()) {
            let with = self.nodes.iter().filter(|node| !node.processors.is_empty());
            let present = with.map(|node| node.id).collect();
            return Err(SelectionError::WithoutProcessors { node: node.id, present });
        }
        Ok(Self::new(chosen, self.quota))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(machine: &str, selection: &str) -> Result<Vec<u32>, String> {
        let selection = NodeSelection::parse(selection).map_err(|error| error.to_string())?;
        let chosen = Topology::synthetic(machine).unwrap().select(&selection);
        let chosen = chosen.map_err(|error| error.to_string())?;
        Ok(chosen.nodes().iter().map(|node| node.id).collect())
    }

    #[test]
    fn all_or_a_list_of_nodes_can_be_chosen() {
        assert_eq!(select("4x2", "all"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(select("4x2", "0,2-3"), Ok(vec![0, 2, 3]));
        assert_eq!(select("1x1", "0"), Ok(vec![0]));
    }

    #[test]
    fn a_selection_that_cannot_be_read_names_the_bad_part() {
        for (text, part) in [("ALL", "ALL"), ("0,zwei", "zwei"), ("", ""), (" ", " "), ("1,,2", "")]
        {
            assert_eq!(NodeSelection::parse(text).unwrap_err().part, part);
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_an_error_with_those_that_are() {
        let message = "there is no node 4,7; the nodes that can be used are 0-3";
        assert_eq!(select("4x2", "1,4,7"), Err(message.to_owned()));
    }

    #[test]
    fn a_node_without_processors_cannot_be_chosen_alone() {
        let mut topology = Topology::synthetic("2x2").unwrap();
        topology.nodes[1].processors = ProcessorSet::default();
        let selection = NodeSelection::parse("1").unwrap();
        let message = "node 1 has no processor that we may use; the nodes that have are 0";
        assert_eq!(topology.select(&selection).unwrap_err().to_string(), message);
        assert_eq!(topology.select(&NodeSelection::All).unwrap().nodes().len(), 2);
    }
}
