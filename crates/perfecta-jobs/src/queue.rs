//! Which item of a job begins next on which node.

use crate::config::NodePolicy;

/// The items of a job that have not begun, by their positions in the plan.
///
/// Items lie in lanes, one for each node that has items of its own, one in all otherwise. Position
/// `p` lies in lane `p % lanes`, so that every lane begins with the largest files.
#[derive(Debug)]
pub(crate) struct ItemQueue {
    policy: NodePolicy,
    num_items: u32,
    /// The next position of each lane.
    next: Vec<u32>,
}

impl ItemQueue {
    pub(crate) fn new(policy: NodePolicy, num_items: u32, num_nodes: usize) -> Self {
        let lanes = match policy {
            NodePolicy::LeastLoaded | NodePolicy::Fixed(_) => 1,
            NodePolicy::RoundRobin => num_nodes as u32,
        };
        Self { policy, num_items, next: (0..lanes).collect() }
    }

    /// The position that a worker of `node` begins next.
    pub(crate) fn next_for(&self, node: usize) -> Option<u32> {
        match self.policy {
            NodePolicy::LeastLoaded => self.first_of(0),
            NodePolicy::Fixed(fixed) if fixed == node => self.first_of(0),
            NodePolicy::Fixed(_) => None,
            NodePolicy::RoundRobin => self.first_of(node).or_else(|| self.first()),
        }
    }

    /// The least position that has not begun.
    pub(crate) fn first(&self) -> Option<u32> {
        (0..self.next.len()).filter_map(|lane| self.first_of(lane)).min()
    }

    fn first_of(&self, lane: usize) -> Option<u32> {
        Some(self.next[lane]).filter(|&position| position < self.num_items)
    }

    /// The item at `position` begins.
    ///
    /// # Panics
    /// If another of its lane is before it.
    pub(crate) fn take(&mut self, position: u32) {
        let lanes = self.next.len() as u32;
        let next = &mut self.next[(position % lanes) as usize];
        assert_eq!(*next, position, "items of a lane begin in order");
        *next += lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nodes ask in this order; what each gets.
    fn taken(policy: NodePolicy, num_items: u32, asking: &[usize]) -> Vec<Option<u32>> {
        let mut queue = ItemQueue::new(policy, num_items, 2);
        let mut take = |&node: &usize| {
            let position = queue.next_for(node);
            position.into_iter().for_each(|position| queue.take(position));
            position
        };
        asking.iter().map(&mut take).collect()
    }

    #[test]
    fn whoever_asks_first_gets_the_next_item() {
        let got = taken(NodePolicy::LeastLoaded, 3, &[1, 1, 0, 0]);
        assert_eq!(got, [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn nodes_take_turns_and_an_idle_one_takes_what_another_has_not_begun() {
        let got = taken(NodePolicy::RoundRobin, 5, &[0, 0, 1, 0, 0, 0]);
        assert_eq!(got, [Some(0), Some(2), Some(1), Some(4), Some(3), None]);
    }

    #[test]
    fn a_fixed_node_takes_all() {
        let got = taken(NodePolicy::Fixed(1), 2, &[0, 1, 0, 1, 1]);
        assert_eq!(got, [None, Some(0), None, Some(1), None]);
    }
}
