//! What a test does, as data: a failing script can be cut down and printed.
//! Owns the operations; must never hold state of a run.

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is memory enough for any heap: refusal is a failure of the test.
    Granted,
    /// No heap can serve it.
    Refused,
    /// Either, as the heap's overhead decides.
    Either,
}

/// One operation. A slot names a block between operations; operations on an empty slot (or
/// allocations into a full one) do nothing, so that any part of a script is a script.
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
        /// The verdict.
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
        /// The verdict.
        expect: Expect,
    },
    /// Allocates equal blocks into slots that no other operation names, until refused or `most`.
    Fill {
        /// Bytes of each.
        size: usize,
        /// Alignment of each.
        align: usize,
        /// Stops here at the latest.
        most: usize,
        /// Refusal before so many blocks is a failure.
        least: usize,
    },
    /// As [`Op::Fill`] with the first fill's size; at least half as many blocks must fit again.
    Refill,
    /// Frees everything, oldest slot first.
    FreeAll,
    /// Takes pages from the source behind the heap's back (file pages), into a slot.
    TakePages {
        /// The slot.
        slot: usize,
        /// Pages.
        pages: usize,
    },
    /// Asks the heap to return what it does not need.
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
