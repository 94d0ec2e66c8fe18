//! Which item of a job begins next on which node.

use crate::config::NodePolicy;

/// The items of a job that have not begun, by their positions in the plan.
///
/// Items lie in lanes, one for each node that has workers where nodes have items of their own, one in
/// all otherwise. Position `p` lies in lane `p % lanes`, so that every lane begins with the largest files.
#[derive(Debug)]
pub(crate) struct ItemQueue {
    policy: NodePolicy,
    num_items: u32,
    /// The nodes that have workers.
    staffed: Vec<usize>,
    /// The next position of each lane.
    next: Vec<u32>,
}

impl ItemQueue {
    pub(crate) fn new(policy: NodePolicy, num_items: u32, staffed: Vec<usize>) -> Self {
        let lanes = match policy {
            NodePolicy::LeastLoaded | NodePolicy::Fixed(_) => 1,
            NodePolicy::RoundRobin => staffed.len() as u32,
        };
        Self { policy, num_items, staffed, next: (0..lanes).collect() }
    }

    /// What a worker of `node` may begin next: its own, or else the least of all that have not begun.
    pub(crate) fn next_for(&self, node: usize) -> impl Iterator<Item = u32> {
        let (own, others) = match self.policy {
            NodePolicy::LeastLoaded => (self.first_of(0), None),
            NodePolicy::Fixed(fixed) if fixed == node => (self.first_of(0), None),
            NodePolicy::Fixed(_) => (None, None),
            NodePolicy::RoundRobin => {
                let lane = self.staffed.iter().position(|staffed| *staffed == node);
                (lane.and_then(|lane| self.first_of(lane)), self.heads().min())
            }
        };
        own.into_iter().chain(others.filter(|other| own != Some(*other)))
    }

    /// The next position of each lane that has one.
    pub(crate) fn heads(&self) -> impl Iterator<Item = u32> {
        (0..self.next.len()).filter_map(|lane| self.first_of(lane))
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
        let mut queue = ItemQueue::new(policy, num_items, vec![0, 1]);
        let mut take = |&node: &usize| {
            let position = queue.next_for(node).next();
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
    fn a_node_that_may_not_begin_its_own_may_begin_what_is_before_it() {
        let mut queue = ItemQueue::new(NodePolicy::RoundRobin, 4, vec![0, 1]);
        queue.take(0);
        assert_eq!(queue.next_for(0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(queue.next_for(1).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_node_without_workers_has_no_items_of_its_own() {
        let mut queue = ItemQueue::new(NodePolicy::RoundRobin, 3, vec![1]);
        for position in 0..3 {
            assert_eq!(queue.next_for(1).collect::<Vec<_>>(), [position]);
            queue.take(position);
        }
        assert_eq!(queue.heads().count(), 0);
    }

    #[test]
    fn a_fixed_node_takes_all() {
        let got = taken(NodePolicy::Fixed(1), 2, &[0, 1, 0, 1, 1]);
        assert_eq!(got, [None, Some(0), None, Some(1), None]);
    }
}
