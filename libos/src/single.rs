//! State of which the guest has exactly one, behind a shared reference.
//! Must never be used for state that outlives a yield to another thread.

pub(crate) use bespoke_heap::Single;
