//! One operation of a heap as a trace records it. Plain data.

/// The request and its outcome. Blocks are numbered by their grants, from 0. A
/// reallocation that succeeds is a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// An allocation.
    Allocate {
        /// Bytes requested.
        size: u64,
        /// The memory had to read as zero.
        zeroed: bool,
        /// The block, unless it was refused.
        new: Option<u64>,
    },
    /// A free.
    Free {
        /// The block; `None`: a block that the trace does not know.
        old: Option<u64>,
    },
    /// A reallocation.
    Resize {
        /// The block, as in [`Action::Free`]. It stays live if the request was refused.
        old: Option<u64>,
        /// Bytes requested.
        size: u64,
        /// The block's new number, unless the request was refused.
        new: Option<u64>,
    },
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Index into [`crate::Facts::components`].
    pub component: u8,
    /// Requested alignment: its logarithm to base 2; 0 for frees.
    pub align_log2: u8,
    /// Return address of the call, in the image; 0: unknown.
    pub site: u32,
    /// Cycles of the time stamp counter since the start of the trace, stored in whole
    /// [`crate::CLOCK_CYCLES`]; never less than in the event before.
    pub clock: u64,
    /// The operation.
    pub action: Action,
}

impl Event {
    /// Returns the block that the event granted.
    pub fn new_block(&self) -> Option<u64> {
        match self.action {
            Action::Allocate { new, .. } | Action::Resize { new, .. } => new,
            Action::Free { .. } => None,
        }
    }
}
