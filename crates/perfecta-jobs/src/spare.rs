//! Memory that items left, for later ones: there is as much as items were at work at once, not as
//! workers.

use perfecta_core::graph::Scratch;
use perfecta_io::Buffer;

use crate::sync::Mutex;

/// Memory that nobody uses, by node.
pub(crate) struct SpareMemory(Vec<Spare>);

#[derive(Default)]
struct Spare {
    scratches: Mutex<Vec<Scratch>>,
    buffers: Mutex<Vec<Buffer>>,
}

impl SpareMemory {
    pub(crate) fn none(num_nodes: usize) -> Self {
        Self((0..num_nodes).map(|_| Spare::default()).collect())
    }

    /// Memory for attempts that need so many bytes, that of an earlier item where there is any.
    pub(crate) fn take_scratch(&self, node: usize, bytes: u64) -> Scratch {
        take_kept(&mut self.0[node].scratches.lock(), bytes, Scratch::memory_bytes)
    }

    pub(crate) fn give_scratch(&self, node: usize, scratch: Scratch) {
        self.0[node].scratches.lock().push(scratch);
    }

    /// A buffer of the heap for so many bytes, that of an earlier file where there is any.
    pub(crate) fn take_buffer(&self, node: usize, bytes: u64) -> Buffer {
        let held_bytes = |buffer: &Buffer| buffer.heap_bytes() as u64;
        take_kept(&mut self.0[node].buffers.lock(), bytes, held_bytes)
    }

    pub(crate) fn give_buffer(&self, node: usize, buffer: Buffer) {
        if buffer.heap_bytes() > 0 {
            self.0[node].buffers.lock().push(buffer);
        }
    }
}

/// Memory that an earlier item left, for what needs so many bytes. Nobody accounts for what is kept, so
/// what is much larger is given back to the system: it would stay beside all that is.
fn take_kept<T: Default>(kept: &mut Vec<T>, bytes: u64, held_bytes: impl Fn(&T) -> u64) -> T {
    const SLACK_BYTES: u64 = 16 << 20;
    kept.retain(|memory| held_bytes(memory) <= 2 * bytes + SLACK_BYTES);
    kept.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_large_item_left_is_not_kept_beside_small_ones() {
        const LARGE: u64 = 400 << 20;
        let held = |bytes: &u64| *bytes;
        let mut kept = vec![LARGE, 1 << 10, LARGE / 2];
        assert_eq!(take_kept(&mut kept, LARGE / 2, held), LARGE / 2);
        assert_eq!(kept, [LARGE, 1 << 10]);
        assert_eq!(take_kept(&mut kept, 1 << 10, held), 1 << 10);
        assert!(kept.is_empty());
        assert_eq!(take_kept(&mut kept, 1 << 10, held), 0);
    }
}
