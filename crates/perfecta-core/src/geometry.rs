//! How large a table is: edges, vertices and the masks and shifts that follow from them.

/// Sizes of one graph. `vertices == 2 * edge_capacity`, both powers of two.
///
/// A value of this type is within limits: `3 <= log2(edge_capacity) <= 30`, so that a vertex and
/// the number of vertices both fit a `u32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Geometry {
    edge_capacity_log2: u8,
}

impl Geometry {
    /// Least logarithm of the edge capacity: tables of one to eight keys share it.
    pub(crate) const EDGE_CAPACITY_LOG2_MIN: u8 = 3;
    /// Greatest logarithm of the edge capacity: 2^30 edges, 2^31 vertices.
    pub(crate) const EDGE_CAPACITY_LOG2_MAX: u8 = 30;
    /// The most keys that a table can hold.
    pub const KEYS_MAX: usize = 1 << Self::EDGE_CAPACITY_LOG2_MAX;

    /// The smallest geometry that holds `num_keys` edges, or `None` above [`Self::KEYS_MAX`].
    #[must_use]
    pub const fn for_keys(num_keys: usize) -> Option<Self> {
        if num_keys > Self::KEYS_MAX {
            return None;
        }
        let capacity = if num_keys <= 8 { 8 } else { num_keys.next_power_of_two() };
        Self::from_edge_capacity_log2(capacity.trailing_zeros() as u8)
    }

    /// The geometry of `2^edge_capacity_log2` edges, or `None` out of limits.
    #[must_use]
    pub const fn from_edge_capacity_log2(edge_capacity_log2: u8) -> Option<Self> {
        if edge_capacity_log2 < Self::EDGE_CAPACITY_LOG2_MIN
            || edge_capacity_log2 > Self::EDGE_CAPACITY_LOG2_MAX
        {
            return None;
        }
        Some(Self { edge_capacity_log2 })
    }

    /// Twice the edges and vertices, or `None` at the limit.
    #[must_use]
    pub const fn grown(self) -> Option<Self> {
        Self::from_edge_capacity_log2(self.edge_capacity_log2 + 1)
    }

    /// The power of two that holds the edges; every index is below it.
    #[must_use]
    pub const fn edge_capacity(self) -> u32 {
        1 << self.edge_capacity_log2
    }

    /// Logarithm of [`Self::edge_capacity`].
    #[must_use]
    pub const fn edge_capacity_log2(self) -> u8 {
        self.edge_capacity_log2
    }

    /// Number of vertices, which is the number of elements of the assigned array.
    #[must_use]
    pub const fn vertices(self) -> u32 {
        1 << self.vertices_log2()
    }

    /// Logarithm of [`Self::vertices`].
    #[must_use]
    pub const fn vertices_log2(self) -> u8 {
        self.edge_capacity_log2 + 1
    }

    /// Keeps a hash value below [`Self::vertices`].
    #[must_use]
    pub const fn hash_mask(self) -> u32 {
        self.vertices() - 1
    }

    /// Keeps a sum of assigned values below [`Self::edge_capacity`].
    #[must_use]
    pub const fn index_mask(self) -> u32 {
        self.edge_capacity() - 1
    }

    /// The right shift of a 32-bit word that leaves just the bits of a vertex.
    #[must_use]
    pub const fn hash_shift(self) -> u8 {
        32 - self.vertices_log2()
    }

    /// The narrowest width that holds every index of this geometry.
    #[must_use]
    pub const fn element_width(self) -> ElementWidth {
        match self.edge_capacity_log2 {
            0..=8 => ElementWidth::U8,
            9..=16 => ElementWidth::U16,
            _ => ElementWidth::U32,
        }
    }
}

/// Width of one element of the assigned array of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementWidth {
    /// One byte: up to 256 edges.
    U8,
    /// Two bytes: up to 65,536 edges.
    U16,
    /// Four bytes.
    U32,
}

impl ElementWidth {
    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << self.bytes_log2()
    }

    /// Logarithm of [`Self::bytes`].
    #[must_use]
    pub(crate) const fn bytes_log2(self) -> u8 {
        match self {
            Self::U8 => 0,
            Self::U16 => 1,
            Self::U32 => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_geometry_holds_its_keys_and_no_power_of_two_more() {
        let check = |num_keys: usize, edge_capacity: u32| {
            let geometry = Geometry::for_keys(num_keys).unwrap();
            assert_eq!(geometry.edge_capacity(), edge_capacity, "{num_keys} keys");
            assert_eq!(geometry.vertices(), 2 * edge_capacity);
        };
        check(1, 8);
        check(8, 8);
        check(9, 16);
        check(31_016, 32_768);
        check(32_767, 32_768);
        check(32_768, 32_768);
        check(32_769, 65_536);
        check(1 << 30, 1 << 30);
        assert_eq!(Geometry::for_keys((1 << 30) + 1), None);
    }

    #[test]
    fn an_element_is_as_wide_as_the_greatest_index_needs() {
        let check = |num_keys, width| {
            assert_eq!(Geometry::for_keys(num_keys).unwrap().element_width(), width, "{num_keys}");
        };
        check(256, ElementWidth::U8);
        check(257, ElementWidth::U16);
        check(65_536, ElementWidth::U16);
        check(65_537, ElementWidth::U32);
    }
}
