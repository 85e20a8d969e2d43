//! What a thread waits for, as the deadlock report names it. Owns nothing.

use core::fmt;

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing: it runs.
    Nothing,
    /// A futex word.
    Futex {
        /// Its address.
        address: usize,
    },
    /// A time.
    Sleep,
    /// A signal.
    Signal,
    /// One descriptor.
    Descriptor {
        /// Its number.
        descriptor: u32,
        /// What is behind it.
        kind: &'static str,
    },
    /// The other end of a FIFO.
    Opening,
    /// Any of several descriptors.
    Poll {
        /// How many.
        descriptors: u32,
    },
}

impl Reason {
    /// Whether a device could end the wait.
    pub fn is_of_device(&self) -> bool {
        matches!(self, Self::Descriptor { .. } | Self::Poll { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(out, "nothing"),
            Self::Futex { address } => write!(out, "the futex at {address:#x}"),
            Self::Sleep => write!(out, "a time"),
            Self::Signal => write!(out, "a signal"),
            Self::Descriptor { descriptor, kind } => {
                write!(out, "descriptor {descriptor} ({kind})")
            }
            Self::Opening => write!(out, "the other end of a FIFO"),
            Self::Poll { descriptors } => write!(out, "{descriptors} descriptors (poll)"),
        }
    }
}
