//! Test scripts as data, so that a failing script can be shrunk and printed.

/// The required outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any heap has enough memory for it: a refusal fails the test.
    Granted,
    /// No heap can serve it.
    Refused,
    /// Either outcome, depending on the heap's overhead.
    Either,
}

/// One operation. A slot names a block between operations.
/// Operations on an empty slot, and allocations into a full one, do nothing; so every
/// part of a script is a valid script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Allocates into a slot.
    Allocate {
        /// Where the block is kept.
        slot: usize,
        /// Bytes, not 0.
        size: usize,
        /// A power of two.
        align: usize,
        /// The memory must read as zero.
        zeroed: bool,
        /// The required outcome.
        expect: Expect,
    },
    /// Frees a slot.
    Free {
        /// The slot.
        slot: usize,
    },
    /// Resizes a slot.
    Resize {
        /// The slot.
        slot: usize,
        /// Bytes, not 0.
        size: usize,
        /// The required outcome.
        expect: Expect,
    },
    /// Allocates equal blocks into slots that no other operation names,
    /// until a refusal or `most` blocks.
    Fill {
        /// Bytes of each.
        size: usize,
        /// Alignment of each.
        align: usize,
        /// Largest number of blocks.
        most: usize,
        /// A refusal before this number of blocks is a failure.
        least: usize,
    },
    /// Like [`Op::Fill`] with the first fill's size. At least half as many blocks must fit again.
    Refill,
    /// Frees everything, oldest slot first.
    FreeAll,
    /// Takes pages from the source without the heap's knowledge (file pages), into a slot.
    TakePages {
        /// The slot.
        slot: usize,
        /// Pages.
        pages: usize,
    },
    /// Asks the heap to return memory that it does not need.
    Trim,
    /// Checks the contents of every live block.
    CheckAll,
}

/// An allocation of ordinary alignment that must succeed.
pub const fn allocate(slot: usize, size: usize) -> Op {
    Op::Allocate {
        slot,
        size,
        align: 16,
        zeroed: false,
        expect: Expect::Granted,
    }
}

/// An allocation of memory that must be zero.
pub const fn allocate_zeroed(slot: usize, size: usize) -> Op {
    Op::Allocate {
        slot,
        size,
        align: 16,
        zeroed: true,
        expect: Expect::Granted,
    }
}

/// An aligned allocation that must succeed.
pub const fn allocate_aligned(slot: usize, size: usize, align: usize) -> Op {
    Op::Allocate {
        slot,
        size,
        align,
        zeroed: false,
        expect: Expect::Granted,
    }
}

/// A resize that must succeed.
pub const fn resize(slot: usize, size: usize) -> Op {
    Op::Resize {
        slot,
        size,
        expect: Expect::Granted,
    }
}

/// Frees a slot.
pub const fn free(slot: usize) -> Op {
    Op::Free { slot }
}
