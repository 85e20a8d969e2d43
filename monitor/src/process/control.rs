//! The page that a child shares with its parent: its progress, and the data of its fault handler.
//! It contains no pointers, because the guest can write it and the parent reads it.

use crate::memory::Mapping;
use crate::report::Registers;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// Steps of the child before it enters the image, as errors name them.
pub(super) const STEPS: [&str; 12] = [
    "tie the child to its parent",
    "give the child its descriptors",
    "map the image at its address",
    "load the image",
    "protect the image",
    "share the statistics page and the trace ring",
    "install the fault handler",
    "install the system call filter",
    "enter the image",
    "map the ring of received frames",
    "leave the monitor's memory",
    "clear the segment registers",
];

/// Registers in the order the kernel saves them: r8 ... r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags,
/// cs, error code, vector, old mask, CR2.
pub(super) const SAVED: usize = 23;
const ERROR: usize = 19;
const VECTOR: usize = 20;
const CR2: usize = 22;
const RIP: usize = 16;
const FLAGS: usize = 17;
/// Index of each register of [`Registers::general`] among the saved ones.
const GENERAL: [usize; 16] = [13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7];
const RAX: usize = 13;
const RBX: usize = 11;

/// The page itself.
#[repr(C)]
pub(super) struct Control {
    /// 1 + index into [`STEPS`] of the step that failed; 0: none.
    pub failed_step: AtomicU32,
    pub errno: AtomicU32,
    pub signal: AtomicU32,
    /// `si_syscall` of a SIGSYS.
    pub refused_call: AtomicU32,
    pub saved: [AtomicU64; SAVED],
    pub fs_base: AtomicU64,
    /// Remaining instructions that the image single-steps before it runs again; 0: it runs.
    pub single_steps: AtomicU32,
    /// Consecutive interrupts that found the image at the same place: inside one
    /// call, or again and again in a heap.
    pub misses: AtomicU32,
}

/// A copy of the handler's data, taken once so that it cannot change any more.
pub(super) struct Snapshot {
    pub signal: u32,
    pub refused_call: u32,
    saved: [u64; SAVED],
    fs_base: u64,
}

impl Control {
    /// Returns the page `offset` bytes into a shared mapping, zero at first.
    pub(super) fn of(mapping: &Mapping, offset: usize) -> &Self {
        assert!(offset.is_multiple_of(4096) && mapping.bytes() >= offset + size_of::<Self>());
        // SAFETY: large enough, page aligned, zero is valid, and every field is atomic.
        unsafe { &*mapping.at(offset).cast::<Self>() }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            signal: self.signal.load(SeqCst),
            refused_call: self.refused_call.load(SeqCst),
            saved: std::array::from_fn(|index| self.saved[index].load(SeqCst)),
            fs_base: self.fs_base.load(SeqCst),
        }
    }
}

impl Snapshot {
    pub(super) fn registers(&self) -> Registers {
        Registers {
            general: GENERAL.map(|index| self.saved[index]),
            rip: self.saved[RIP],
            rflags: self.saved[FLAGS],
            fs_base: self.fs_base,
        }
    }

    pub(super) fn vector(&self) -> u8 {
        self.saved[VECTOR] as u8
    }

    pub(super) fn error_code(&self) -> u64 {
        self.saved[ERROR]
    }

    pub(super) fn address(&self) -> u64 {
        self.saved[CR2]
    }

    /// Returns the address of the request, if this was a [`bespoke_abi::hypercall::FATAL`].
    pub(super) fn fatal_request(&self) -> Option<u64> {
        let trap = self.signal == libc::SIGTRAP as u32;
        (trap && self.saved[RAX] == bespoke_abi::hypercall::FATAL_MAGIC).then_some(self.saved[RBX])
    }
}
