//! Which worker runs where.

use super::Topology;
use super::processors::ProcessorSet;

/// Where one worker belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its node, counted in [`Topology::nodes`].
    pub node_index: usize,
    /// The system's number for the node.
    pub node_id: u32,
    /// What to pin it to: one processor where there is one for everybody, else all of the node's.
    pub processors: ProcessorSet,
}

impl Topology {
    /// Spreads workers over nodes in proportion to their processors: the next one goes where it
    /// finds the most processors for itself, the lowest node among equals.
    ///
    /// More workers only add places at the end, up to one for each processor: until then no node
    /// gets more workers than it has processors (d'Hondt's method: a full node offers less than
    /// one).
    #[must_use]
    pub fn places(&self, num_workers: usize) -> Vec<Place> {
        let alone = num_workers <= self.num_processors();
        let mut num_placed = vec![0_usize; self.nodes.len()];
        let place = |_| {
            let node_index = self.roomiest(&num_placed);
            let node = &self.nodes[node_index];
            let own = node.processors.iter().nth(num_placed[node_index]);
            num_placed[node_index] += 1;
            let processors = match own {
                Some(own) if alone => [own].into_iter().collect(),
                Some(_) | None => node.processors.clone(),
            };
            Place { node_index, node_id: node.id, processors }
        };
        (0..num_workers).map(place).collect()
    }

    /// The first node with the largest share of processors for one more worker.
    fn roomiest(&self, num_placed: &[usize]) -> usize {
        let share = |index: usize| (self.nodes[index].processors.len(), num_placed[index] + 1);
        (1..self.nodes.len()).fold(0, |best, index| {
            let ((processors, workers), (most, among)) = (share(index), share(best));
            if processors * among > most * workers { index } else { best }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Node;

    fn topology(processors: &[u32]) -> Topology {
        let mut next = 0;
        let node = |(id, &count): (usize, &u32)| {
            next += count;
            let processors = (next - count..next).collect();
            Node { id: id as u32, processors, memory_bytes: 1 << 30 }
        };
        Topology::new(processors.iter().enumerate().map(node).collect(), None)
    }

    fn check(processors: &[u32], num_workers: usize, expected: &[(usize, &str)]) {
        let places = topology(processors).places(num_workers);
        let seen: Vec<(usize, String)> =
            places.iter().map(|place| (place.node_index, place.processors.to_string())).collect();
        let expected: Vec<(usize, String)> =
            expected.iter().map(|&(node, list)| (node, list.to_owned())).collect();
        assert_eq!(seen, expected, "{num_workers} workers on {processors:?}");
    }

    #[test]
    fn workers_alternate_between_equal_nodes() {
        check(&[2, 2], 3, &[(0, "0"), (1, "2"), (0, "1")]);
        check(&[2, 2], 4, &[(0, "0"), (1, "2"), (0, "1"), (1, "3")]);
    }

    #[test]
    fn a_node_with_more_processors_gets_more_workers() {
        check(&[1, 3], 4, &[(1, "1"), (1, "2"), (0, "0"), (1, "3")]);
    }

    #[test]
    fn a_node_without_processors_gets_no_worker() {
        check(&[0, 1], 2, &[(1, "0"), (1, "0")]);
        check(&[1, 0], 2, &[(0, "0"), (0, "0")]);
    }

    #[test]
    fn more_workers_than_processors_share_their_nodes() {
        check(&[1, 1], 3, &[(0, "0"), (1, "1"), (0, "0")]);
        let crowded = topology(&[2, 2]).places(5);
        assert!(crowded.iter().all(|place| place.processors.len() == 2));
    }

    #[test]
    fn up_to_one_worker_a_processor_every_worker_has_its_own_and_the_others_keep_theirs() {
        for processors in [&[5, 1, 0, 9][..], &[1, 1, 1], &[64, 64, 3], &[7]] {
            let topology = topology(processors);
            let all = topology.places(topology.num_processors());
            let taken: ProcessorSet =
                all.iter().flat_map(|place| place.processors.iter()).collect();
            assert_eq!(taken.len(), topology.num_processors(), "{processors:?}");
            for num_workers in 0..all.len() {
                assert_eq!(topology.places(num_workers), all[..num_workers]);
            }
        }
    }
}
