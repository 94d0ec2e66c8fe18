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
    /// What to pin it to, all of the node's: bound to one, two runs side by side would share it, and leave
    /// others idle.
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
        let mut num_placed = vec![0_usize; self.nodes.len()];
        let place = |_| {
            let node_index = self.roomiest(&num_placed);
            let node = &self.nodes[node_index];
            num_placed[node_index] += 1;
            Place { node_index, node_id: node.id, processors: node.processors.clone() }
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

    fn check(processors: &[u32], num_workers: usize, nodes: &[usize]) {
        let topology = topology(processors);
        let places = topology.places(num_workers);
        let seen: Vec<usize> = places.iter().map(|place| place.node_index).collect();
        assert_eq!(seen, nodes, "{num_workers} workers on {processors:?}");
        for place in places {
            let Node { id, processors, .. } = &topology.nodes()[place.node_index];
            assert_eq!((place.node_id, &place.processors), (*id, processors));
        }
    }

    #[test]
    fn workers_alternate_between_equal_nodes() {
        check(&[2, 2], 3, &[0, 1, 0]);
        check(&[2, 2], 4, &[0, 1, 0, 1]);
    }

    #[test]
    fn a_node_with_more_processors_gets_more_workers() {
        check(&[1, 3], 4, &[1, 1, 0, 1]);
    }

    #[test]
    fn a_node_without_processors_gets_no_worker() {
        check(&[0, 1], 2, &[1, 1]);
        check(&[1, 0], 2, &[0, 0]);
    }

    #[test]
    fn more_workers_than_processors_go_on_alternating() {
        check(&[1, 1], 3, &[0, 1, 0]);
        check(&[2, 2], 5, &[0, 1, 0, 1, 0]);
    }

    #[test]
    fn up_to_one_worker_a_processor_every_node_has_as_many_as_processors_and_the_others_stay() {
        for processors in [&[5, 1, 0, 9][..], &[1, 1, 1], &[64, 64, 3], &[7]] {
            let topology = topology(processors);
            let all = topology.places(topology.num_processors());
            for (index, &count) in processors.iter().enumerate() {
                let num_placed = all.iter().filter(|place| place.node_index == index).count();
                assert_eq!(num_placed, count as usize, "node {index} of {processors:?}");
            }
            for num_workers in 0..all.len() {
                assert_eq!(topology.places(num_workers), all[..num_workers]);
            }
        }
    }
}
