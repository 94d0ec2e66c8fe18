//! [`Lookup`]: a look-up with nothing left to decide.

use core::marker::PhantomData;

use super::elements::Elements;
use crate::family::FoldedMember;
use crate::key::Key;

/// Looks up keys of type `K`, hashed as they are, in a table of [`Family::Folded`].
///
/// Small enough to stay in registers through a loop. [`TableView::lookup`] makes one.
///
/// [`Family::Folded`]: crate::family::Family::Folded
/// [`TableView::lookup`]: super::TableView::lookup
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a, K> {
    elements: Elements<'a>,
    folded: FoldedMember,
    index_mask: u32,
    key: PhantomData<K>,
}

impl<'a, K: Key> Lookup<'a, K> {
    /// `folded` must be a member for the geometry of `elements`.
    #[inline(always)]
    pub(super) fn new(elements: Elements<'a>, folded: FoldedMember, index_mask: u32) -> Self {
        Self { elements, folded, index_mask, key: PhantomData }
    }

    /// The rank of `key` if it is a key of the set, and some number below the edge capacity if not.
    #[inline(always)]
    #[must_use]
    pub fn index(&self, key: K) -> u32 {
        let vertices = self.folded.vertices(key.into());
        // SAFETY: a member's vertices are below those of its geometry.
        let sum = unsafe { self.elements.sum(vertices) };
        sum & self.index_mask
    }
}
